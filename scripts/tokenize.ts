/**
 * A small reader of TypeScript: splits a source into words, strings, punctuation and comments, well
 * enough to find imports and uses of globals. It does not parse; `${}` inside a template is read as
 * code, everything else of the template as string.
 */

/** One token. `value` is the content of a string without quotes, otherwise the same as `text`. */
export interface Token {
  readonly kind: "word" | "string" | "punctuation" | "number" | "regexp" | "comment";
  readonly text: string;
  readonly value: string;
  /** Counted from 1. */
  readonly line: number;
}

/** Words after which a slash begins a regular expression, not a division. */
const BEFORE_REGEXP = new Set([
  ...["return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do"],
  ...["await", "yield", "instanceof"],
]);

const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /(?:0[xob][\da-f_]+|\d[\d_]*(?:\.[\d_]*)?(?:e[+-]?\d+)?)n?/iy;
const SPACE = /\s+/y;
const COMMENT = /\/\/.*|\/\*[^]*?\*\//y;
const QUOTED = /"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'/y;
const REGEXP = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
const TEMPLATE = /(?:\\[^]|\$(?!\{)|[^`\\$])*/y;
const PUNCTUATION = /\?\.(?!\d)|\.\.\.|[^]/y;

/** Splits `source` into tokens, comments included. */
export function tokenize(source: string): Token[] {
  return new Reader(source).read();
}

/** The tokens without comments. */
export function code(tokens: Token[]): Token[] {
  return tokens.filter((token) => token.kind !== "comment");
}

class Reader {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** For each open brace: whether it is the `${` of a template. */
  readonly #braces: boolean[] = [];

  constructor(source: string) {
    this.#source = source;
  }

  read(): Token[] {
    while (this.#at < this.#source.length) this.#step();
    return this.#tokens;
  }

  #step(): void {
    if (this.#skip(SPACE)) return;
    if (this.#take(COMMENT, "comment") || this.#take(QUOTED, "string")) return;
    if (this.#take(WORD, "word") || this.#take(NUMBER, "number")) return;
    const character = this.#source[this.#at];
    if (character === "`") {
      this.#at++;
      this.#template();
    } else if (character === "}" && this.#braces.pop()) {
      this.#at++;
      this.#push("punctuation", "}", "}");
      this.#template();
    } else if (character === "/" && this.#regexpMayBegin() && this.#take(REGEXP, "regexp")) {
      return;
    } else {
      if (character === "{") this.#braces.push(false);
      this.#take(PUNCTUATION, "punctuation");
    }
  }

  /** Reads template text up to its end or to the next `${`. */
  #template(): void {
    const text = this.#match(TEMPLATE) ?? "";
    this.#push("string", text, text);
    this.#at += text.length;
    this.#countLines(text);
    if (this.#source[this.#at] === "`") {
      this.#at++;
    } else if (this.#source[this.#at] === "$") {
      this.#at += 2;
      this.#braces.push(true);
      this.#push("punctuation", "${", "${");
    }
  }

  #regexpMayBegin(): boolean {
    let at = this.#tokens.length - 1;
    while (at >= 0 && this.#tokens[at].kind === "comment") at--;
    if (at < 0) return true;
    const { kind, text } = this.#tokens[at];
    if (kind === "word") return BEFORE_REGEXP.has(text);
    return kind === "punctuation" && text !== ")" && text !== "]" && text !== "}";
  }

  #take(pattern: RegExp, kind: Token["kind"]): boolean {
    const text = this.#match(pattern);
    if (text === null) return false;
    this.#push(kind, text, kind === "string" ? text.slice(1, -1) : text);
    this.#at += text.length;
    this.#countLines(text);
    return true;
  }

  #skip(pattern: RegExp): boolean {
    const text = this.#match(pattern);
    if (text === null) return false;
    this.#at += text.length;
    this.#countLines(text);
    return true;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0] ?? null;
  }

  #push(kind: Token["kind"], text: string, value: string): void {
    this.#tokens.push({ kind, text, value, line: this.#line });
  }

  #countLines(text: string): void {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#line++;
  }
}
