/**
 * What SaveConfig writes: the running state in the words of the file that it began with. Lines that
 * still say what is true stay as they are, with their comments, their order and our own keys; others
 * are changed in place, peers that have gone are taken out, new ones come at the end.
 *
 * An endpoint that is given by name keeps its name. Text in, text out.
 */
import {
  formatPrefix,
  formatSocketAddress,
  parsePrefix,
  parseSocketAddress,
} from "../control/address_text.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { isZero } from "../wireguard/bytes.ts";
import type { DeviceStatus, PeerStatus, Prefix } from "../wireguard/configuration.ts";
import { Diagnostics } from "./diagnostic.ts";
import { type KeyLine, readLines, type SectionLine } from "./lines.ts";

/** The state of a tunnel. */
export interface RunningState {
  readonly device: DeviceStatus;
  /** The interface's addresses; null when they are not known, and the file's stay. */
  readonly addresses: readonly Prefix[] | null;
  /** The interface's MTU; it goes into a file that names one. Null when it is not known. */
  readonly mtu: number | null;
  /** A mark that nobody set but the default route; it is not saved. */
  readonly chosenFwmark: number | null;
}

/** A section of the file: its header's line, the lines of its keys, and the next header's line. */
interface Section {
  readonly name: string;
  readonly header: SectionLine;
  readonly keys: KeyLine[];
  end: number;
}

/** The text of the file after the running state has been written into it. */
export function mergeState(text: string, state: RunningState): string {
  const file = new EditedFile(text);
  const { device } = state;
  const [first] = file.sections("interface");
  if (first !== undefined) {
    const keys = file.sections("interface").flatMap((section) => section.keys);
    for (const [key, values] of interfaceValues(state, keys)) file.set(first, keys, key, values);
  }
  const left = new Map(device.peers.map((peer) => [formatKeyBase64(peer.publicKey), peer]));
  for (const section of file.sections("peer")) {
    const key = section.keys.findLast((line) => isKey(line, "PublicKey"))?.value ?? "";
    const peer = left.get(key);
    if (peer === undefined) {
      file.remove(section);
      continue;
    }
    left.delete(key);
    for (const [name, values] of peerValues(peer, section.keys)) {
      file.set(section, section.keys, name, values);
    }
  }
  for (const peer of left.values()) file.append(newPeer(peer));
  return file.text();
}

/** What a key is to say: undefined leaves it as it is, nothing takes it out. */
type Wanted = readonly [key: string, values: readonly string[] | undefined];

function interfaceValues(state: RunningState, keys: readonly KeyLine[]): Wanted[] {
  const { device, addresses, mtu } = state;
  const { privateKey, listenPort, fwmark } = device;
  const isOwnMark = fwmark === 0 || fwmark === state.chosenFwmark;
  const wanted: Wanted[] = [
    ["PrivateKey", privateKey === null ? [] : [formatKeyBase64(privateKey)]],
    ["ListenPort", [`${listenPort}`]],
    ["FwMark", isOwnMark ? [] : [`0x${fwmark.toString(16)}`]],
    ["Address", addresses?.map(formatPrefix)],
  ];
  const hasMtu = keys.some((line) => isKey(line, "MTU"));
  if (hasMtu && mtu !== null) wanted.push(["MTU", [`${mtu}`]]);
  return wanted;
}

function peerValues(peer: PeerStatus, keys: readonly KeyLine[]): Wanted[] {
  const { presharedKey, endpoint, keepaliveSeconds, allowedIps } = peer;
  const written = keys.findLast((line) => isKey(line, "Endpoint"))?.value;
  const isNamed = written !== undefined && parseSocketAddress(written) === null;
  const keepsEndpoint = endpoint === null || isNamed;
  return [
    ["PresharedKey", isZero(presharedKey) ? [] : [formatKeyBase64(presharedKey)]],
    ["AllowedIPs", Array.from(allowedIps, formatPrefix)],
    ["Endpoint", keepsEndpoint ? undefined : [formatSocketAddress(endpoint)]],
    ["PersistentKeepalive", keepaliveSeconds === 0 ? [] : [`${keepaliveSeconds}`]],
  ];
}

function newPeer(peer: PeerStatus): string[] {
  const lines = ["", "[Peer]", `PublicKey = ${formatKeyBase64(peer.publicKey)}`];
  for (const [key, values] of peerValues(peer, [])) {
    if (values !== undefined && values.length > 0) lines.push(`${key} = ${values.join(", ")}`);
  }
  return lines;
}

function isKey(line: KeyLine, key: string): boolean {
  return !line.isMarked && line.key.toLowerCase() === key.toLowerCase();
}

/** A text that is changed line by line. */
class EditedFile {
  /** The lines; null for one that is taken out. */
  readonly #lines: (string | null)[];
  /** Lines to add behind a line, by its index. */
  readonly #added = new Map<number, string[]>();
  readonly #sections: Section[] = [];
  readonly #appended: string[] = [];
  readonly #endsWithNewline: boolean;

  constructor(text: string) {
    this.#endsWithNewline = text.endsWith("\n");
    this.#lines = text.split("\n");
    let open: Section | undefined;
    for (const line of readLines(text, new Diagnostics(""))) {
      if (line.isMarked) continue;
      if (line.kind === "key") {
        open?.keys.push(line);
        continue;
      }
      if (open !== undefined) open.end = line.line;
      const end = this.#lines.length + 1;
      open = { name: line.name.toLowerCase(), header: line, keys: [], end };
      this.#sections.push(open);
    }
  }

  /** The sections of a name, in order. */
  sections(name: string): Section[] {
    return this.#sections.filter((section) => section.name === name);
  }

  /** Makes a key of a section say `values`, unless its lines say so already. */
  set(
    section: Section,
    keys: readonly KeyLine[],
    key: string,
    values: readonly string[] | undefined,
  ): void {
    const lines = keys.filter((line) => isKey(line, key));
    if (values === undefined || saysTheSame(key, lines, values)) return;
    const [first, ...rest] = lines;
    for (const line of rest) this.#lines[line.line - 1] = null;
    if (first === undefined) this.#insert(section, `${key} = ${values.join(", ")}`);
    else this.#lines[first.line - 1] = values.length === 0 ? null : this.#changed(first, values);
  }

  /** Takes a section out, with the comment that stands right above it, but not the next one's. */
  remove(section: Section): void {
    const isComment = (line: number) => this.#lines[line - 1]?.trimStart().startsWith("#") ?? false;
    let from = section.header.line;
    while (from > 1 && isComment(from - 1)) from--;
    let end = section.end;
    if (end <= this.#lines.length) {
      while (end - 1 > section.header.line && isComment(end - 1)) end--;
    }
    for (let line = from; line < end; line++) this.#lines[line - 1] = null;
  }

  /** Adds lines at the end. */
  append(lines: readonly string[]): void {
    this.#appended.push(...lines);
  }

  text(): string {
    const lines: string[] = [];
    this.#lines.forEach((line, index) => {
      if (line !== null) lines.push(line);
      lines.push(...this.#added.get(index) ?? []);
    });
    if (this.#appended.length > 0) {
      while (lines.at(-1) === "") lines.pop();
      lines.push(...this.#appended, "");
    }
    if (this.#endsWithNewline && lines.at(-1) !== "") lines.push("");
    return lines.join("\n");
  }

  /** Behind the last key of the section, else behind its header. */
  #insert(section: Section, line: string): void {
    const index = (section.keys.at(-1)?.line ?? section.header.line) - 1;
    const added = this.#added.get(index) ?? [];
    this.#added.set(index, [...added, line]);
  }

  /** A line with another value, its comment kept. */
  #changed({ line, value, valueColumn }: KeyLine, values: readonly string[]): string {
    const raw = this.#lines[line - 1] ?? "";
    const before = raw.slice(0, valueColumn - 1).trimEnd();
    const space = value === "" ? " " : raw.slice(before.length, valueColumn - 1);
    const comment = /\s*#.*$/.exec(raw.slice(valueColumn - 1))?.[0] ?? "";
    return `${before}${space}${values.join(", ")}${comment.trimEnd()}`;
  }
}

/** Whether lines say the same as `values`, whatever the order and the spelling. */
function saysTheSame(key: string, lines: readonly KeyLine[], values: readonly string[]): boolean {
  const isList = key === "Address" || key === "AllowedIPs";
  const texts = isList ? lines.flatMap(({ value }) => value.split(/[\s,]+/)) : lastOf(lines);
  const written = texts.filter((text) => text !== "").map((text) => normal(key, text))
    .filter((text) => text !== "");
  return new Set(written).symmetricDifference(new Set(values)).size === 0;
}

function lastOf(lines: readonly KeyLine[]): string[] {
  const last = lines.at(-1);
  return last === undefined ? [] : [last.value];
}

/** A value as the running state spells it; empty when it says what its absence would say. */
function normal(key: string, text: string): string {
  switch (key) {
    case "Address":
      return formatOr(text, parsePrefix(text));
    case "AllowedIPs": {
      const prefix = parsePrefix(text);
      return formatOr(text, prefix && { ...prefix, address: networkOf(prefix) });
    }
    case "FwMark": {
      const mark = text.toLowerCase() === "off" ? 0 : Number(text);
      return mark === 0 ? "" : `0x${mark.toString(16)}`;
    }
    case "PersistentKeepalive":
      return text.toLowerCase() === "off" || Number(text) === 0 ? "" : `${Number(text)}`;
    case "Endpoint": {
      const endpoint = parseSocketAddress(text);
      return endpoint === null ? text : formatSocketAddress(endpoint);
    }
    default:
      return text;
  }
}

function formatOr(text: string, prefix: Prefix | null): string {
  return prefix === null ? text : formatPrefix(prefix);
}

/** The address of a prefix without its host bits. */
function networkOf({ address, bits }: Prefix): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(Math.max(bits - i * 8, 0), 8)));
}
