/** The flags of commands that stay in the foreground and log. */
import { LOG_FORMATS } from "../daemon/log_format.ts";
import { LOG_LEVELS } from "../daemon/log_setup.ts";
import type { FlagSpec } from "./command_spec.ts";

export const LOG_FLAGS: readonly FlagSpec[] = [
  { name: "log-level", value: "LEVEL", help: `${LOG_LEVELS.join(", ")}; LOG_LEVEL or info` },
  {
    name: "log-format",
    value: "FORMAT",
    help: `${LOG_FORMATS.join(", ")}; LOG_FORMAT or what fits`,
  },
];
