/** `longhaul version`: this program's version, and what it runs on. */
import { VERSION } from "../base/version.ts";
import { printText } from "../daemon/terminal.ts";
import type { CommandSpec } from "./command_spec.ts";

export const versionCommand: CommandSpec = {
  name: "version",
  summary: "tell the versions of this program and of what it runs on",
  words: "",
  count: { min: 0, max: 0, rule: "version takes nothing" },
  flags: [],
  examples: [["version", "for a report of a fault"], ["--version", "the first line alone"]],
  run: () => {
    const { deno, v8 } = Deno.version;
    const host = `${Deno.build.os} ${Deno.build.arch}`;
    printText(`longhaul ${VERSION}\ndeno ${deno} (v8 ${v8}), ${host}\n`);
    return 0;
  },
};
