/** The flags of commands that stay in the foreground and log. */
import { LOG_FORMATS } from "../daemon/log_format.ts";
import { LOG_LEVELS } from "../daemon/log_setup.ts";
import type { FlagSpec } from "./command_spec.ts";

export const LOG_FLAGS: readonly FlagSpec[] = [
  {
    name: "log-level",
    value: "LEVEL",
    choices: LOG_LEVELS,
    help: `${LOG_LEVELS.join(", ")}; LOG_LEVEL or info`,
  },
  {
    name: "log-format",
    value: "FORMAT",
    choices: LOG_FORMATS,
    help: `${LOG_FORMATS.join(", ")}; LOG_FORMAT or what fits`,
  },
];
