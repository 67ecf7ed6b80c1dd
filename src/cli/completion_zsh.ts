/** Completions for zsh, with descriptions. */
import type { CommandSpec, FlagSpec } from "./command_spec.ts";
import { CONFIG_GLOBS, SOCKET_GLOBS } from "./completion_common.ts";
import { flagKind, type WordKind, wordKinds } from "./word_kinds.ts";

/** The script, to be named `_longhaul` in a folder of `fpath`, or to be sourced after compinit. */
export function zshCompletion(commands: readonly CommandSpec[]): string {
  const singles = commands.filter(({ name }) => !name.includes(" "));
  const groups = Map.groupBy(
    commands.filter(({ name }) => name.includes(" ")),
    ({ name }) => name.split(" ")[0],
  );
  const first = [
    ...singles.map(({ name, summary }) => described(name, summary)),
    ...[...groups].map(([name, members]) => {
      return described(name, members.map((member) => member.name.split(" ")[1]).join(", "));
    }),
  ];
  const cases = [
    ...singles.map((command) => `  ${command.name})\n${argumentsCall(command, "    ")}\n    ;;`),
    ...[...groups].map(([name, members]) => groupCase(name, members)),
  ];
  return SCRIPT
    .replace("@FIRST@", () => first.map((line) => `    ${line}`).join("\n"))
    .replace("@CASES@", () => cases.join("\n"))
    .replace("@SOCKETS@", () => SOCKET_GLOBS.map(zshGlob).join(" "))
    .replace("@CONFIGS@", () => CONFIG_GLOBS.map(zshGlob).join(" "));
}

function groupCase(name: string, members: readonly CommandSpec[]): string {
  const second = members.map((member) => described(member.name.split(" ")[1], member.summary));
  const cases = members.map((member) => {
    return `    ${member.name.split(" ")[1]})\n${argumentsCall(member, "      ")}\n      ;;`;
  });
  return `  ${name})
    shift words
    ((CURRENT--))
    if ((CURRENT == 1)); then
      commands=(
${second.map((line) => `        ${line}`).join("\n")}
      )
      _describe -t commands command commands
      return
    fi
    case $words[1] in
${cases.join("\n")}
    esac
    ;;`;
}

function argumentsCall(command: CommandSpec, indent: string): string {
  const specs = [
    ...command.flags.flatMap(flagSpecs),
    quoted("--help[tell more of this command]"),
    ...wordKinds(command).map((kind, i) => quoted(`${i + 1}:${label(command, i)}:${action(kind)}`)),
  ];
  return `${indent}_arguments ${specs.join(` \\\n${indent}  `)}`;
}

function flagSpecs(flag: FlagSpec): string[] {
  const kind = flagKind(flag);
  const value = kind === null ? "" : `:${flag.value}:${action(kind)}`;
  const help = flag.help.replace(/[[\]]/g, "").replaceAll(":", "\\:");
  const names = [`--${flag.name}`, ...(flag.alias === undefined ? [] : [`-${flag.alias}`])];
  return names.map((name) => quoted(`${name}[${help}]${value}`));
}

function label(command: CommandSpec, position: number): string {
  return command.words.split(" ")[position].replace(/[[\]]/g, "").replaceAll(":", "");
}

function action(kind: WordKind): string {
  const actions: string[] = [];
  if (kind.interfaces) actions.push("_longhaul_interfaces");
  if (kind.configs) actions.push("_longhaul_configs");
  if (kind.files) actions.push("_files");
  if (kind.words.length > 0) actions.push(`compadd - ${kind.words.join(" ")}`);
  if (actions.length === 0) return " ";
  if (actions.length > 1) return `{${actions.join("; ")}}`;
  return kind.words.length > 0 ? `(${kind.words.join(" ")})` : actions[0];
}

function described(name: string, summary: string): string {
  return quoted(`${name}:${summary.replaceAll(":", "\\:")}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A glob that may match nothing, without folder and ending. */
function zshGlob(glob: string): string {
  return `${glob.replace(/^\$(\w+)/, (_all, name) => `\${${name}:-/nonexistent}`)}(N:t:r)`;
}

const SCRIPT = `#compdef longhaul
# Completions of longhaul for zsh, made by: longhaul completions zsh
#
#   longhaul completions zsh >"\${fpath[1]}/_longhaul"

_longhaul_interfaces() {
  local -a names
  names=(@SOCKETS@)
  compadd -a names
}

_longhaul_configs() {
  local -a names
  names=(@CONFIGS@)
  compadd -a names
  _files -g '*.conf'
}

_longhaul() {
  local -a commands
  if ((CURRENT == 2)); then
    commands=(
@FIRST@
    )
    _describe -t commands command commands
    _arguments '--help[tell all commands]' '--version[tell the version]'
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
@CASES@
  esac
}

if [[ $funcstack[1] == _longhaul ]]; then
  _longhaul "$@"
else
  compdef _longhaul longhaul
fi
`;
