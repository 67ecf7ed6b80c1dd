/**
 * Adding and removing peers in the text of a config file. Everything else stays byte for byte: order,
 * comments, blank lines, line ends. Text in, text out.
 *
 * A peer's section takes along the comments that belong to it: those right above its header, those
 * between its lines, and those right below its last line unless the next header follows at once.
 */
import { KEY_TEXT_LENGTH } from "../control/key_text.ts";
import { Diagnostics } from "./diagnostic.ts";
import { readLines } from "./lines.ts";

/** A peer as the lines of its section say it. */
export interface PeerLines {
  /** For the comment `# friendly_name = ...`; without line ends. */
  readonly friendlyName?: string;
  /** Keys and values behind the comment, in order. */
  readonly keys: readonly (readonly [key: string, value: string])[];
}

/** A section of the file that is a peer. */
interface PeerSection {
  /** Its lines: the header and its keys, counted from 0, in order. */
  readonly lines: number[];
  publicKey: string;
}

/** The text with a peer behind its last line. */
export function appendPeer(text: string, peer: PeerLines): string {
  const lineEnd = text.includes("\r\n") ? "\r\n" : "\n";
  const isEnded = text === "" || text.endsWith("\n");
  const lines = ["[Peer]"];
  if (peer.friendlyName !== undefined) lines.push(`# friendly_name = ${peer.friendlyName}`);
  for (const [key, value] of peer.keys) lines.push(`${key} = ${value}`);
  const before = (isEnded ? "" : lineEnd) + (text === "" ? "" : lineEnd);
  return text + before + lines.map((line) => line + lineEnd).join("");
}

/**
 * The text without the peer whose public key this is, in base64: without all of its sections if it
 * has several. The same text when it has none.
 */
export function removePeer(text: string, publicKey: string): string {
  const lines = text.split(/(?<=\n)/);
  const sections = peerSections(text);
  const headers = new Set(sections.headers);
  const gone = new Set<number>();
  for (const section of sections.peers) {
    if (section.publicKey !== publicKey) continue;
    for (const line of section.lines) gone.add(line);
    for (const line of commentsOf(section, lines, headers)) gone.add(line);
  }
  return lines.filter((_, index) => !gone.has(index)).join("");
}

/** The comments and blank lines that go with a section. */
function commentsOf(
  section: PeerSection,
  lines: readonly string[],
  headers: ReadonlySet<number>,
): number[] {
  const [header] = section.lines;
  const last = section.lines[section.lines.length - 1];
  const found = linesWithin(section, headers);
  let above = header;
  while (above > 0 && isComment(lines[above - 1])) found.push(--above);
  if (above > 0 && lines[above - 1].trim() === "") found.push(above - 1);
  let below = last + 1;
  while (below < lines.length && isComment(lines[below])) below++;
  if (!headers.has(below)) {
    for (let line = last + 1; line < below; line++) found.push(line);
  }
  return found;
}

/**
 * The lines from the header to the last key that belong to no other section: `#:` sections may stand
 * in between, with lines and comments of their own.
 */
function linesWithin({ lines }: PeerSection, headers: ReadonlySet<number>): number[] {
  const own = new Set(lines);
  const found: number[] = [];
  let isForeign = false;
  for (let line = lines[0]; line <= lines[lines.length - 1]; line++) {
    if (own.has(line)) isForeign = false;
    else if (headers.has(line)) isForeign = true;
    if (!isForeign) found.push(line);
  }
  return found;
}

/** A line with nothing but a comment, which is not one of our own lines behind `#:`. */
function isComment(line: string): boolean {
  return /^\s*#(?!:)/.test(line);
}

/** The peers of a file, and the lines of all headers. */
function peerSections(text: string): { peers: PeerSection[]; headers: number[] } {
  const peers: PeerSection[] = [];
  const headers: number[] = [];
  let plain: PeerSection | null = null, marked: PeerSection | null = null;
  // What is wrong with a file is not for an editor to say.
  for (const line of readLines(text, new Diagnostics(""))) {
    const index = line.line - 1;
    if (line.kind === "section") {
      headers.push(index);
      const isPeer = line.name.toLowerCase() === "peer";
      const section: PeerSection | null = isPeer ? { lines: [index], publicKey: "" } : null;
      if (section !== null) peers.push(section);
      marked = section;
      if (!line.isMarked) plain = section;
      continue;
    }
    const section: PeerSection | null = line.isMarked ? marked : plain;
    if (section === null) continue;
    section.lines.push(index);
    if (line.key.toLowerCase() === "publickey" && line.value.length === KEY_TEXT_LENGTH) {
      section.publicKey = line.value;
    }
  }
  return { peers, headers };
}
