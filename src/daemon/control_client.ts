/**
 * What our commands ask of a running interface, over its control socket: its status, as every
 * WireGuard program tells it, and the requests that only this program serves.
 */
import { Errno } from "../base/errno.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { exchangeUnix } from "../../ffi/unix_socket.ts";
import { type ControlRequest, formatRequest, parseAnswer } from "../control/request.ts";
import { GET_TEXT, isWholeAnswer, parseGet } from "../control/uapi_client.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import { SetupError } from "./setup_error.ts";

const TIMEOUT_MS = 5000;
/** A device with 130,560 allowed IPs tells 4 MB. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** More than the last line of an answer and its blank line take. */
const ANSWER_END_BYTES = 32;

/**
 * The status of the interface whose socket is at `path`. Its keys are the caller's to wipe. Throws
 * `SetupError` when the socket is somebody else's, `SystemCallError` when nobody answers.
 */
export function askStatus(path: string): DeviceStatus {
  return parseGet(exchange(path, GET_TEXT, TIMEOUT_MS));
}

/**
 * The fields that answer a request; null when another program, or an older version, runs there.
 * Throws `RequestError` with what the other side says, and what `askStatus` throws.
 */
export function askRequest(
  path: string,
  request: ControlRequest,
  timeoutMs = TIMEOUT_MS,
): [string, string][] | null {
  try {
    return parseAnswer(exchange(path, formatRequest(request), timeoutMs));
  } catch (error) {
    // Whoever does not know the request may close the connection before it is sent.
    const isClosed = error instanceof SystemCallError &&
      (error.errno === Errno.EPIPE || error.errno === Errno.ECONNRESET);
    if (isClosed) return null;
    throw error;
  }
}

function exchange(path: string, text: string, timeoutMs: number): string {
  try {
    const answer = exchangeUnix(path, new TextEncoder().encode(text), {
      timeoutMs,
      answerBytesMax: ANSWER_BYTES_MAX,
      isComplete: (bytes) =>
        isWholeAnswer(new TextDecoder().decode(bytes.slice(-ANSWER_END_BYTES))),
    });
    const answerText = new TextDecoder().decode(answer);
    answer.fill(0);
    return answerText;
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== Errno.EACCES) throw error;
    const fix = `Only its owner and root may ask the program behind ${path}`;
    throw new SetupError(fix, { cause: error });
  }
}
