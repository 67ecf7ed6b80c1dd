/**
 * What the two ends of `bench PEER` say to each other over TCP. Each connection does one thing. A
 * message is a line of 64 bytes, filled up with blanks before its end:
 *
 * ```
 * client   longhaul-bench 1 echo          each message that follows comes back
 *          longhaul-bench 1 take MS       the client sends for that long and then ends its direction
 *          longhaul-bench 1 give MS       the server sends for that long and then ends its direction
 * server   ok | busy
 *          done BYTES MS                  after `take`: what has come in, but for the slow start
 * ```
 */

/** The version of this protocol. */
const VERSION = 1;
/** Bytes of a message, and of one that is echoed. */
export const MESSAGE_BYTES = 64;
/** Where the other end listens unless told otherwise. */
export const BENCH_PORT = 52_101;
/** The longest transfer that a server agrees to. */
export const TRANSFER_MS_MAX = 600_000;
/** Bytes of one read or write. */
export const CHUNK_BYTES = 256 * 1024;

/** What a client wants of a connection. */
export const PeerTask = { Echo: "echo", Take: "take", Give: "give" } as const;
/** One of the values of `PeerTask`. */
export type PeerTask = (typeof PeerTask)[keyof typeof PeerTask];

/** A client's first message. */
export interface Hello {
  readonly task: PeerTask;
  /** How long to send; 0 for `echo`. */
  readonly durationMs: number;
}

/** What `take` has brought. */
export interface Taken {
  readonly bytes: number;
  readonly ms: number;
}

/** A message of this text. */
export function encodeMessage(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(MESSAGE_BYTES)).fill(0x20);
  new TextEncoder().encodeInto(text, bytes.subarray(0, MESSAGE_BYTES - 1));
  bytes[MESSAGE_BYTES - 1] = 0x0a;
  return bytes;
}

/** The text of a message. */
export function decodeMessage(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.slice(0, MESSAGE_BYTES - 1)).trimEnd();
}

/** A client's first message. */
export function helloText({ task, durationMs }: Hello): string {
  const head = `longhaul-bench ${VERSION} ${task}`;
  return task === PeerTask.Echo ? head : `${head} ${durationMs}`;
}

/** Reads a client's first message; null for anything else. */
export function parseHello(text: string): Hello | null {
  const match = /^longhaul-bench (\d{1,4}) (?:(echo)|(take|give) (\d{1,6}))$/.exec(text);
  if (match === null || Number(match[1]) !== VERSION) return null;
  if (match[2] !== undefined) return { task: PeerTask.Echo, durationMs: 0 };
  const durationMs = Number(match[4]);
  if (durationMs < 1 || durationMs > TRANSFER_MS_MAX) return null;
  return { task: match[3] as PeerTask, durationMs };
}

/** What a server says after `take`. */
export function takenText({ bytes, ms }: Taken): string {
  return `done ${bytes} ${Math.round(ms * 1000) / 1000}`;
}

/** Reads it; null for anything else. */
export function parseTaken(text: string): Taken | null {
  const match = /^done (\d{1,15}) (\d{1,9}(?:\.\d{1,3})?)$/.exec(text);
  return match === null ? null : { bytes: Number(match[1]), ms: Number(match[2]) };
}

/** A stream is counted from this part of its time on: before, TCP is still finding its rate. */
const SLOW_START_PART = 0.1;

/** Counts what comes in of one stream. Times are on any one clock. */
export class StreamMeter {
  readonly #skipMs: number;
  #firstMs = -1;
  #countedFromMs = -1;
  #lastMs = 0;
  #bytes = 0;

  constructor(durationMs: number) {
    this.#skipMs = durationMs * SLOW_START_PART;
  }

  /** Notes bytes that have come in. */
  note(bytes: number, nowMs: number): void {
    if (this.#firstMs < 0) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
    if (this.#countedFromMs >= 0) this.#bytes += bytes;
    else if (nowMs - this.#firstMs >= this.#skipMs) this.#countedFromMs = nowMs;
  }

  /** What was counted; `ms` is 0 when the stream was too short. */
  get counted(): Taken {
    const ms = this.#countedFromMs < 0 ? 0 : this.#lastMs - this.#countedFromMs;
    return { bytes: this.#bytes, ms };
  }
}
