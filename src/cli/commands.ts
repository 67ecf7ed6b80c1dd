/** All commands, in the order of the help. */
import type { CommandSpec } from "./command_spec.ts";
import { benchCommand } from "./bench_command.ts";
import { completionsCommand } from "./completions_command.ts";
import { demoCommand } from "./demo_command.ts";
import { downCommand } from "./down_command.ts";
import { genkeyCommand } from "./genkey_command.ts";
import { genpskCommand } from "./genpsk_command.ts";
import { addconfCommand, setconfCommand, syncconfCommand } from "./load_commands.ts";
import { peerAddCommand } from "./peer_add_command.ts";
import { peerListCommand } from "./peer_list_command.ts";
import { peerRemoveCommand } from "./peer_remove_command.ts";
import { pubkeyCommand } from "./pubkey_command.ts";
import { serviceInstallCommand, serviceRemoveCommand } from "./service_command.ts";
import { reloadCommand } from "./reload_command.ts";
import { setCommand } from "./set_command.ts";
import { showCommand } from "./show_command.ts";
import { showconfCommand } from "./showconf_command.ts";
import { statusCommand } from "./status_command.ts";
import { upCommand } from "./up_command.ts";
import { versionCommand } from "./version_command.ts";

export const COMMANDS: readonly CommandSpec[] = [
  upCommand,
  downCommand,
  reloadCommand,
  peerAddCommand,
  peerRemoveCommand,
  peerListCommand,
  statusCommand,
  showCommand,
  showconfCommand,
  setCommand,
  setconfCommand,
  addconfCommand,
  syncconfCommand,
  genkeyCommand,
  genpskCommand,
  pubkeyCommand,
  demoCommand,
  benchCommand,
  serviceInstallCommand,
  serviceRemoveCommand,
  completionsCommand(() => COMMANDS),
  versionCommand,
];
