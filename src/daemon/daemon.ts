/**
 * The daemon: one interface from its creation to its end. It ends when its control socket is
 * removed, when the TUN goes away, on SIGINT or SIGTERM, and when a worker fails.
 */
import { Errno } from "../base/errno.ts";
import { closeFd, setInherited, setNonBlocking } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { descriptorStatus, fileStatus, makeFolders, removeFile } from "../../ffi/files.ts";
import { PathWatch } from "../../ffi/path_watch.ts";
import { makeUndumpable } from "../../ffi/process.ts";
import { cString } from "../../ffi/memory.ts";
import { interfaceIndex } from "../../ffi/socket.ts";
import { setInterfaceMtu } from "../../ffi/interface.ts";
import { adoptTun, openTunQueues, type TunQueues } from "../../ffi/tun.ts";
import { probeUdpOffload } from "../../ffi/udp_group.ts";
import { listenUnix } from "../../ffi/unix_socket.ts";
import { MTU_DEFAULT } from "../config/mtu.ts";
import type { OffloadConfig } from "../config/offload.ts";
import type { Log } from "../base/log.ts";
import { flowFields, FLOWS_REQUEST } from "../control/flow_report.ts";
import { reportFields, STATS_REQUEST } from "../control/node_report.ts";
import { PeerNames } from "../control/peer_names.ts";
import type { RequestHandler } from "../control/request.ts";
import { ConfigurationError } from "../wireguard/configuration.ts";
import type { DeviceEvent } from "../wireguard/events.ts";
import { DEFAULT_SESSION_LIMITS, SEND_MESSAGES_MAX, type SessionLimits } from "../lane/limits.ts";
import type { StackConfig } from "../worker/stack_config.ts";
import { Ending } from "./ending.ts";
import { newSocketFolder, newSocketPath, uapiPath } from "./paths.ts";
import { ServiceManager } from "./service_manager.ts";
import { SetupError } from "./setup_error.ts";
import { NodeProcess } from "./node_process.ts";
import { UapiServer } from "./uapi_server.ts";

/** What a daemon is started with. */
export interface DaemonOptions {
  readonly interfaceName: string;
  readonly log: Log;
  /** Workers among which the peers are divided, 1 by default; a stack belongs to a single one. */
  readonly lanes?: number;
  readonly encryptors: number;
  readonly socketBufferBytes: number;
  readonly offload: OffloadConfig;
  /** A userspace stack in the place of an interface of the kernel, or beside it. */
  readonly stack?: StackConfig;
  /** Whether there is an interface although there is a stack. */
  readonly hasInterface?: boolean;
  /** Descriptors that were passed in, from WG_TUN_FD and WG_UAPI_FD. */
  readonly tunFd?: number;
  readonly uapiFd?: number;
  readonly limits?: SessionLimits;
  readonly fault?: string;
  /** An end that heeds signals already; by default one is made. */
  readonly ending?: Ending;
  /**
   * Called when the end has begun, while the interface still works; everything else waits until the
   * promise resolves. It does not reject.
   */
  readonly beforeEnd?: () => Promise<void>;
  /** How logs and reports call the peers; their keys by default. */
  readonly peerNames?: PeerNames;
  /** Told of what happens to handshakes, beside the log. */
  readonly onEvent?: (event: DeviceEvent) => void;
}

/** A running daemon. `ended` resolves with the exit code once everything is cleaned up. */
export interface Daemon {
  readonly node: NodeProcess;
  /** The interface's name as the kernel has it; without one, what was asked for. */
  readonly interfaceName: string;
  readonly ended: Promise<number>;
  /** How logs and reports call the peers; to be replaced with each config. */
  readonly peerNames: PeerNames;
  /** What our own commands may ask for over the control socket; more may be added. */
  readonly requests: Map<string, RequestHandler>;
  /** Whether the end has begun, for whatever reason. */
  readonly isEnding: boolean;
  /** Tells the service manager, if there is one, that everything is set up: call it once it is. */
  ready(): void;
  /** Tells the service manager that a new config is being taken over; `ready` ends it. */
  reloading(): void;
  /** Ends it as a signal would. */
  stop(reason: string, code?: number): void;
}

/** Default of the sockets' buffers: larger ones only add latency under load. */
export const SOCKET_BUFFER_BYTES = 2 * 1024 * 1024;

/** A listening control socket, and its file where there is one. */
interface ControlSocket {
  readonly fd: number;
  readonly path?: string;
  /** Made at once with the socket: a removal while the workers start must not be missed. */
  readonly watch: PathWatch | null;
  /** Whether the file was made here. */
  readonly isOwn: boolean;
}

/**
 * Starts a daemon; throws `SystemCallError` or `SetupError`, and leaves nothing behind, if it cannot.
 * A signal that comes meanwhile ends it properly as soon as it runs.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { log, offload } = options;
  makeUndumpable();
  const manager = ServiceManager.fromEnvironment();
  const peerNames = options.peerNames ?? new PeerNames();
  const ending = options.ending ?? new Ending();
  if (options.ending === undefined) ending.heedSignals();
  const hasInterface = options.stack === undefined || options.hasInterface === true;
  const tun = hasInterface ? openInterface(options) : null;
  const interfaceName = tun?.name ?? options.interfaceName;
  let socket: ControlSocket | null = null;
  let server: UapiServer | null = null;
  let onBeat = (_isAlive: boolean) => {};
  try {
    socket = listen(interfaceName, options.uapiFd);
    const node = new NodeProcess({
      interfaceName,
      tun,
      stack: options.stack ?? null,
      encryptors: options.encryptors,
      socketBufferBytes: options.socketBufferBytes,
      sendMessagesMax: sendMessagesMax(offload),
      udpGro: offload.udpGro,
      tunGro: {
        tcp: tun === null || (offload.tunGro && tun.tcpSegmentation),
        udp: tun === null || (offload.tunGro && tun.udpSegmentation),
      },
      limits: options.limits ?? DEFAULT_SESSION_LIMITS,
      fault: options.fault ?? "",
      log,
      peerNames,
      onEvent: options.onEvent,
      onBeat: (isAlive) => onBeat(isAlive),
      onEnd: (reason, code) => ending.begin(reason, code),
    });
    const requests = new Map<string, RequestHandler>();
    requests.set(STATS_REQUEST, () => reportFields(node.report()));
    requests.set(FLOWS_REQUEST, async () => {
      const { flows, missing } = await node.flows();
      return flowFields(flows, missing);
    });
    server = new UapiServer({
      requests,
      reactor: node.reactor,
      target: node,
      listenerFd: socket.fd,
      watch: socket.watch,
      onSocketRemoved: () => ending.begin("the control socket was removed", 0),
      interfaceIndex: (name) => interfaceIndex(cString(name)),
    });
    const socketPath = socket.path;
    const parts = { node, server, tun, interfaceName, requests, peerNames, manager, socketPath };
    onBeat = (isAlive) => tellManager(parts, isAlive);
    await node.running();
    return supervise(options, parts, ending);
  } catch (error) {
    if (socket?.path !== undefined && socket.isOwn) removeFile(socket.path);
    if (server !== null) server.close();
    else if (socket !== null) closeFd(socket.fd);
    tun?.fds.forEach(closeFd);
    throw error;
  }
}

function openInterface(options: DaemonOptions): TunQueues {
  const { offload, lanes = 1 } = options;
  const switches = { tcpSegmentation: offload.tunTso, udpSegmentation: offload.tunUso };
  if (options.tunFd !== undefined) {
    return { ...adoptTun(options.tunFd, switches), fds: [options.tunFd] };
  }
  const tun = openTunQueues({ name: options.interfaceName, ...switches }, lanes);
  setDefaultMtu(tun.name);
  return tun;
}

/** Whoever has renamed, moved or deleted the interface meanwhile may have set an MTU as well. */
function setDefaultMtu(name: string): void {
  try {
    setInterfaceMtu(name, MTU_DEFAULT);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
  }
}

function listen(name: string, passedFd?: number): ControlSocket {
  if (passedFd !== undefined) return adoptSocket(passedFd, uapiPath(name));
  const folder = newSocketFolder();
  makeFolders(folder.path, folder.mode, folder.fix);
  const path = newSocketPath(name);
  return { fd: listenUnix(path), path, watch: new PathWatch(path), isOwn: true };
}

/** Takes over a socket that another program listens with; its file may be anywhere, or gone. */
function adoptSocket(fd: number, path: string): ControlSocket {
  if (descriptorStatus(fd)?.kind !== "socket") {
    throw new SetupError(`File descriptor ${fd} (WG_UAPI_FD) is not a socket`);
  }
  setNonBlocking(fd, true);
  setInherited(fd, false);
  const isThere = fileStatus(path)?.kind === "socket";
  return {
    fd,
    isOwn: false,
    ...(isThere ? { path, watch: new PathWatch(path) } : { watch: null }),
  };
}

/** Datagrams that one send may carry: as many as the kernel takes, 1 where that is not wanted. */
export function sendMessagesMax(offload: OffloadConfig): number {
  if (!offload.udpGso) return 1;
  return Math.min(SEND_MESSAGES_MAX, Math.max(1, probeUdpOffload().segmentsMax));
}

/** The parts of a daemon that runs. */
interface DaemonParts {
  readonly node: NodeProcess;
  readonly server: UapiServer;
  readonly tun: TunQueues | null;
  readonly interfaceName: string;
  readonly requests: Map<string, RequestHandler>;
  readonly peerNames: PeerNames;
  readonly manager: ServiceManager;
  readonly socketPath: string | undefined;
}

function supervise(options: DaemonOptions, parts: DaemonParts, ending: Ending): Daemon {
  const { log } = options;
  const { node, server, tun, interfaceName, requests, peerNames, manager, socketPath } = parts;
  const ended = ending.begun.then(async ({ reason, code }) => {
    if (code === 0) log.info(`ending: ${reason}`);
    else log.error(reason);
    manager.stopping(reason);
    await options.beforeEnd?.();
    server.close();
    if (socketPath !== undefined) removeFile(socketPath);
    await node.stop();
    tun?.fds.forEach(closeFd);
    return code;
  });
  return {
    node,
    interfaceName,
    ended,
    requests,
    peerNames,
    ready: () => manager.ready(node.summary()),
    reloading: () => manager.reloading(),
    stop: (reason, code = 0) => ending.begin(reason, code),
    get isEnding() {
      return ending.isBegun;
    },
  };
}

/** With each beat of the lanes: the watchdog is fed, and the line of `systemctl status` kept true. */
function tellManager({ node, manager }: DaemonParts, isAlive: boolean): void {
  if (isAlive) manager.alive();
  manager.status(node.summary());
}

/** Whether an error is one that a user can mend, to be told without a stack. */
export function isUserError(error: unknown): error is Error {
  if (error instanceof SetupError || error instanceof ConfigurationError) return true;
  return error instanceof SystemCallError && error.errno !== Errno.EFAULT;
}
