/** What can stand at each place of a command line, for shell completions and for docs. */
import type { CommandSpec, FlagSpec } from "./command_spec.ts";

/** What completes one word. */
export interface WordKind {
  /** Names of running interfaces. */
  readonly interfaces: boolean;
  /** Names of configs, and files that end in `.conf`. */
  readonly configs: boolean;
  /** Any file. */
  readonly files: boolean;
  /** These words. */
  readonly words: readonly string[];
}

const NOTHING: WordKind = { interfaces: false, configs: false, files: false, words: [] };
type Choices = Readonly<Record<string, readonly string[]>>;

/** Words in the help that stand for a path. */
const PATHS = ["FILE", "PATH", "FOLDER"];

/** What can stand behind a command's name, by position. */
export function wordKinds({ name, words, choices }: CommandSpec): WordKind[] {
  if (words === "") return [];
  const namesPeers = name.startsWith("peer ");
  return words.split(" ").map((word) => kindOf(word, choices ?? {}, namesPeers));
}

/** What can stand behind a flag; null for one without a value. */
export function flagKind({ value, choices }: FlagSpec): WordKind | null {
  if (value === undefined) return null;
  return choices === undefined ? kindOf(value, {}, false) : { ...NOTHING, words: choices };
}

/** What a word of the help stands for, such as `[NAME|all]`. */
function kindOf(word: string, choices: Choices, namesPeers: boolean): WordKind {
  const parts = word.replace(/[[\].]/g, "").split("|");
  const isName = parts.includes("NAME") && !namesPeers;
  const isPath = parts.some((part) => PATHS.includes(part));
  return {
    // FILE|NAME is what is to be brought up, NAME|FILE what runs.
    interfaces: isName && !(isPath && parts[0] === "FILE"),
    configs: isName && isPath,
    files: !isName && isPath,
    words: [
      ...parts.filter((part) => /^[a-z-]+$/.test(part)),
      ...parts.flatMap((part) => choices[part] ?? []),
    ],
  };
}
