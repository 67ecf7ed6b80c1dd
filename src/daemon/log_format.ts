/** Log lines as text, as JSON and as fields of the journal. Pure functions over LogTape's records. */
import type { LogRecord } from "@logtape/logtape";
import { withoutKeys } from "../base/redact.ts";
import type { Painter, StyleName } from "./terminal.ts";

/** The forms that a user can name. */
export const LOG_FORMATS = ["text", "json", "journal"] as const;

/** One of `LOG_FORMATS`. */
export type LogFormat = (typeof LOG_FORMATS)[number];

type Level = LogRecord["level"];

/** Priorities of syslog (RFC 5424, section 6.2.1). */
const PRIORITIES: Record<Level, number> = {
  fatal: 2,
  error: 3,
  warning: 4,
  info: 6,
  debug: 7,
  trace: 7,
};

const STYLES: Partial<Record<Level, StyleName>> = {
  fatal: "red",
  error: "red",
  warning: "yellow",
  debug: "dim",
  trace: "dim",
};

/** A line is cut here: a pipe takes so much in one piece. */
const LINE_LENGTH_MAX = 3800;

/** The message of a record, without any key. */
export function messageOf(record: LogRecord): string {
  return withoutKeys(record.message.join("")).slice(0, LINE_LENGTH_MAX);
}

/** `WARNING: (wg0) text`, as wireguard-go writes it; line ends within the text are indented. */
export function textLine(record: LogRecord, paint: Painter): string {
  const name = record.category[1] ?? "";
  const level = record.level.toUpperCase();
  const style = STYLES[record.level];
  const head = `${style === undefined ? level : paint(style, level)}: (${name}) `;
  return `${head}${messageOf(record).replace(/\n/g, "\n    ")}\n`;
}

/** The same with the mark that tells systemd a line's priority (sd-daemon(3)). */
export function priorityLine(record: LogRecord): string {
  const prefix = `<${PRIORITIES[record.level]}>`;
  const text = textLine(record, (_style, text) => text).trimEnd();
  return text.split("\n").map((line) => `${prefix}${line}\n`).join("");
}

/** One JSON text per line: time, level, interface, message and the record's fields. */
export function jsonLine(record: LogRecord): string {
  return JSON.stringify({
    time: new Date(record.timestamp).toISOString(),
    level: record.level,
    interface: record.category[1] ?? "",
    message: messageOf(record),
    ...fieldsOf(record),
  }) + "\n";
}

/**
 * A datagram for the journal: `NAME=value` and a line end each; a value of several lines stands
 * behind its name and its length as 64 bits, little endian (JOURNAL_NATIVE_PROTOCOL of systemd).
 */
export function journalDatagram(record: LogRecord): Uint8Array<ArrayBuffer> {
  const fields: [string, string][] = [
    ["MESSAGE", messageOf(record)],
    ["PRIORITY", String(PRIORITIES[record.level])],
    ["SYSLOG_IDENTIFIER", "longhaul"],
    ["LONGHAUL_INTERFACE", record.category[1] ?? ""],
    ...Object.entries(fieldsOf(record)).map(([name, value]): [string, string] => [
      `LONGHAUL_${name.replace(/[^A-Za-z0-9]/g, "_").toUpperCase()}`,
      String(value),
    ]),
  ];
  return concat(fields.map(([name, value]) => journalField(name, value)));
}

function journalField(name: string, value: string): Uint8Array {
  const encoder = new TextEncoder();
  if (!value.includes("\n")) return encoder.encode(`${name}=${value}\n`);
  const bytes = encoder.encode(value);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return concat([encoder.encode(`${name}\n`), length, bytes, encoder.encode("\n")]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The fields of a record, without any key. */
function fieldsOf(record: LogRecord): Record<string, string | number | boolean> {
  const fields: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(record.properties)) {
    if (typeof value === "string") fields[name] = withoutKeys(value);
    else if (typeof value === "number" || typeof value === "boolean") fields[name] = value;
  }
  return fields;
}
