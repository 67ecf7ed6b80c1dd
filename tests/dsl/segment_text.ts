/**
 * TCP segments as text, after packetdrill:
 *
 *     S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 7 ecr 100,nop,wscale 7>
 *     P. 1:1001(1000) ack 1 win 257
 *
 * Flags are F S R P U E C and `.` for ACK, `-` for none. Sequence numbers are relative to the first
 * one of their direction. What is left out is zero in a segment that is sent, and not compared in one
 * that is expected.
 */

/** One option; numbers as they are written, see `parseOptions`. */
export interface OptionSpec {
  readonly kind: "mss" | "sackOK" | "TS" | "nop" | "eol" | "wscale" | "sack" | "raw" | "...";
  readonly values: readonly number[];
}

/** One segment as it is written. */
export interface SegmentSpec {
  readonly flags: string;
  readonly seq: number;
  readonly payloadBytes: number;
  readonly ack: number | null;
  readonly window: { readonly test: "=" | "<" | ">"; readonly value: number } | null;
  readonly urgent: number;
  readonly options: readonly OptionSpec[] | null;
  /** `gso N`, `gro N`: payload bytes of each packet of a run. */
  readonly runBytes: number;
  /** `badsum`: the checksum is wrong. `header N`: what the data offset says. */
  readonly isCorrupt: boolean;
  readonly headerBytes: number | null;
  /** `ce`: congestion was marked. */
  readonly isMarked: boolean;
}

const SEGMENT = /^([FSRPUEC.]+|-)\s+(-?\d+):(-?\d+)\((\d+)\)((?:\s+(?!<)\S+)*)\s*(?:<(.*)>)?\s*$/;

/** Reads a segment. Throws with the text when it cannot be read. */
export function parseSegment(text: string): SegmentSpec {
  const match = SEGMENT.exec(text);
  if (match === null) throw new Error(`not a segment: ${text}`);
  const [, flags, start, end, length, rest, options] = match;
  if (Number(end) - Number(start) !== Number(length)) throw new Error(`wrong length: ${text}`);
  const words = rest.split(/\s+/).filter((word) => word !== "");
  const fields = new Map<string, string>();
  const bare = new Set(["badsum", "ce"]);
  for (let i = 0; i < words.length; i++) {
    if (bare.has(words[i])) fields.set(words[i], "");
    else fields.set(words[i], words[++i] ?? "");
  }
  const number = (name: string) => fields.has(name) ? Number(fields.get(name)) : null;
  for (const name of fields.keys()) {
    const isKnown = ["ack", "win", "urg", "gso", "gro", "badsum", "header", "ce"].includes(name);
    if (!isKnown) throw new Error(`unknown word "${name}": ${text}`);
  }
  return {
    flags,
    seq: Number(start),
    payloadBytes: Number(length),
    ack: number("ack"),
    window: parseWindow(fields.get("win")),
    urgent: number("urg") ?? 0,
    options: options === undefined ? null : parseOptions(options),
    runBytes: number("gso") ?? number("gro") ?? 0,
    isCorrupt: fields.has("badsum"),
    headerBytes: number("header"),
    isMarked: fields.has("ce"),
  };
}

function parseWindow(text: string | undefined): SegmentSpec["window"] {
  if (text === undefined) return null;
  const test = text.startsWith("<") ? "<" : text.startsWith(">") ? ">" : "=";
  return { test, value: Number(text.replace(/^[<>]=?/, "")) };
}

/** Reads what stands between `<` and `>`. */
export function parseOptions(text: string): OptionSpec[] {
  if (text.trim() === "") return [];
  return text.split(",").map((part) => parseOption(part.trim()));
}

function parseOption(text: string): OptionSpec {
  const [name, ...words] = text.split(/\s+/);
  switch (name) {
    case "nop":
    case "eol":
    case "sackOK":
    case "...":
      return { kind: name, values: [] };
    case "mss":
    case "wscale":
      return { kind: name, values: [Number(words[0])] };
    case "TS":
      return { kind: "TS", values: words.length === 0 ? [] : [Number(words[1]), Number(words[3])] };
    case "sack":
      return { kind: "sack", values: words.flatMap((word) => word.split(":").map(Number)) };
    case "raw":
      return { kind: "raw", values: words.map((word) => parseInt(word, 16)) };
  }
  throw new Error(`unknown option: ${text}`);
}

/** The options of a real header as text, no-operations left out; the reverse of `parseOptions`. */
export function formatOptions(options: readonly OptionSpec[]): string {
  return options.filter(({ kind }) => kind !== "nop" && kind !== "eol").map(({ kind, values }) => {
    if (kind === "TS") return `TS val ${values[0]} ecr ${values[1]}`;
    if (kind === "raw") return `raw ${values.map((byte) => byte.toString(16)).join(" ")}`;
    if (kind !== "sack") return [kind, ...values].join(" ");
    const blocks = [];
    for (let i = 0; i < values.length; i += 2) blocks.push(`${values[i]}:${values[i + 1]}`);
    return `sack ${blocks.join(" ")}`;
  }).join(",");
}

const FLAG_LETTERS = "FSRP.UEC";

/** The flag byte. */
export function flagBits(flags: string): number {
  let bits = 0;
  for (const letter of flags) if (letter !== "-") bits |= 1 << FLAG_LETTERS.indexOf(letter);
  return bits;
}

/** The flag letters of a byte, ACK last. */
export function flagText(bits: number): string {
  const letters = [...FLAG_LETTERS].filter((_, bit) => (bits & (1 << bit)) !== 0);
  const text = letters.filter((letter) => letter !== ".").join("") + ((bits & 16) !== 0 ? "." : "");
  return text === "" ? "-" : text;
}
