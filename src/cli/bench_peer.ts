/** `longhaul bench PEER` and `bench --serve`: throughput and round trips through a running tunnel. */
import { effectiveUserId } from "../../ffi/environment.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { VERSION } from "../base/version.ts";
import { describeMachine } from "../bench/machine.ts";
import { checkServer, measureIdle, measureStream, type PeerPlace } from "../bench/peer_client.ts";
import { BENCH_PORT, type Hello, PeerTask } from "../bench/peer_protocol.ts";
import {
  idleLine,
  PEER_BENCH_SCHEMA,
  type PeerBenchReport,
  peerHeadLine,
  streamLine,
} from "../bench/peer_report.ts";
import { PeerServer } from "../bench/peer_server.ts";
import { quote } from "../config/diagnostic.ts";
import { wipeKeys } from "../config/device_change.ts";
import { suggestion } from "../config/nearest.ts";
import { formatAddress, parseAddress } from "../control/address_text.ts";
import { peerOfAddress } from "../control/flow_report.ts";
import { formatKeyBase64, peerName } from "../control/key_text.ts";
import { liveInterfaces } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import {
  isScreen,
  painterFor,
  printText,
  STDERR_FD,
  STDOUT_FD,
  writeText,
} from "../daemon/terminal.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { PeerStatus } from "../wireguard/configuration.ts";
import { checkInterfaceName } from "./config_file.ts";
import { readDevice, zoneIndex } from "./device_client.ts";
import { readPeerFile } from "./peer_file.ts";
import { configOfTunnel } from "./reload_command.ts";
import { wipeStatus } from "./show_command.ts";

/** What each part takes of the time. */
const IDLE_PART = 0.2;
const STREAM_PART = 0.4;

/** A peer of a running tunnel. */
interface BenchPeer {
  readonly interfaceName: string | null;
  readonly name: string | null;
  readonly publicKey: string | null;
  /** Its address inside the tunnel. */
  readonly address: Uint8Array;
}

/** How to run. */
export interface PeerBenchOptions {
  /** A friendly name, a public key, or an address inside the tunnel. */
  readonly peer: string;
  /** The tunnel that is meant, where there are several. */
  readonly interfaceName: string | undefined;
  readonly port: number;
  readonly seconds: number;
  readonly isJson: boolean;
}

/** Measures; the exit code. Throws `SetupError` when the peer, or a server there, is not found. */
export function runPeerBench(options: PeerBenchOptions): number {
  const { port, seconds, isJson } = options;
  const startedAt = new Date().toISOString();
  const peer = findBenchPeer(options);
  const place: PeerPlace = { address: peer.address, port, advice: adviceFor(peer, port) };
  checkServer(place);
  const output = new PeerOutput(isJson);
  output.begin(peer, place);
  const ms = seconds * 1000;
  const idle = measureIdle(place, ms * IDLE_PART);
  output.line(idleLine(idle));
  const toPeer = measureStream(place, "to the peer", ms * STREAM_PART);
  output.line(streamLine("to the peer", toPeer));
  const fromPeer = measureStream(place, "from the peer", ms * STREAM_PART);
  output.line(streamLine("from the peer", fromPeer));
  output.end({
    schema: PEER_BENCH_SCHEMA,
    program: "longhaul bench PEER",
    version: VERSION,
    startedAt,
    machine: describeMachine(),
    interface: peer.interfaceName,
    peer: { name: peer.name, publicKey: peer.publicKey },
    address: formatAddress(peer.address),
    idle,
    toPeer,
    fromPeer,
  });
  return 0;
}

function adviceFor({ name }: BenchPeer, port: number): string {
  const flag = port === BENCH_PORT ? "" : ` --port ${port}`;
  return `On ${name ?? "the peer"} run: longhaul bench --serve${flag}. ` +
    "Where that is a node without an interface, its config needs " +
    `LocalServices = ${port} in [Longhaul] as well`;
}

/** Lines as figures become known, or one JSON text at the end. */
class PeerOutput {
  readonly #isLive: boolean;

  constructor(readonly isJson: boolean) {
    this.#isLive = !isJson && isScreen(STDERR_FD) && isScreen(STDOUT_FD);
  }

  begin({ name, publicKey, interfaceName }: BenchPeer, { address, port }: PeerPlace): void {
    if (this.isJson) return;
    const who = name ?? publicKey ?? "the host";
    const through = interfaceName === null ? "" : ` through ${interfaceName}`;
    printText(`${who} at ${formatAddress(address)}, TCP port ${port}${through}\n\n`);
    printText(`${peerHeadLine(painterFor(STDOUT_FD))}\n`);
    this.#hint();
  }

  line(text: string): void {
    if (this.isJson) return;
    if (this.#isLive) writeText(STDERR_FD, "\r\x1b[K");
    printText(`${text}\n`);
    this.#hint();
  }

  end(report: PeerBenchReport): void {
    if (this.#isLive) writeText(STDERR_FD, "\r\x1b[K");
    if (this.isJson) printText(`${JSON.stringify(report, null, 2)}\n`);
  }

  #hint(): void {
    if (this.#isLive) writeText(STDERR_FD, "  measuring ...");
  }
}

/** Finds who is meant among the peers of what runs. */
function findBenchPeer({ peer, interfaceName }: PeerBenchOptions): BenchPeer {
  const address = parseAddress(peer);
  const { tunnels, closed } = runningTunnels(interfaceName);
  const found = tunnels.flatMap((tunnel) => matches(tunnel, peer, address));
  if (found.length === 1) return checked(found[0]);
  if (found.length > 1) {
    const names = found.map((each) => each.interfaceName).join(", ");
    throw new SetupError(`${quote(peer)} is a peer of ${names}: say which with --interface`);
  }
  // Whoever may not ask a tunnel may use it all the same.
  if (address !== null && closed.length > 0) {
    return { interfaceName: null, name: null, publicKey: null, address };
  }
  const hint = closed.length === 0 || effectiveUserId() === 0
    ? ""
    : `; ${
      closed.join(", ")
    } may be asked by root (sudo), or give the peer's address in the tunnel`;
  if (tunnels.length === 0) throw new SetupError(`No tunnel runs here${hint}`);
  const known = tunnels.flatMap(({ names }) => [...names.values()]);
  throw new SetupError(`There is no peer ${quote(peer)}${suggestion(peer, known)}${hint}`);
}

/** A running interface as far as this user may know it. */
interface Tunnel {
  readonly interfaceName: string;
  readonly peers: readonly PeerStatus[];
  /** Friendly names by public key in hexadecimal. */
  readonly names: ReadonlyMap<string, string>;
}

function runningTunnels(wanted: string | undefined): { tunnels: Tunnel[]; closed: string[] } {
  if (wanted !== undefined) {
    checkInterfaceName(wanted);
    return { tunnels: [readTunnel(wanted)], closed: [] };
  }
  const tunnels: Tunnel[] = [], closed: string[] = [];
  for (const name of liveInterfaces()) {
    try {
      tunnels.push(readTunnel(name));
    } catch (error) {
      // It is another user's, or it has just ended.
      if (!(error instanceof SetupError || error instanceof SystemCallError)) throw error;
      closed.push(name);
    }
  }
  return { tunnels, closed };
}

function readTunnel(interfaceName: string): Tunnel {
  const status = readDevice(interfaceName);
  wipeStatus(status);
  return { interfaceName, peers: status.peers, names: friendlyNames(interfaceName) };
}

/** The names in the tunnel's config; none where that cannot be read. */
function friendlyNames(interfaceName: string): Map<string, string> {
  const names = new Map<string, string>();
  try {
    const path = configOfTunnel(interfaceName);
    if (path === null) return names;
    const { config } = readPeerFile({ path, interfaceName });
    wipeKeys(config.device);
    for (const { publicKey, friendlyName } of config.device.peers) {
      if (friendlyName !== undefined) names.set(toHex(publicKey), friendlyName);
    }
  } catch (error) {
    if (!(error instanceof SetupError || error instanceof SystemCallError)) throw error;
  }
  return names;
}

function matches(tunnel: Tunnel, text: string, address: Uint8Array | null): BenchPeer[] {
  const { interfaceName, peers, names } = tunnel;
  const owner = address === null ? null : peerOfAddress(peers, address);
  return peers.flatMap((peer) => {
    const name = names.get(toHex(peer.publicKey)) ?? null;
    const publicKey = formatKeyBase64(peer.publicKey);
    const isMeant = peer === owner || name === text || publicKey === text;
    if (!isMeant) return [];
    const inside = address ?? hostAddress(peer);
    if (inside !== null) return [{ interfaceName, name, publicKey, address: inside }];
    throw new SetupError(
      `${name ?? peerName(peer.publicKey)} has no address of its own in its allowed IPs: ` +
        "give the one that it has inside the tunnel",
    );
  });
}

/** The first address that is the peer's alone. */
function hostAddress({ allowedIps }: PeerStatus): Uint8Array | null {
  for (const { address, bits } of allowedIps) if (bits === 8 * address.length) return address;
  return null;
}

/** Programs of this host reach peers through an interface only. */
function checked(peer: BenchPeer): BenchPeer {
  if (peer.interfaceName === null || zoneIndex(peer.interfaceName) > 0) return peer;
  throw new SetupError(
    `${peer.interfaceName} runs without an interface, so programs of this host cannot reach its ` +
      "peers. The other way round works: longhaul bench --serve here, with " +
      `LocalServices = ${BENCH_PORT} in [Longhaul], and longhaul bench on the peer`,
  );
}

/** Serves until Ctrl-C. Throws `SystemCallError` when the port is taken. */
export function runPeerServer(port: number): never {
  let hasRefused = false;
  const server = new PeerServer(port, tellTask, () => {
    if (!hasRefused) {
      tell("refusing connections to addresses that are neither a tunnel's nor the loopback's");
    }
    hasRefused = true;
  });
  const flag = port === BENCH_PORT ? "" : ` --port ${port}`;
  tell(
    `serving on TCP port ${port} until Ctrl-C. On the other end run: longhaul bench PEER${flag} ` +
      "(the name, key or tunnel address of this host there)",
  );
  for (;;) server.turn(SERVER_TURN_MS);
}

const SERVER_TURN_MS = 1000;

function tell(text: string): void {
  printText(`${text}\n`);
}

function tellTask({ task, durationMs }: Hello): void {
  if (task === PeerTask.Echo) return;
  const seconds = (durationMs / 1000).toFixed(1);
  tell(`${task === PeerTask.Take ? "receiving" : "sending"} for ${seconds} s`);
}
