/** All commands, in the order of the help. */
import type { CommandSpec } from "./command_spec.ts";
import { downCommand } from "./down_command.ts";
import { statusCommand } from "./status_command.ts";
import { upCommand } from "./up_command.ts";

export const COMMANDS: readonly CommandSpec[] = [
  upCommand,
  downCommand,
  statusCommand,
];
