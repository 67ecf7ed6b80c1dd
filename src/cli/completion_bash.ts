/** Completions for bash, without the bash-completion package. */
import type { CommandSpec } from "./command_spec.ts";
import { flagKind, type WordKind, wordKinds } from "./word_kinds.ts";
import { COMMON_FLAG_WORDS, CONFIG_GLOBS, SOCKET_GLOBS } from "./completion_common.ts";

/** The script; it defines `_longhaul` and registers it. */
export function bashCompletion(commands: readonly CommandSpec[]): string {
  const flags: string[] = [], words: string[] = [];
  for (const command of commands) {
    const { name } = command;
    const names = [...command.flags.map((flag) => `--${flag.name}`), "--help"];
    flags.push(entry(name, names.join(" ")));
    wordKinds(command).forEach((kind, position) => {
      if (kindText(kind) !== "") words.push(entry(`${name} ${position}`, kindText(kind)));
    });
    for (const flag of command.flags) {
      const kind = flagKind(flag);
      if (kind !== null) words.push(entry(`${name} --${flag.name}`, kindText(kind)));
    }
  }
  return SCRIPT
    .replace("@FIRST@", () => firstWords(commands).join(" "))
    .replace("@NAMES@", () => commands.map(({ name }) => entry(name, "1")).join("\n"))
    .replace("@COMMON@", () => COMMON_FLAG_WORDS.join(" "))
    .replace("@SECOND@", () => secondWords(commands))
    .replace("@FLAGS@", () => flags.join("\n"))
    .replace("@WORDS@", () => words.join("\n"))
    .replace("@SOCKETS@", () => SOCKET_GLOBS.map(bashGlob).join(" "))
    .replace("@CONFIGS@", () => CONFIG_GLOBS.map(bashGlob).join(" "));
}

function entry(key: string, value: string): string {
  return `  ['${key}']='${value}'`;
}

/** A kind as the script reads it: `@interfaces`, `@configs`, `@files` and plain words. */
function kindText(kind: WordKind): string {
  const marks = [
    ...(kind.interfaces ? ["@interfaces"] : []),
    ...(kind.configs ? ["@configs"] : []),
    ...(kind.files ? ["@files"] : []),
  ];
  return [...marks, ...kind.words].join(" ");
}

function firstWords(commands: readonly CommandSpec[]): string[] {
  return [...new Set(commands.map(({ name }) => name.split(" ")[0]))];
}

/** For commands of two words: the second ones by the first. */
function secondWords(commands: readonly CommandSpec[]): string {
  const second = new Map<string, string[]>();
  for (const { name } of commands) {
    const [first, word] = name.split(" ");
    if (word !== undefined) second.set(first, [...(second.get(first) ?? []), word]);
  }
  return [...second].map(([first, words]) => entry(first, words.join(" "))).join("\n");
}

/** A glob with its variables in quotes. */
function bashGlob(glob: string): string {
  return glob.replace(/^\$(\w+)/, (_all, name) => `"\${${name}:-/nonexistent}"`);
}

const SCRIPT = `# Completions of longhaul for bash, made by: longhaul completions bash
#
#   longhaul completions bash >/etc/bash_completion.d/longhaul

declare -gA _longhaul_names=(
@NAMES@
)
declare -gA _longhaul_second=(
@SECOND@
)
declare -gA _longhaul_flags=(
@FLAGS@
)
declare -gA _longhaul_words=(
@WORDS@
)

# Prints the names of the files that exist among its arguments, without folder and ending.
_longhaul_stems() {
  local path
  for path; do
    [[ -e $path || -L $path ]] || continue
    path=\${path##*/}
    printf '%s\\n' "\${path%.*}"
  done
}

# Adds what the kinds $1 stand for to COMPREPLY, as far as it begins with $2.
_longhaul_complete() {
  local kind file
  for kind in $1; do
    case $kind in
    @interfaces)
      COMPREPLY+=($(compgen -W "$(_longhaul_stems @SOCKETS@)" -- "$2"))
      ;;
    @configs)
      COMPREPLY+=($(compgen -W "$(_longhaul_stems @CONFIGS@)" -- "$2"))
      compopt -o filenames 2>/dev/null
      while IFS= read -r file; do
        [[ $file == *.conf || -d $file ]] && COMPREPLY+=("$file")
      done < <(compgen -f -- "$2")
      ;;
    @files)
      compopt -o filenames 2>/dev/null
      while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$2")
      ;;
    *) [[ $kind == "$2"* ]] && COMPREPLY+=("$kind") ;;
    esac
  done
}

_longhaul() {
  local current=\${COMP_WORDS[COMP_CWORD]} command="" first="" flag="" word i position=0
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $flag ]]; then
      flag=""
    elif [[ $word == --* ]]; then
      [[ -n \${_longhaul_words["$command $word"]+set} ]] && flag=$word
    elif [[ $word == -* ]]; then
      continue
    elif [[ -z $command && -n \${_longhaul_names["$first$word"]+set} ]]; then
      command=$first$word
    elif [[ -z $command && -z $first && -n \${_longhaul_second["$word"]+set} ]]; then
      first="$word "
    else
      position=$((position + 1))
    fi
  done
  if [[ -n $flag ]]; then
    _longhaul_complete "\${_longhaul_words["$command $flag"]}" "$current"
  elif [[ -z $command && -n $first ]]; then
    _longhaul_complete "\${_longhaul_second["\${first% }"]}" "$current"
  elif [[ -z $command ]]; then
    [[ $position -gt 0 ]] && return
    _longhaul_complete "@FIRST@ @COMMON@" "$current"
  elif [[ $current == -* ]]; then
    _longhaul_complete "\${_longhaul_flags["$command"]}" "$current"
  else
    _longhaul_complete "\${_longhaul_words["$command $position"]-}" "$current"
  fi
}

complete -F _longhaul longhaul
`;
