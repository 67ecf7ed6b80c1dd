/**
 * What a command is: its words, its flags, and what runs it. Parsing, `--help`, shell completions and
 * the lists in docs/ all come from these tables.
 */

/** One flag of a command. */
export interface FlagSpec {
  /** Without the dashes. */
  readonly name: string;
  /** One letter, without the dash. */
  readonly alias?: string;
  /** What stands for the value in the help; a flag without it takes none. */
  readonly value?: string;
  /** The values that it takes, where there are only some. */
  readonly choices?: readonly string[];
  /** What the flag does, in some words. */
  readonly help: string;
}

/** The flags that were given. */
export class Flags {
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(values: ReadonlyMap<string, string | true>) {
    this.#values = values;
  }

  /** Whether a flag was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of a flag that takes one. */
  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return value === true ? undefined : value;
  }

  /** The names of all flags that were given. */
  names(): string[] {
    return [...this.#values.keys()];
  }
}

/** What a command is called with. */
export interface CommandInput {
  /** What stands behind the command, without the flags. */
  readonly words: readonly string[];
  readonly flags: Flags;
  /** The program's own URL, to start it once more. */
  readonly mainUrl: string;
}

/** One command. */
export interface CommandSpec {
  /** What is typed; commands of two words such as `peer add` have a space in it. */
  readonly name: string;
  /** What it does, in one line. */
  readonly summary: string;
  /** What stands behind the name, as the help shows it: `FILE|NAME`. */
  readonly words: string;
  /** The words that one in capitals stands for, where there are only some: `{ FIELD: [...] }`. */
  readonly choices?: Readonly<Record<string, readonly string[]>>;
  /** How many words there may be, and what is said when there are more or fewer. */
  readonly count: { readonly min: number; readonly max: number; readonly rule: string };
  readonly flags: readonly FlagSpec[];
  /**
   * Everything behind the name is a word, also what begins with a dash (`allowed-ips -10.0.0.0/8`);
   * `--help` alone is still the flag.
   */
  readonly takesAllWords?: boolean;
  /** Command lines to learn from, without the program's name, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Paragraphs for its own help. */
  readonly about?: string;
  /** Runs it; the exit code. Throws `UsageError` for what cannot be meant. */
  run(input: CommandInput): number | Promise<number>;
}
