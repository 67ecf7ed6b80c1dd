/**
 * Logging through LogTape, with the levels that LOG_LEVEL names in wireguard-go: `verbose` (or
 * `debug`), `error`, `silent`. Lines go to standard error as `level: (interface) text`.
 */
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";
import type { Log } from "../base/log.ts";

/** The levels that a user can name. */
export type LogLevelName = "verbose" | "debug" | "info" | "error" | "silent";

const LOWEST_LEVEL = { verbose: "debug", debug: "debug", info: "info", error: "error" } as const;

/** The level that a value of LOG_LEVEL means; unset and unknown values mean `error`. */
export function parseLogLevel(value: string | undefined): LogLevelName {
  const name = (value ?? "").toLowerCase();
  return ["verbose", "debug", "info", "error", "silent"].includes(name)
    ? name as LogLevelName
    : "error";
}

/** Sets logging up for the process and returns the log of one interface. */
export function setUpLog(interfaceName: string, level: LogLevelName): Log {
  configureSync({
    reset: true,
    sinks: { stderr: writeLine },
    loggers: [
      { category: ["logtape", "meta"], lowestLevel: "fatal", sinks: ["stderr"] },
      {
        category: ["longhaul"],
        lowestLevel: level === "silent" ? null : LOWEST_LEVEL[level],
        sinks: ["stderr"],
      },
    ],
  });
  return getLogger(["longhaul", interfaceName]);
}

function writeLine(record: LogRecord): void {
  const name = record.category[1] ?? "";
  console.error(`${record.level.toUpperCase()}: (${name}) ${record.message.join("")}`);
}
