/**
 * The daemon: one interface from its creation to its end. It ends when its control socket is
 * removed, when the TUN goes away, on SIGINT or SIGTERM, and when a worker fails.
 */
import { Errno } from "../base/errno.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { makeFolders, removeFile } from "../../ffi/files.ts";
import { makeUndumpable } from "../../ffi/process.ts";
import { cString } from "../../ffi/memory.ts";
import { interfaceIndex } from "../../ffi/socket.ts";
import { adoptTun, openTun, type TunHandle } from "../../ffi/tun.ts";
import { probeUdpOffload } from "../../ffi/udp_group.ts";
import { listenUnix } from "../../ffi/unix_socket.ts";
import type { Log } from "../base/log.ts";
import { DEFAULT_SESSION_LIMITS, SEND_MESSAGES_MAX, type SessionLimits } from "../lane/limits.ts";
import { uapiPath } from "./paths.ts";
import { TunNode } from "./tun_node.ts";
import { UapiServer } from "./uapi_server.ts";

/** Which offloads are left off; all are used where the kernel has them. */
export interface OffloadSwitches {
  readonly udpGso: boolean;
  readonly udpGro: boolean;
  readonly tunTso: boolean;
  readonly tunUso: boolean;
  readonly tunGro: boolean;
}

export const ALL_OFFLOADS: OffloadSwitches = {
  udpGso: true,
  udpGro: true,
  tunTso: true,
  tunUso: true,
  tunGro: true,
};

/** What a daemon is started with. */
export interface DaemonOptions {
  readonly interfaceName: string;
  readonly log: Log;
  readonly encryptors: number;
  readonly socketBufferBytes: number;
  readonly offload: OffloadSwitches;
  /** Descriptors that were passed in, from WG_TUN_FD and WG_UAPI_FD. */
  readonly tunFd?: number;
  readonly uapiFd?: number;
  readonly limits?: SessionLimits;
  readonly fault?: string;
}

/** A running daemon. `ended` resolves with the exit code once everything is cleaned up. */
export interface Daemon {
  readonly node: TunNode;
  /** The interface's name as the kernel has it. */
  readonly interfaceName: string;
  readonly ended: Promise<number>;
  /** Ends it as a signal would. */
  stop(reason: string, code?: number): void;
}

/** Default of the sockets' buffers: larger ones only add latency under load. */
export const SOCKET_BUFFER_BYTES = 2 * 1024 * 1024;

const UAPI_FOLDER_MODE = 0o755;

/** Starts a daemon; throws `SystemCallError` with a fix, and leaves nothing behind, if it cannot. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { log, offload } = options;
  makeUndumpable();
  const tun = openInterface(options);
  let socket: { fd: number; path?: string } | null = null;
  try {
    socket = listen(tun.name, options.uapiFd);
    const ended = Promise.withResolvers<{ reason: string; code: number }>();
    const node = await TunNode.start({
      tun,
      encryptors: options.encryptors,
      socketBufferBytes: options.socketBufferBytes,
      sendMessagesMax: sendMessagesMax(offload),
      udpGro: offload.udpGro,
      tunGro: {
        tcp: offload.tunGro && tun.tcpSegmentation,
        udp: offload.tunGro && tun.udpSegmentation,
      },
      limits: options.limits ?? DEFAULT_SESSION_LIMITS,
      fault: options.fault ?? "",
      log,
      onEnd: (reason, code) => ended.resolve({ reason, code }),
    });
    const server = new UapiServer({
      reactor: node.reactor,
      target: node,
      listenerFd: socket.fd,
      path: socket.path,
      onSocketRemoved: () => ended.resolve({ reason: "the control socket was removed", code: 0 }),
      interfaceIndex: (name) => interfaceIndex(cString(name)),
    });
    return {
      ...supervise(options, node, server, tun, socket.path, ended),
      interfaceName: tun.name,
    };
  } catch (error) {
    if (socket?.path !== undefined) removeFile(socket.path);
    if (socket !== null) closeFd(socket.fd);
    closeFd(tun.fd);
    throw error;
  }
}

function openInterface(options: DaemonOptions): TunHandle {
  const { offload } = options;
  const switches = { tcpSegmentation: offload.tunTso, udpSegmentation: offload.tunUso };
  if (options.tunFd !== undefined) return adoptTun(options.tunFd, switches);
  return openTun({ name: options.interfaceName, ...switches });
}

function listen(name: string, passedFd?: number): { fd: number; path?: string } {
  const path = uapiPath(name);
  if (passedFd !== undefined) return { fd: passedFd, path };
  makeFolders(path.slice(0, path.lastIndexOf("/")), UAPI_FOLDER_MODE);
  return { fd: listenUnix(path), path };
}

function sendMessagesMax(offload: OffloadSwitches): number {
  if (!offload.udpGso) return 1;
  return Math.min(SEND_MESSAGES_MAX, Math.max(1, probeUdpOffload().segmentsMax));
}

function supervise(
  options: DaemonOptions,
  node: TunNode,
  server: UapiServer,
  tun: TunHandle,
  socketPath: string | undefined,
  ending: PromiseWithResolvers<{ reason: string; code: number }>,
): Pick<Daemon, "node" | "ended" | "stop"> {
  const onSignal = () => {
    if (isEnding) Deno.exit(1);
    isEnding = true;
    ending.resolve({ reason: "asked to stop by a signal", code: 0 });
  };
  let isEnding = false;
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  const ended = ending.promise.then(async ({ reason, code }) => {
    isEnding = true;
    if (code === 0) options.log.info(`ending: ${reason}`);
    else options.log.error(reason);
    server.close();
    if (socketPath !== undefined) removeFile(socketPath);
    await node.stop();
    closeFd(tun.fd);
    return code;
  });
  return {
    node,
    ended,
    stop: (reason, code = 0) => ending.resolve({ reason, code }),
  };
}

/** Whether an error is one that a user can mend, to be told without a stack. */
export function isUserError(error: unknown): error is SystemCallError {
  return error instanceof SystemCallError && error.errno !== Errno.EFAULT;
}
