/**
 * Logging through LogTape, to standard error. The levels are those that LOG_LEVEL names in
 * wireguard-go, and some more; the form is LOG_FORMAT's or, without it, the one that fits:
 *
 * - the fields of the journal when standard error is the journal's (JOURNAL_STREAM), through its own
 *   socket; text with priorities when that cannot be reached;
 * - else text, in colour on a terminal unless NO_COLOR is set.
 */
import { configureSync, getLogger, type Logger, type LogRecord } from "@logtape/logtape";
import type { Log, LogFields } from "../base/log.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { descriptorStatus } from "../../ffi/files.ts";
import {
  journalDatagram,
  jsonLine,
  LOG_FORMATS,
  type LogFormat,
  priorityLine,
  textLine,
} from "./log_format.ts";
import { CountingSink, datagramSink, descriptorSink } from "./log_sink.ts";
import { liveLine } from "./live_line.ts";
import { SetupError } from "./setup_error.ts";
import { painterFor, STDERR_FD, writeText } from "./terminal.ts";

/** The levels that a user can name, with LogTape's lowest level for each. */
const LOWEST_LEVELS = {
  verbose: "debug",
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
  silent: null,
} as const;

/** The names of the levels. */
export type LogLevelName = keyof typeof LOWEST_LEVELS;

/** The form that the process's log has. */
let currentFormat: LogFormat = "text";

const JOURNAL_SOCKET = "/run/systemd/journal/socket";

/** The names, as a list for errors and documents. */
export const LOG_LEVELS = Object.keys(LOWEST_LEVELS) as readonly LogLevelName[];

/** The level that a value of LOG_LEVEL means; unset and unknown values mean `error`. */
export function parseLogLevel(value: string | undefined): LogLevelName {
  const name = (value ?? "").toLowerCase();
  return Object.hasOwn(LOWEST_LEVELS, name) ? name as LogLevelName : "error";
}

/** The level that a flag names, else LOG_LEVEL, else `info`. Throws `SetupError` for another one. */
export function chooseLogLevel(flag: string | undefined): LogLevelName {
  const name = (flag ?? (getEnvironment("LOG_LEVEL") || "info")).toLowerCase();
  if (Object.hasOwn(LOWEST_LEVELS, name)) return name as LogLevelName;
  throw new SetupError(`"${name}" is not a log level: expected ${LOG_LEVELS.join(", ")}`);
}

/** The form that `wanted` or LOG_FORMAT names. Throws `SetupError` for one that does not exist. */
export function chooseLogFormat(wanted = getEnvironment("LOG_FORMAT")): LogFormat {
  const name = (wanted ?? "").toLowerCase();
  if (name === "") return isJournal(STDERR_FD) ? "journal" : "text";
  const known = LOG_FORMATS.find((format) => format === name);
  if (known !== undefined) return known;
  throw new SetupError(`"${name}" is not a log format: expected ${LOG_FORMATS.join(", ")}`);
}

/**
 * Sets logging up for the process and returns the log of one interface. `format` is what a flag
 * asks for; throws `SetupError` when there is no such form.
 */
export function setUpLog(interfaceName: string, level: LogLevelName, format?: string): Log {
  currentFormat = chooseLogFormat(format);
  const write = recordWriter(currentFormat);
  configureSync({
    reset: true,
    sinks: { stderr: write },
    loggers: [
      { category: ["logtape", "meta"], lowestLevel: "fatal", sinks: ["stderr"] },
      { category: ["longhaul"], lowestLevel: LOWEST_LEVELS[level], sinks: ["stderr"] },
    ],
  });
  return new TapeLog(getLogger(["longhaul", interfaceName]));
}

/**
 * Says that something the user has asked for is done: a line for people, whatever the level, or a
 * record where the log is read by programs.
 */
export function announce(log: Log, message: string): void {
  if (currentFormat !== "text") log.info(message, { event: "announcement" });
  else liveLine.above(() => writeText(STDERR_FD, `longhaul: ${message}\n`));
}

/** A function that formats and writes records. */
function recordWriter(format: LogFormat): (record: LogRecord) => void {
  const journal = format === "journal" ? datagramSink(JOURNAL_SOCKET) : null;
  const sink = new CountingSink(descriptorSink(STDERR_FD));
  const encoder = new TextEncoder();
  const paint = painterFor(STDERR_FD);
  const line = (record: LogRecord): string => {
    if (format === "json") return jsonLine(record);
    return format === "journal" ? priorityLine(record) : textLine(record, paint);
  };
  return (record) => {
    // Where the journal does not take it, its stream does.
    if (journal?.(journalDatagram(record))) return;
    liveLine.above(() => {
      sink.write(encoder.encode(line(record)), (lost) => {
        const message = [`${lost} lines of the log were lost: nobody took them`];
        return encoder.encode(line({ ...record, level: "warning", message, properties: { lost } }));
      });
    });
  };
}

/** Whether a descriptor is the stream that systemd has connected to the journal. */
function isJournal(fd: number): boolean {
  const stream = /^(\d+):(\d+)$/.exec(getEnvironment("JOURNAL_STREAM") ?? "");
  const identity = descriptorStatus(fd)?.identity.split(":").map(Number);
  if (stream === null || identity === undefined) return false;
  const [major, minor, inode] = identity;
  return Number(stream[1]) === deviceNumber(major, minor) && Number(stream[2]) === inode;
}

/** `dev_t` as the C library makes it of its parts (gnu_dev_makedev), for majors below 4096. */
function deviceNumber(major: number, minor: number): number {
  return (major & 0xfff) * 256 + (minor & 0xff) + Math.floor(minor / 256) * 2 ** 20;
}

/** A log whose messages are plain text: LogTape would take braces in them for placeholders. */
class TapeLog implements Log {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get wantsDebug(): boolean {
    return this.#logger.isEnabledFor("debug");
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#logger.debug(plain(message), fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#logger.info(plain(message), fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#logger.warn(plain(message), fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#logger.error(plain(message), fields);
  }
}

function plain(message: string): string {
  return message.replaceAll("{", "{{").replaceAll("}", "}}");
}
