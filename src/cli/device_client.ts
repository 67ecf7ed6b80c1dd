/**
 * Talking to the control socket of an interface, whichever program runs it: asking for its state and
 * changing it. Calls block; they are for commands that do one thing and end.
 */
import { Errno } from "../base/errno.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { exists } from "../../ffi/files.ts";
import { cString } from "../../ffi/memory.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { findLinkByIndex } from "../../ffi/rtnetlink_link.ts";
import { interfaceIndex } from "../../ffi/socket.ts";
import { exchangeUnix, isUnixLive } from "../../ffi/unix_socket.ts";
import { type ControlRequest, formatRequest, parseAnswer } from "../control/request.ts";
import {
  checkSetAnswer,
  formatSet,
  GET_TEXT,
  isWholeAnswer,
  parseGet,
} from "../control/uapi_client.ts";
import { uapiPath } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import type { DeviceChange, DeviceStatus } from "../wireguard/configuration.ts";
import { checkInterfaceName } from "./config_file.ts";

const TIMEOUT_MS = 5000;
/** A big change takes a busy device some time. */
const CHANGE_TIMEOUT_MS = 60_000;
/** A device with 130,560 allowed IPs tells 4 MB. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** More than the last line of an answer and its blank line take. */
const ANSWER_END_BYTES = 32;

/** Asks an interface for its state. Throws `SetupError` when nothing runs under that name. */
export function readDevice(name: string): DeviceStatus {
  return parseGet(exchange(name, GET_TEXT, TIMEOUT_MS), zoneIndex);
}

/** Changes an interface. Throws `SetupError`, or `ConfigurationError` when the change is refused. */
export function changeDevice(name: string, change: DeviceChange): void {
  checkSetAnswer(exchange(name, formatSet(change), CHANGE_TIMEOUT_MS));
}

/**
 * Sends one of our own requests; the fields of the answer, or null when another program, or an older
 * version of this one, runs there. Throws `RequestError` with all that the other side says.
 */
export function askDevice(
  name: string,
  request: ControlRequest,
  timeoutMs = TIMEOUT_MS,
): [string, string][] | null {
  try {
    return parseAnswer(exchange(name, formatRequest(request), timeoutMs));
  } catch (error) {
    // Whoever does not know the request may have gone before all of it is sent.
    const isClosed = error instanceof SystemCallError &&
      (error.errno === Errno.EPIPE || error.errno === Errno.ECONNRESET);
    if (isClosed) return null;
    throw error;
  }
}

/** Sends one request and returns the answer; without a whole one, what has come before the end. */
function exchange(name: string, request: string, timeoutMs: number): string {
  checkInterfaceName(name);
  const path = uapiPath(name);
  const bytes = new TextEncoder().encode(request);
  try {
    if (!exists(path) || !isUnixLive(path)) throw new SetupError(`Nothing runs as ${name}`);
    const answer = exchangeUnix(path, bytes, {
      timeoutMs,
      answerBytesMax: ANSWER_BYTES_MAX,
      isComplete: (answer) =>
        isWholeAnswer(new TextDecoder().decode(answer.slice(-ANSWER_END_BYTES))),
    });
    const text = new TextDecoder().decode(answer);
    answer.fill(0);
    return text;
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== Errno.EACCES) throw error;
    throw new SetupError(`Only root, or the user who runs ${name}, may ask it`, { cause: error });
  } finally {
    bytes.fill(0);
  }
}

/** The index of the interface that a zone names; 0 when there is none. */
export function zoneIndex(name: string): number {
  return Math.max(0, interfaceIndex(cString(name)));
}

/** The name of the interface with an index, null when this namespace has none. */
export function zoneName(index: number): string | null {
  using socket = NetlinkSocket.open();
  return findLinkByIndex(socket, index)?.name ?? null;
}
