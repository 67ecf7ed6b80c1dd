/** A log that keeps its lines. */
import type { Log, LogFields } from "../../src/base/log.ts";

/** A line as it was logged. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

export class RecordingLog implements Log {
  readonly lines: LogLine[] = [];

  constructor(readonly wantsDebug = true) {}

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }

  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "info", message, fields });
  }

  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }

  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: "error", message, fields });
  }

  /** The lines of a level and above it, as `level message`. */
  texts(lowest: LogLine["level"] = "info"): string[] {
    const order = ["debug", "info", "warn", "error"];
    return this.lines
      .filter(({ level }) => order.indexOf(level) >= order.indexOf(lowest))
      .map(({ level, message }) => `${level} ${message}`);
  }
}
