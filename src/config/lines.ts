/**
 * The lines of a config file: wg-quick's format, `[Section]` and `Key = value`, with `#` comments.
 *
 * A line behind `#:` is one of ours in a file that `wg` and wg-quick have to read as well. Such
 * lines have sections of their own: `#: [Longhaul]` holds for the `#:` lines that follow and leaves
 * the section of ordinary lines alone; the next ordinary section ends it.
 */
import type { Diagnostics } from "./diagnostic.ts";

/** Keys whose values are commands for a shell: a `#` there is the shell's, and stays. */
const VERBATIM_KEYS: ReadonlySet<string> = new Set(["preup", "postup", "predown", "postdown"]);

/** A line that begins a section. */
export interface SectionLine {
  readonly kind: "section";
  readonly name: string;
  /** Whether it stands behind `#:`. */
  readonly isMarked: boolean;
  readonly line: number;
  readonly column: number;
}

/** A line that sets a key. */
export interface KeyLine {
  readonly kind: "key";
  readonly key: string;
  readonly value: string;
  readonly isMarked: boolean;
  readonly line: number;
  readonly keyColumn: number;
  readonly valueColumn: number;
}

/** Yields what the lines of a file say, in order; reports lines that say nothing. */
export function* readLines(
  text: string,
  diagnostics: Diagnostics,
): Generator<SectionLine | KeyLine, void> {
  let number = 0;
  for (let from = 0; from <= text.length;) {
    const newline = text.indexOf("\n", from);
    const to = newline < 0 ? text.length : newline;
    const line = readLine(text.slice(from, to), ++number, diagnostics);
    if (line !== null) yield line;
    from = to + 1;
  }
}

function readLine(
  raw: string,
  line: number,
  diagnostics: Diagnostics,
): SectionLine | KeyLine | null {
  const mark = /^\s*#:/.exec(raw);
  const isMarked = mark !== null;
  const from = skipSpace(raw, mark?.[0].length ?? 0);
  const content = raw.slice(from, contentEnd(raw, from)).trimEnd();
  if (content === "") return null;
  if (content[0] === "[") {
    if (content.at(-1) === "]") {
      const name = content.slice(1, -1).trim();
      return { kind: "section", name, isMarked, line, column: from + 1 };
    }
    diagnostics.error(line, from + 1, "expected `]` at the end of the section's name");
    return null;
  }
  const equals = content.indexOf("=");
  if (equals < 0) {
    diagnostics.error(line, from + 1, "expected `Key = value` or `[Section]`");
    return null;
  }
  return {
    kind: "key",
    key: content.slice(0, equals).trim(),
    value: content.slice(equals + 1).trim(),
    isMarked,
    line,
    keyColumn: from + 1,
    valueColumn: skipSpace(raw, from + equals + 1) + 1,
  };
}

/** Where the comment of a line begins, or its end. */
function contentEnd(raw: string, from: number): number {
  const hash = raw.indexOf("#", from);
  if (hash < 0) return raw.length;
  const key = raw.slice(from, hash).split("=", 2);
  return key.length === 2 && VERBATIM_KEYS.has(key[0].trim().toLowerCase()) ? raw.length : hash;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at])) at++;
  return at;
}
