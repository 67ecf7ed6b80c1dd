/**
 * Requests of our own commands over the UAPI socket, beside `get` and `set`: what only this program
 * can tell or do (`stats`, `reload`).
 *
 * ```text
 * longhaul=NAME          one operation, named
 * key=value              its fields, none or many
 *                        a blank line
 * ---
 * key=value              the answer's fields; of a failure, `error` says why, maybe several times
 * errno=N
 *                        a blank line
 * ```
 *
 * Other programs close the connection at an operation that they do not know, and so does an older
 * version of this one: no answer means "not one of us". The socket's file is for its owner alone.
 */
import { Errno } from "../base/errno.ts";
import { ConfigurationError } from "../wireguard/configuration.ts";

/** One line of a request or an answer; the value has no line end. */
export type RequestField = readonly [key: string, value: string | number];

/** The lines of a request. */
export interface ControlRequest {
  readonly name: string;
  readonly fields: readonly (readonly [key: string, value: string])[];
}

/**
 * Answers one request; may take its time, the connection waits. Throws or rejects with a
 * `RequestError` or `ConfigurationError` whose text goes to the client.
 */
export type RequestHandler = (
  fields: ControlRequest["fields"],
) => Iterable<RequestField> | Promise<Iterable<RequestField>>;

/** The requests that a process serves, by name. They may be added while it runs. */
export type RequestHandlers = ReadonlyMap<string, RequestHandler>;

/** A request that cannot be done, with everything that is to be said about it. */
export class RequestError extends ConfigurationError {
  override name = "RequestError";

  constructor(readonly reasons: readonly string[], errno: number = Errno.EINVAL) {
    super(reasons.join("; "), errno);
  }
}

/** Names of requests on the wire. */
const NAME = /^longhaul=([a-z_]{1,32})$/;

/** The name in the first line of a request; null when it is something else. */
export function requestName(line: string): string | null {
  return NAME.exec(line)?.[1] ?? null;
}

/** The text of a request, its blank line included. */
export function formatRequest({ name, fields }: ControlRequest): string {
  return [`longhaul=${name}`, ...fields.map(([key, value]) => formatField([key, value])), "", ""]
    .join("\n");
}

/** One line of text, without its end. A line end within a value becomes a blank. */
export function formatField([key, value]: RequestField): string {
  return `${key}=${String(value).replace(/[\r\n]+/g, " ")}`;
}

/** Bytes of text per line: in base64 they stay below what a line may have. */
const TEXT_BYTES_PER_LINE = 360;

/** A text of any size as fields of that name, in base64, since lines are short and have no ends. */
export function textFields(name: string, text: string): [string, string][] {
  const bytes = new TextEncoder().encode(text);
  const fields: [string, string][] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += TEXT_BYTES_PER_LINE) {
    const chunk = bytes.subarray(at, at + TEXT_BYTES_PER_LINE);
    fields.push([name, btoa(String.fromCharCode(...chunk))]);
  }
  return fields;
}

/**
 * The text that `textFields` has made fields of; null when there are none of that name. Throws
 * `RequestError` when they are not base64.
 */
export function textOf(name: string, fields: ControlRequest["fields"]): string | null {
  const chunks = fields.filter(([key]) => key === name).map(([, value]) => value);
  if (chunks.length === 0) return null;
  try {
    const parts = chunks.map((chunk) => Uint8Array.from(atob(chunk), (char) => char.charCodeAt(0)));
    const decoder = new TextDecoder();
    return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
  } catch {
    throw new RequestError([`the field ${name} is not in base64`]);
  }
}

/** The key and value of a line; null when it has none. */
export function parseField(line: string): [string, string] | null {
  const equals = line.indexOf("=");
  return equals <= 0 ? null : [line.slice(0, equals), line.slice(equals + 1)];
}

/**
 * The fields of a whole answer. Null when the program there is not one of us; throws `RequestError`
 * when the answer tells of a failure.
 */
export function parseAnswer(text: string): [string, string][] | null {
  const lines = text.split("\n");
  // wireguard-go ends the connection without a word, others answer an error of their own.
  const fields = lines.slice(0, -2).map(parseField);
  const last = fields.at(-1);
  if (!text.endsWith("\n\n") || last === undefined || last === null || last[0] !== "errno") {
    return null;
  }
  const body = fields.slice(0, -1).filter((field) => field !== null);
  if (last[1] === "0") return body;
  const reasons = body.filter(([key]) => key === "error").map(([, value]) => value);
  if (reasons.length === 0) return null;
  throw new RequestError(reasons, Math.abs(Number(last[1])));
}
