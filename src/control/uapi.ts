/**
 * One connection to the UAPI socket, the interface that `wg` and its relatives speak: operations
 * `get=1` and `set=1`, each ended by a blank line and answered by `errno=N` and a blank line, several
 * per connection. Bytes in, bytes out; whoever owns the socket moves them.
 *
 * What a client can make this hold is bounded: a line, the text of a `set`, what it asks for, and
 * what it sends while an answer waits to be read.
 */
import { Errno, errnoName } from "../base/errno.ts";
import { InvariantError } from "../base/invariant.ts";
import { ConfigurationError, type ConfigurationTarget } from "../wireguard/configuration.ts";
import type { InterfaceIndex } from "./address_text.ts";
import { statusChunks } from "./uapi_get.ts";
import { type SetLimits, SetParser } from "./uapi_set.ts";

/** What `errno` says when the failure is none of the protocol's own. */
const UNKNOWN_ERRNO = 55;

const NEWLINE = 0x0a;

/** Bounds on what a client can send. */
export interface UapiLimits extends SetLimits {
  readonly lineBytesMax: number;
  /** Text of one `set`, its blank line included. */
  readonly setBytesMax: number;
  /** What is kept while an answer waits; the owner of the socket need not read so far ahead. */
  readonly backlogBytesMax: number;
}

export const UAPI_LIMITS: UapiLimits = {
  lineBytesMax: 512,
  setBytesMax: 64 * 1024 * 1024,
  backlogBytesMax: 1024 * 1024,
  peersMax: 1 << 16,
  allowedIpsMax: 1 << 20,
};

const State = {
  /** Before the line that names an operation. */
  Operation: 0,
  /** In the body of a get, which is empty. */
  Get: 1,
  /** In the body of a set. */
  Set: 2,
  /** In a body with an error, whose end is awaited before the error is told. */
  Skip: 3,
} as const;
type State = (typeof State)[keyof typeof State];

/**
 * The protocol machine of one connection. Call `onData` with what was read, then `pollOutput` until
 * it returns null, sending and wiping each chunk. Read on only while `wantsInput`. When `closed`,
 * send what is left and close.
 */
export class UapiSession {
  readonly #target: ConfigurationTarget;
  readonly #interfaceIndex: InterfaceIndex;
  readonly #limits: UapiLimits;
  readonly #partial: Uint8Array;
  #partialLength = 0;
  #state: State = State.Operation;
  #isGet = false;
  #set: SetParser | null = null;
  #bodyBytes = 0;
  #bodyLines = 0;
  #bodyError: ConfigurationError | null = null;
  #output: Iterator<Uint8Array> | null = null;
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #closed = false;
  #lastError: string | null = null;

  constructor(
    target: ConfigurationTarget,
    options: { interfaceIndex?: InterfaceIndex; limits?: Partial<UapiLimits> } = {},
  ) {
    this.#target = target;
    this.#interfaceIndex = options.interfaceIndex ?? (() => 0);
    this.#limits = { ...UAPI_LIMITS, ...options.limits };
    this.#partial = new Uint8Array(this.#limits.lineBytesMax);
  }

  /** Whether the connection is over once `pollOutput` has returned null. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the client's next bytes may be read: false while an answer waits. */
  get wantsInput(): boolean {
    return !this.#closed && this.#output === null;
  }

  /** Why the last operation that failed did, for the log; it holds nothing secret. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Takes what the client sent, an array that is not shared between threads. */
  onData(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#output === null) this.#consume(bytes);
    else if (this.#mayPostpone(bytes.length)) this.#backlog.push(bytes.slice());
  }

  /** The next bytes to send, a new array that belongs to the caller; null when there are none. */
  pollOutput(): Uint8Array | null {
    while (this.#output !== null) {
      const next = this.#output.next();
      if (!next.done) return next.value;
      this.#output = null;
      while (this.#output === null && this.#backlog.length > 0) {
        const bytes = this.#backlog.shift()!;
        this.#backlogBytes -= bytes.length;
        if (!this.#closed) this.#consume(bytes);
        bytes.fill(0);
      }
    }
    return null;
  }

  /** Whether so many bytes may be kept until an answer has been read; ends the connection if not. */
  #mayPostpone(length: number): boolean {
    this.#backlogBytes += length;
    if (this.#backlogBytes <= this.#limits.backlogBytesMax) return true;
    this.#lastError = "the client sends without reading the answers";
    this.#closed = true;
    return false;
  }

  /** Takes line after line until one asks for an answer. */
  #consume(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#closed) return;
      if (this.#output !== null) {
        if (this.#mayPostpone(bytes.length - from)) this.#backlog.unshift(bytes.slice(from));
        return;
      }
      const newline = bytes.indexOf(NEWLINE, from);
      const to = newline < 0 ? bytes.length : newline;
      if (this.#partialLength + to - from > this.#limits.lineBytesMax) {
        return this.#giveUp("a line is too long");
      }
      if (newline < 0 || this.#partialLength > 0) {
        this.#partial.set(bytes.subarray(from, to), this.#partialLength);
        this.#partialLength += to - from;
      }
      if (newline < 0) return;
      if (this.#partialLength > 0) {
        const length = this.#partialLength;
        this.#partialLength = 0;
        this.#line(this.#partial, 0, length);
        this.#partial.fill(0);
      } else {
        this.#line(bytes, from, to);
      }
      from = newline + 1;
    }
  }

  #line(bytes: Uint8Array, from: number, to: number): void {
    if (this.#state === State.Operation) return this.#operation(bytes, from, to);
    this.#bodyBytes += to - from + 1;
    this.#bodyLines++;
    if (this.#bodyBytes > this.#limits.setBytesMax) return this.#giveUp("the text is too long");
    if (from === to) return this.#endOfBody();
    if (this.#state === State.Skip) return;
    try {
      if (this.#set === null) {
        throw new ConfigurationError("a get takes no lines", Errno.EINVAL);
      }
      this.#set.line(bytes, from, to);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      this.#bodyError = new ConfigurationError(
        `line ${this.#bodyLines}: ${error.message}`,
        error.errno,
      );
      this.#set = null;
      this.#state = State.Skip;
    }
  }

  #operation(bytes: Uint8Array, from: number, to: number): void {
    const isNamed = to - from === 5 && bytes[from + 3] === 0x3d && bytes[from + 4] === 0x31;
    const name = isNamed ? String.fromCharCode(...bytes.subarray(from, from + 3)) : "";
    if (name !== "get" && name !== "set") {
      this.#lastError = "an unknown operation";
      this.#closed = true;
      return;
    }
    this.#isGet = name === "get";
    this.#state = this.#isGet ? State.Get : State.Set;
    this.#set = this.#isGet ? null : new SetParser(this.#limits, this.#interfaceIndex);
    this.#bodyBytes = 0;
    this.#bodyLines = 0;
    this.#bodyError = null;
  }

  #endOfBody(): void {
    const set = this.#set;
    this.#set = null;
    this.#state = State.Operation;
    try {
      if (this.#bodyError !== null) throw this.#bodyError;
      if (set !== null) this.#target.apply(set.finish());
      this.#output = this.#answer(this.#isGet ? statusChunks(this.#target.status()) : [], 0);
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      const errno = error instanceof ConfigurationError ? error.errno : UNKNOWN_ERRNO;
      this.#fail(message, errno);
    }
  }

  #fail(message: string, errno: number): void {
    this.#lastError = `${this.#isGet ? "get" : "set"} failed: ${message} (${errnoName(errno)})`;
    this.#output = this.#answer([], errno);
  }

  /** Answers at once and ends the connection, for a client that goes beyond all bounds. */
  #giveUp(message: string): void {
    this.#set = null;
    this.#partial.fill(0);
    if (this.#state === State.Operation) this.#lastError = message;
    else this.#fail(message, Errno.EPROTO);
    this.#closed = true;
  }

  *#answer(chunks: Iterable<Uint8Array>, errno: number): Generator<Uint8Array> {
    yield* chunks;
    // `wg` 1.0.20210914 prints the right message for a negative number after a set and for a
    // positive one after a get.
    const signed = this.#isGet ? errno : -errno;
    yield new TextEncoder().encode(`errno=${signed === 0 ? 0 : signed}\n\n`);
  }
}
