/**
 * One connection to the UAPI socket, the interface that `wg` and its relatives speak: operations
 * `get=1` and `set=1`, each ended by a blank line and answered by `errno=N` and a blank line, several
 * per connection, and requests of our own commands (`request.ts`). Bytes in, bytes out; whoever owns
 * the socket moves them.
 *
 * What a client can make this hold is bounded: a line, the text of a `set`, what it asks for, and
 * what it sends while an answer waits to be read.
 */
import { Errno, errnoName } from "../base/errno.ts";
import { InvariantError } from "../base/invariant.ts";
import { ConfigurationError, type ConfigurationTarget } from "../wireguard/configuration.ts";
import type { InterfaceIndex } from "./address_text.ts";
import {
  formatField,
  parseField,
  RequestError,
  type RequestField,
  type RequestHandler,
  type RequestHandlers,
  requestName,
} from "./request.ts";
import { statusChunks } from "./uapi_get.ts";
import { type SetLimits, SetParser } from "./uapi_set.ts";

/** What `errno` says when the failure is none of the protocol's own. */
const UNKNOWN_ERRNO = 55;

const NEWLINE = 0x0a;
/** Lines that a request of our own may have: a whole config passes. */
const REQUEST_LINES_MAX = 1 << 18;
/** Fields of an answer that become one chunk of output. */
const ANSWER_FIELDS_PER_CHUNK = 256;

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
  /** In the body of a request of our own. */
  Request: 4,
} as const;
type State = (typeof State)[keyof typeof State];

/** The state in which the body of an operation is read. */
const StateOf = { get: State.Get, set: State.Set, request: State.Request } as const;

/** What a session may be given beside its target. */
export interface UapiSessionOptions {
  readonly interfaceIndex?: InterfaceIndex;
  readonly limits?: Partial<UapiLimits>;
  /** Requests of our own commands that are served; none by default. */
  readonly requests?: RequestHandlers;
  /** Told when an answer that took its time is ready: poll for output again. */
  readonly onOutput?: () => void;
}

/** What a client asked for, for the text of an error. */
type OperationName = "get" | "set" | "request";

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
  #name: OperationName = "get";
  #request: { handler: RequestHandler; fields: [string, string][] } | null = null;
  /** Whether the handler of a request has not answered yet. */
  #isAnswerPending = false;
  readonly #requests: RequestHandlers;
  readonly #onOutput: () => void;
  #set: SetParser | null = null;
  #bodyBytes = 0;
  #bodyLines = 0;
  #bodyError: ConfigurationError | null = null;
  #output: Iterator<Uint8Array> | null = null;
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #closed = false;
  #lastError: string | null = null;

  constructor(target: ConfigurationTarget, options: UapiSessionOptions = {}) {
    this.#target = target;
    this.#requests = options.requests ?? new Map();
    this.#onOutput = options.onOutput ?? (() => {});
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
    return !this.#closed && !this.#isBusy;
  }

  /** Why the last operation that failed did, for the log; it holds nothing secret. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Takes what the client sent, an array that is not shared between threads. */
  onData(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (!this.#isBusy) this.#consume(bytes);
    else if (this.#mayPostpone(bytes.length)) this.#backlog.push(bytes.slice());
  }

  /** The next bytes to send, a new array that belongs to the caller; null when there are none. */
  pollOutput(): Uint8Array | null {
    while (this.#output !== null) {
      const next = this.#output.next();
      if (!next.done) return next.value;
      this.#output = null;
      while (!this.#isBusy && this.#backlog.length > 0) {
        const bytes = this.#backlog.shift()!;
        this.#backlogBytes -= bytes.length;
        if (!this.#closed) this.#consume(bytes);
        bytes.fill(0);
      }
    }
    return null;
  }

  /** Whether an answer waits to be read, or to be made. */
  get #isBusy(): boolean {
    return this.#output !== null || this.#isAnswerPending;
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
      if (this.#isBusy) {
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
      if (this.#request !== null) return this.#requestLine(bytes, from, to);
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
      this.#request = null;
      this.#state = State.Skip;
    }
  }

  #requestLine(bytes: Uint8Array, from: number, to: number): void {
    const field = parseField(new TextDecoder().decode(bytes.subarray(from, to)));
    if (field === null) throw new ConfigurationError("expected key=value", Errno.EINVAL);
    if (this.#request!.fields.push(field) <= REQUEST_LINES_MAX) return;
    throw new ConfigurationError("too many lines", Errno.EINVAL);
  }

  #operation(bytes: Uint8Array, from: number, to: number): void {
    const line = new TextDecoder().decode(bytes.subarray(from, to));
    const handler = this.#requests.get(requestName(line) ?? "");
    if (line !== "get=1" && line !== "set=1" && handler === undefined) {
      this.#lastError = "an unknown operation";
      this.#closed = true;
      return;
    }
    this.#name = handler !== undefined ? "request" : line === "get=1" ? "get" : "set";
    this.#request = handler === undefined ? null : { handler, fields: [] };
    this.#state = StateOf[this.#name];
    this.#set = this.#name === "set" ? new SetParser(this.#limits, this.#interfaceIndex) : null;
    this.#bodyBytes = 0;
    this.#bodyLines = 0;
    this.#bodyError = null;
  }

  #endOfBody(): void {
    const set = this.#set, request = this.#request;
    this.#set = null;
    this.#request = null;
    this.#state = State.Operation;
    try {
      if (this.#bodyError !== null) throw this.#bodyError;
      if (request !== null) return this.#serve(request.handler(request.fields));
      if (set !== null) this.#target.apply(set.finish());
      this.#output = this.#answer(set === null ? statusChunks(this.#target.status()) : [], 0);
    } catch (error) {
      this.#failWith(error);
    }
  }

  /** Answers a request, at once or when its handler is done. */
  #serve(answer: ReturnType<RequestHandler>): void {
    if (!(answer instanceof Promise)) {
      this.#output = this.#answer(fieldChunks(answer), 0);
      return;
    }
    this.#isAnswerPending = true;
    answer.then(
      (fields) => this.#output = this.#answer(fieldChunks(fields), 0),
      (error) => this.#failWith(error),
    ).finally(() => {
      this.#isAnswerPending = false;
      this.#onOutput();
    });
  }

  #failWith(error: unknown): void {
    if (error instanceof InvariantError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const errno = error instanceof ConfigurationError ? error.errno : UNKNOWN_ERRNO;
    this.#fail(message, errno, error instanceof RequestError ? error.reasons : [message]);
  }

  #fail(message: string, errno: number, reasons: readonly string[] = [message]): void {
    this.#lastError = `${this.#name} failed: ${message} (${errnoName(errno)})`;
    const fields = reasons.map((reason): RequestField => ["error", reason]);
    this.#output = this.#answer(this.#name === "request" ? fieldChunks(fields) : [], errno);
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
    const signed = this.#name === "set" ? -errno : errno;
    yield new TextEncoder().encode(`errno=${signed === 0 ? 0 : signed}\n\n`);
  }
}

/** The lines of an answer to a request, as bytes. */
function* fieldChunks(fields: Iterable<RequestField>): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  let lines: string[] = [];
  for (const field of fields) {
    lines.push(formatField(field) + "\n");
    if (lines.length < ANSWER_FIELDS_PER_CHUNK) continue;
    yield encoder.encode(lines.join(""));
    lines = [];
  }
  yield encoder.encode(lines.join(""));
}
