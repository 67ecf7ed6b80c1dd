/** Completions for fish, with descriptions. */
import type { CommandSpec } from "./command_spec.ts";
import { CONFIG_GLOBS, SOCKET_GLOBS } from "./completion_common.ts";
import { flagKind, type WordKind, wordKinds } from "./word_kinds.ts";

/** The script, for `~/.config/fish/completions/longhaul.fish`. */
export function fishCompletion(commands: readonly CommandSpec[]): string {
  const lines: string[] = [];
  const groups = new Map<string, string[]>();
  for (const command of commands) {
    const [first, second] = command.name.split(" ");
    if (second === undefined) {
      lines.push(rule("__longhaul_at", "", `-a ${first} -d ${quoted(command.summary)}`));
    } else {
      groups.set(first, [...(groups.get(first) ?? []), second]);
      lines.push(rule("__longhaul_at", first, `-a ${second} -d ${quoted(command.summary)}`));
    }
  }
  for (const [first, seconds] of groups) {
    lines.push(rule("__longhaul_at", "", `-a ${first} -d ${quoted(seconds.join(", "))}`));
  }
  for (const command of commands) lines.push(...commandLines(command));
  return SCRIPT
    .replace("@LINES@", () => lines.join("\n"))
    .replace("@VALUED@", () => valuedFlags(commands).join(" "))
    .replace("@SOCKETS@", () => SOCKET_GLOBS.join(" "))
    .replace("@CONFIGS@", () => CONFIG_GLOBS.join(" "));
}

function commandLines(command: CommandSpec): string[] {
  const lines = command.flags.map((flag) => {
    const kind = flagKind(flag);
    const short = flag.alias === undefined ? "" : ` -s ${flag.alias}`;
    const value = kind === null ? "" : ` -r ${kindOptions(kind)}`.trimEnd();
    const help = quoted(flag.help);
    return rule("__longhaul_in", command.name, `-l ${flag.name}${short}${value} -d ${help}`);
  });
  wordKinds(command).forEach((kind, position) => {
    const options = kindOptions(kind);
    const place = [command.name, ...Array<string>(position).fill("_")].join(" ");
    if (options !== "") lines.push(rule("__longhaul_at", place, options));
  });
  return lines;
}

function valuedFlags(commands: readonly CommandSpec[]): string[] {
  const valued = commands.flatMap(({ flags }) => flags.filter((flag) => flag.value !== undefined));
  return [...new Set(valued.map(({ name }) => `--${name}`))];
}

/** Options of `complete` that offer what a kind stands for. */
function kindOptions(kind: WordKind): string {
  const offers = [
    ...(kind.interfaces ? ["(__longhaul_interfaces)"] : []),
    ...(kind.configs ? ["(__longhaul_configs)"] : []),
    ...kind.words,
  ];
  const list = offers.length === 0 ? "" : `-a ${quoted(offers.join(" "))}`;
  return kind.files ? `-F ${list}`.trimEnd() : list;
}

function rule(condition: string, words: string, options: string): string {
  return `complete -c longhaul -n ${quoted(`${condition} ${words}`.trimEnd())} ${options}`;
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}

const SCRIPT = `# Completions of longhaul for fish, made by: longhaul completions fish
#
#   longhaul completions fish >~/.config/fish/completions/longhaul.fish

# The words before the cursor, without the program, the flags and their values.
function __longhaul_words
    set -l words (commandline -opc)
    set -e words[1]
    set -l before ''
    for word in $words
        if not string match -q -- '-*' $word; and not contains -- "$before" @VALUED@
            echo $word
        end
        set before $word
    end
end

# Whether exactly these words stand before the cursor; _ is any word.
function __longhaul_at
    set -l words (__longhaul_words)
    test (count $words) -eq (count $argv); or return 1
    for i in (seq (count $argv))
        test "$argv[$i]" = _ -o "$argv[$i]" = "$words[$i]"; or return 1
    end
end

# Whether these words stand before the cursor, and maybe others behind them.
function __longhaul_in
    set -l words (__longhaul_words)
    set -l wanted (count $argv)
    test (count $words) -ge $wanted; and test "$words[1..$wanted]" = "$argv"
end

function __longhaul_stems
    for path in $argv
        string replace -r '.*/' '' -- $path | string replace -r '\\.[^.]*$' ''
    end
end

function __longhaul_interfaces
    set -l paths @SOCKETS@
    __longhaul_stems $paths
end

function __longhaul_configs
    set -l paths @CONFIGS@
    __longhaul_stems $paths
    set -l start (commandline -ct)
    set -l files $start*.conf $start*/
    for file in $files
        echo $file
    end
end

complete -c longhaul -f
complete -c longhaul -l help -s h -d 'Tell more'
complete -c longhaul -n '__longhaul_at' -l version -d 'Tell the version'
@LINES@
`;
