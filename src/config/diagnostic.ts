/**
 * What is wrong with a config file, told so that a person can go straight to the place: file, line,
 * column, what was expected. What may be a key is never repeated.
 */

/** One fault, or one thing worth knowing. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** Both begin at 1; a column counts UTF-16 units. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** A diagnostic as one line: `file:line:column: error: message`. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { file, line, column, severity, message } = diagnostic;
  return `${file}:${line}:${column}: ${severity}: ${message}`;
}

/** Diagnostics kept of each severity; a file may have a hundred thousand bad lines. */
const KEPT_MAX = 100;

/** Collects diagnostics in the order in which they are found. */
export class Diagnostics {
  readonly #kept: Diagnostic[] = [];
  readonly #counts = { error: 0, warning: 0 };

  constructor(readonly file: string) {}

  get hasErrors(): boolean {
    return this.#counts.error > 0;
  }

  error(line: number, column: number, message: string): void {
    this.#add({ severity: "error", file: this.file, line, column, message });
  }

  warning(line: number, column: number, message: string): void {
    this.#add({ severity: "warning", file: this.file, line, column, message });
  }

  /** What was found, by line; where there was too much of it, a last entry says how much more. */
  list(): Diagnostic[] {
    const list = this.#kept.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const last = list.at(-1);
    for (const severity of ["error", "warning"] as const) {
      const left = this.#counts[severity] - KEPT_MAX;
      if (left > 0 && last !== undefined) {
        list.push({ ...last, severity, message: `${left} more ${severity}s are not listed` });
      }
    }
    return list;
  }

  #add(diagnostic: Diagnostic): void {
    if (++this.#counts[diagnostic.severity] <= KEPT_MAX) this.#kept.push(diagnostic);
  }
}

/**
 * A piece of the file for a message, unless it or what it was taken from may be a key in base64 or
 * hex; cut short when it is long.
 */
export function quote(text: string, whole = text): string {
  if (text === "") return "nothing";
  if (/[A-Za-z0-9+/_-]{24}/.test(whole.replace(/\s/g, ""))) {
    return "a text that is not shown because it may be a key";
  }
  return "`" + (text.length > 60 ? `${text.slice(0, 60)}...` : text) + "`";
}

/** A text with everything hidden that looks like a key in base64 or hex. */
export function maskKeys(text: string): string {
  return text.replace(
    /(?<![A-Za-z0-9+/_-])(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?)(?![\w+/=-])/g,
    "(hidden)",
  );
}
