/** `longhaul showconf NAME`: a running interface as a config file, keys included, as `wg showconf`. */
import { formatShowConf } from "../control/wg_show.ts";
import { printText } from "../daemon/terminal.ts";
import type { CommandSpec } from "./command_spec.ts";
import { readDevice, zoneName } from "./device_client.ts";
import { wipeStatus } from "./show_command.ts";

export const showconfCommand: CommandSpec = {
  name: "showconf",
  summary: "print a running interface as a config file, keys included",
  words: "NAME",
  count: { min: 1, max: 1, rule: "showconf takes the name of an interface" },
  flags: [],
  examples: [["showconf wg0 > wg0.running", "keep what runs (umask 077 first)"]],
  run: ({ words }) => runShowconf(words[0]),
};

function runShowconf(name: string): number {
  const status = readDevice(name);
  const text = formatShowConf({ status, publicKey: null, interfaceName: zoneName });
  wipeStatus(status);
  printText(text);
  return 0;
}
