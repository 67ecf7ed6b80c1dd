/**
 * `longhaul up FILE|NAME`: a tunnel as its config file describes it, from its first packet to its
 * last. What can fail without changing anything is done first: the file, the port, the names of
 * endpoints. Everything after that goes with the interface, or is undone at the end.
 */
import { systemClock } from "../../ffi/clock.ts";
import { canonicalPath } from "../../ffi/files.ts";
import { killProcess, ownProcessId, SIGKILL } from "../../ffi/process.ts";
import { closeUdpSockets, openUdpSockets } from "../../ffi/udp_open.ts";
import { isUnixLive } from "../../ffi/unix_socket.ts";
import type { Log } from "../base/log.ts";
import { isNamed, toDeviceChange, wipeKeys } from "../config/device_change.ts";
import { peerNats } from "../config/nat_address.ts";
import { servedPrefixes } from "../config/serve.ts";
import type { DeviceConfig, NodeConfig } from "../config/types.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import {
  type Daemon,
  type DaemonOptions,
  SOCKET_BUFFER_BYTES,
  startDaemon,
} from "../daemon/daemon.ts";
import { Ending } from "../daemon/ending.ts";
import { EndpointResolver, type FoundEndpoint } from "../daemon/endpoint_resolver.ts";
import { defaultRouteMtu, endpointMtus, tunnelMtu } from "../daemon/interface_mtu.ts";
import { isPartOfEverything } from "../daemon/default_route.ts";
import { HangUp } from "../daemon/hang_up.ts";
import { interfaceExists } from "../daemon/interface_setup.ts";
import { announce, chooseLogLevel, setUpLog } from "../daemon/log_setup.ts";
import { currentNameServers, OuterResolver } from "../daemon/outer_resolver.ts";
import { UAPI_FOLDER, uapiPath } from "../daemon/paths.ts";
import { Reloader } from "../daemon/reloader.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { STDOUT_FD, writeText } from "../daemon/terminal.ts";
import { clearLeftovers, TunnelChanges } from "../daemon/tunnel_changes.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";
import { equalBytes, wipe } from "../wireguard/bytes.ts";
import { type DeviceEvent, DeviceEventCode } from "../wireguard/events.ts";
import type { CommandInput, CommandSpec } from "./command_spec.ts";
import {
  type ConfigPlace,
  findConfig,
  parseConfigFile,
  parseConfigText,
  readConfig,
} from "./config_file.ts";
import { guessAddress } from "./endpoint_here.ts";
import { obtainFirstConfig } from "./first_config.ts";
import { LOG_FLAGS } from "./log_flags.ts";
import { programCommand } from "./program_command.ts";
import { startStatusLine } from "./status_line.ts";
import {
  hybridStack,
  NoHostChanges,
  rootlessStack,
  tellHybrid,
  tellRootless,
  tellTun,
} from "./rootless.ts";
import { chooseMode, MODE_FLAG, type NodeMode } from "./up_mode.ts";
import { welcomeText } from "./welcome_text.ts";
import { chooseWorkers, wantedByFlags, WORKER_FLAGS, type Workers } from "./workers.ts";
import { sessionLimits, testFault } from "./environment.ts";

/** How long the start waits for the names of endpoints; later ones are used when they come. */
const NAMES_WAIT_MS = 3000;

export const upCommand: CommandSpec = {
  name: "up",
  summary: "bring up the tunnel that a config file describes, until a signal",
  words: "[FILE|NAME]",
  count: { min: 0, max: 1, rule: "up takes one config file or the name of one, or nothing" },
  flags: [MODE_FLAG, ...WORKER_FLAGS, ...LOG_FLAGS],
  examples: [
    ["up", "make keys and a config, or use those made before, and say how peers join"],
    ["up ./wg0.conf", "the tunnel of a config file"],
    ["up wg0", "the same for /etc/wireguard/wg0.conf"],
    ["up --mode rootless", "without an interface, as any user"],
  ],
  about: "Without a file it is longhaul0.conf in the state folder: /etc/longhaul for root, else\n" +
    "$XDG_STATE_HOME/longhaul or ~/.local/state/longhaul.",
  run: runUp,
};

/** Runs the command; resolves with the exit code when the tunnel has ended. */
async function runUp({ words, flags, mainUrl }: CommandInput): Promise<number> {
  const isFirstRun = words.length === 0;
  const wanted = wantedByFlags(flags);
  // Where it cannot work no keys are made.
  if (isFirstRun) chooseMode(flags.text("mode"), "auto", mainUrl);
  const place = findConfig(isFirstRun ? obtainFirstConfig() : words[0]);
  const { crypto } = selectNoiseCrypto();
  const publicKeyOf = (privateKey: Uint8Array) => crypto.x25519PublicKey(privateKey);
  const config = readConfig(place, publicKeyOf);
  if (config === null) return 1;
  const servesPrefixes = servedPrefixes(config).length > 0;
  const mode = chooseMode(flags.text("mode"), config.longhaul.mode, mainUrl, servesPrefixes);
  const log = setUpLog(
    place.interfaceName,
    chooseLogLevel(flags.text("log-level")),
    flags.text("log-format"),
  );
  checkFree(place.interfaceName, config, mode.isRootless);
  if (mode.isRootless) tellRootless(mode, config, log);
  else {
    if (mode.isHybrid) tellHybrid(config, log);
    else tellTun(config, log);
    await clearLeftovers(place.interfaceName, log);
  }
  const outer = new OuterResolver(currentNameServers());
  const resolver = newResolver(config.device, outer, log);
  const { privateKey } = config.device;
  const publicKey = privateKey === undefined ? null : publicKeyOf(privateKey);
  const welcome = isFirstRun ? programCommand(mainUrl) : null;
  const shape = {
    peers: config.device.peers.length,
    hasStack: mode.isRootless || mode.isHybrid,
    isAdopted: false,
  };
  const workers = chooseWorkers({ ...config.longhaul, ...wanted }, shape, log);
  const tunnel: Tunnel = {
    config,
    mode,
    workers,
    outer,
    resolver,
    mtu: 0,
    publicKey,
    welcome,
    log,
  };
  try {
    await resolver.firstRound(NAMES_WAIT_MS);
    tunnel.mtu = config.interface.mtu ?? findMtu(config, resolver);
    return await run(place, tunnel);
  } finally {
    tunnel.resolver.stop();
    wipeKeys(config.device);
  }
}

function newResolver(
  { peers }: DeviceConfig,
  outer: OuterResolver,
  log: Log,
): EndpointResolver {
  return new EndpointResolver(peers, {
    lookUp: async ({ host, port }) => ({ ...await outer.resolve(host), port }),
    schedule: (action, delayMs) => {
      const timer = setTimeout(action, delayMs);
      return () => clearTimeout(timer);
    },
    nowMs: () => systemClock.nowMs(),
    log,
  });
}

/** What is done to the host beside the node itself, and undone at the end. */
type HostChanges = Pick<
  TunnelChanges,
  "begin" | "onInterface" | "onAddresses" | "beforeEnd" | "end" | "defaultRoute"
>;

/** A tunnel that only needs to be started. */
interface Tunnel {
  readonly config: NodeConfig;
  readonly mode: NodeMode;
  readonly workers: Workers;
  /** Looks up names also when everything goes through the tunnel. */
  readonly outer: OuterResolver;
  /** A reload puts another one in its place. */
  resolver: EndpointResolver;
  mtu: number;
  readonly publicKey: Uint8Array | null;
  /** How the program is called, where the user is to be told how to go on; else null. */
  readonly welcome: string | null;
  readonly log: Log;
}

async function run(place: ConfigPlace, tunnel: Tunnel): Promise<number> {
  const ending = new Ending();
  ending.heedSignals();
  const changes = tunnel.mode.isRootless ? new NoHostChanges() : new TunnelChanges({
    interfaceName: place.interfaceName,
    config: tunnel.config,
    configPath: canonicalPath(place.path) ?? place.path,
    log: tunnel.log,
    ending,
    onRecordChange: killPoint(testFault()),
  });
  try {
    await changes.begin();
    if (ending.isBegun) return (await ending.begun).code;
    return await runInterface(place, tunnel, changes, ending);
  } finally {
    await changes.end();
  }
}

async function runInterface(
  place: ConfigPlace,
  tunnel: Tunnel,
  changes: HostChanges,
  ending: Ending,
): Promise<number> {
  const { config, log } = tunnel;
  const { longhaul } = config;
  const hangUp = new HangUp({
    onTerminalGone: () => ending.begin("the terminal has gone", 0),
  });
  const daemon = await startDaemon({
    interfaceName: place.interfaceName,
    log,
    ...tunnel.workers,
    socketBufferBytes: longhaul.socketBufferBytes ?? SOCKET_BUFFER_BYTES,
    offload: longhaul.offload,
    ...stackOf(tunnel, config),
    limits: sessionLimits(),
    fault: testFault(),
    onEvent: (event) => lookUpAgain(tunnel.resolver, event),
    ending,
    beforeEnd: () => changes.beforeEnd(),
  });
  const reloader = serveReloads(daemon, place, tunnel, changes);
  let stopLine = () => {};
  ending.begun.then(() => stopLine());
  try {
    const port = await setUp(daemon, tunnel, changes);
    if (!daemon.isEnding) {
      const key = tunnel.publicKey === null ? "no key" : formatKeyBase64(tunnel.publicKey);
      reloader.ready();
      hangUp.attach(() => reloader.reloadForSignal());
      daemon.ready();
      announce(
        log,
        `${daemon.interfaceName} is up, UDP port ${port}, MTU ${tunnel.mtu}, ` +
          `public key ${key}`,
      );
      tellMore(daemon, place, tunnel, port);
      stopLine = startStatusLine({
        interfaceName: daemon.interfaceName,
        traffic: () => daemon.node.control.device.traffic(),
      });
    }
  } catch (error) {
    const wasEnding = daemon.isEnding;
    daemon.stop("the set-up has failed");
    const code = await daemon.ended;
    if (wasEnding) return code;
    throw error;
  }
  return await daemon.ended;
}

/** Tells a user who has just begun how to go on, and where tools find the interface. */
function tellMore(daemon: Daemon, place: ConfigPlace, tunnel: Tunnel, port: number): void {
  const { config, log, publicKey, welcome } = tunnel;
  const socket = uapiPath(daemon.interfaceName);
  if (!socket.startsWith(`${UAPI_FOLDER}/`)) {
    announce(
      log,
      `\`wg\` needs root to find it: the control socket is ${socket}; ` +
        `\`longhaul show ${daemon.interfaceName}\` and the other commands find it by themselves`,
    );
  }
  if (welcome === null || publicKey === null) return;
  const text = welcomeText({
    path: place.path,
    interfaceName: daemon.interfaceName,
    config,
    publicKey: formatKeyBase64(publicKey),
    port,
    address: guessAddress(daemon.interfaceName, config.device.fwmark ?? 0),
    program: welcome,
  });
  writeText(STDOUT_FD, text);
}

/** The stack that a tunnel has, if any. */
function stackOf(
  { mode, mtu }: Tunnel,
  config: NodeConfig,
): Pick<DaemonOptions, "stack" | "hasInterface"> {
  if (mode.isRootless) return { stack: rootlessStack(config, mtu) };
  return mode.isHybrid ? { stack: hybridStack(config, mtu), hasInterface: true } : {};
}

/** Makes the daemon what the config says; returns its UDP port. */
async function setUp(daemon: Daemon, tunnel: Tunnel, changes: HostChanges): Promise<number> {
  const { config, resolver, mtu } = tunnel;
  daemon.peerNames.replace(config.device.peers);
  daemon.node.control.policy.replaceNat(peerNats(config));
  daemon.node.control.policy.setFilter(config.longhaul.filter);
  daemon.node.apply(toDeviceChange(config.device, (endpoint) => resolver.addressOf(endpoint)));
  wipeKeys(config.device);
  resolver.tell((found) => setEndpoint(daemon, found));
  const port = daemon.node.openSockets();
  if (tunnel.mode.isRootless) daemon.node.bringUp();
  await changes.onInterface({
    mtu,
    endpoints: () => knownEndpoints(config, resolver).map(({ address }) => address),
    whenReachable: whenReachable(config.device, resolver),
    setFwmark: (fwmark) => {
      daemon.node.apply({ fwmark, peers: [] });
      tunnel.outer.mark = fwmark;
    },
    status: () => daemon.node.status(),
  });
  return port;
}

/** When the peers with default routes have addresses; null when they have. */
function whenReachable({ peers }: DeviceConfig, resolver: EndpointResolver): Promise<void> | null {
  const unknown = peers.filter((peer) => peer.allowedIps.some(isPartOfEverything))
    .flatMap(({ endpoint }) => endpoint !== undefined && isNamed(endpoint) ? [endpoint] : [])
    .filter((endpoint) => resolver.addressOf(endpoint) === null);
  return unknown.length === 0 ? null : resolver.whenKnown(unknown);
}

/** Serves the requests that load the config again. */
function serveReloads(
  daemon: Daemon,
  place: ConfigPlace,
  tunnel: Tunnel,
  changes: HostChanges,
): Reloader {
  const { log } = tunnel;
  const { crypto } = selectNoiseCrypto();
  const path = canonicalPath(place.path) ?? place.path;
  const reloader: Reloader = new Reloader(tunnel.config, {
    path,
    interfaceName: daemon.interfaceName,
    hasInterface: !tunnel.mode.isRootless,
    hasStack: tunnel.mode.isRootless || tunnel.mode.isHybrid,
    defaultRoute: () => changes.defaultRoute,
    onAddresses: (addresses) => changes.onAddresses(addresses),
    node: daemon.node,
    read: (text) => {
      const publicKeyOf = (privateKey: Uint8Array) => crypto.x25519PublicKey(privateKey);
      return text === null
        ? parseConfigFile(path, publicKeyOf)
        : parseConfigText(text, path, publicKeyOf);
    },
    peerNames: daemon.peerNames,
    log,
    onReload: (isOver) => isOver ? daemon.ready() : daemon.reloading(),
    resolveAnew: async (device) => {
      const resolver = newResolver(device, tunnel.outer, log);
      await resolver.firstRound(NAMES_WAIT_MS);
      return resolver;
    },
    onApplied: (resolver) => {
      tunnel.resolver.stop();
      tunnel.resolver = resolver;
      resolver.tell((found) => setEndpoint(daemon, found));
      daemon.node.control.policy.replaceNat(peerNats(reloader.config));
      daemon.node.control.policy.setFilter(reloader.config.longhaul.filter);
      const { stack } = stackOf(tunnel, reloader.config);
      if (stack !== undefined) daemon.node.stack?.configure(stack);
    },
  });
  for (const [name, handler] of reloader.requests()) daemon.requests.set(name, handler);
  return reloader;
}

/** For tests: a function that kills the process when it is called for the n-th time. */
function killPoint(fault: string): () => void {
  const count = /^up:kill-at-(\d+)$/.exec(fault)?.[1];
  let left = count === undefined ? Infinity : Number(count);
  return () => {
    if (--left === 0) killProcess(ownProcessId(), SIGKILL);
  };
}

/** Throws when the interface, its control socket or its port belongs to somebody else. */
function checkFree(name: string, config: NodeConfig, isRootless: boolean): void {
  const runs = `end it first (longhaul down ${name})`;
  if (isUnixLive(uapiPath(name))) throw new SetupError(`${name} is up already: ${runs}`);
  if (!isRootless && interfaceExists(name)) {
    throw new SetupError(
      `There is an interface ${name} already: remove it (ip link delete ${name}), ` +
        "or give the file another name",
    );
  }
  const port = config.device.listenPort ?? 0;
  if (port === 0) return;
  closeUdpSockets(openUdpSockets({ port, bufferBytes: SOCKET_BUFFER_BYTES, gro: false }));
}

/** The peers' endpoints, those by name as far as they are resolved. */
function knownEndpoints(config: NodeConfig, resolver: EndpointResolver): SocketAddress[] {
  return config.device.peers.flatMap(({ endpoint }) => {
    if (endpoint === undefined) return [];
    const address = isNamed(endpoint) ? resolver.addressOf(endpoint) : endpoint;
    return address === null ? [] : [address];
  });
}

function findMtu(config: NodeConfig, resolver: EndpointResolver): number {
  const { device } = config;
  const pathMtus = endpointMtus(knownEndpoints(config, resolver), device.fwmark ?? 0);
  const prefixes = [
    ...config.interface.addresses,
    ...device.peers.flatMap((peer) => peer.allowedIps),
  ];
  const usesV6 = prefixes.some(({ address }) => address.length === 16);
  return tunnelMtu(pathMtus, pathMtus.length === 0 ? defaultRouteMtu() : null, usesV6);
}

function lookUpAgain(resolver: EndpointResolver, event: DeviceEvent): void {
  const isSilent = event.code === DeviceEventCode.NoReply || event.code === DeviceEventCode.GaveUp;
  if (isSilent && event.publicKey !== null) resolver.onNoReply(event.publicKey);
}

/**
 * Gives a peer the address that its name turned out to have. A peer that was heard of meanwhile, or
 * was given an endpoint by hand, keeps it until its name has another address.
 */
function setEndpoint(daemon: Daemon, { publicKey, address, isChange }: FoundEndpoint): void {
  if (daemon.isEnding) return;
  const status = daemon.node.status();
  if (status.privateKey !== null) wipe(status.privateKey);
  const isKey = (key: Uint8Array) => equalBytes(key, 0, publicKey, 0, publicKey.length);
  const peer = status.peers.find((peer) => isKey(peer.publicKey));
  wipe(...status.peers.map((peer) => peer.presharedKey));
  if (peer === undefined || (peer.endpoint !== null && !isChange)) return;
  const change = { publicKey, updateOnly: true, endpoint: address, allowedIps: [] };
  daemon.node.apply({ peers: [change] });
}
