/** `longhaul completions SHELL`: a script that teaches a shell the commands, flags and names. */
import { printText } from "../daemon/terminal.ts";
import type { CommandSpec } from "./command_spec.ts";
import { bashCompletion } from "./completion_bash.ts";
import { fishCompletion } from "./completion_fish.ts";
import { zshCompletion } from "./completion_zsh.ts";
import { UsageError } from "./environment.ts";

const SHELLS: Readonly<Record<string, (commands: readonly CommandSpec[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** The command; `commandsOf` gives all of them, this one included. */
export function completionsCommand(commandsOf: () => readonly CommandSpec[]): CommandSpec {
  return {
    name: "completions",
    summary: "print the completions of a shell",
    words: "bash|zsh|fish",
    count: { min: 1, max: 1, rule: "completions takes bash, zsh or fish" },
    flags: [],
    examples: [
      ["completions bash >/etc/bash_completion.d/longhaul", "for bash, for everybody"],
      ['completions zsh >"${fpath[1]}/_longhaul"', "for zsh"],
      ["completions fish >~/.config/fish/completions/longhaul.fish", "for fish"],
    ],
    run: ({ words: [shell] }) => {
      const make = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
      if (make === undefined) {
        throw new UsageError(`completions takes bash, zsh or fish, not "${shell}"`);
      }
      printText(make(commandsOf()));
      return 0;
    },
  };
}
