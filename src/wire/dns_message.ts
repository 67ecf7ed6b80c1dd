/**
 * DNS messages (RFC 1035, section 4), as far as somebody needs them who asks one server for the
 * addresses of one name. Answers are hostile input: what is not exactly what was asked for is no
 * answer, names are bounded, and compression pointers only lead backwards.
 *
 * No EDNS, no TCP: the addresses of a host fit 512 bytes.
 */

/** Types of records (RFC 1035, section 3.2.2; RFC 3596). */
export const DnsType = { A: 1, CNAME: 5, AAAA: 28 } as const;

/** The type of a question. */
export type AddressType = typeof DnsType.A | typeof DnsType.AAAA;

/** What a server says of a name. */
export interface DnsAnswer {
  /** 0: no error; 3: there is no such name. */
  readonly code: number;
  /** 4 or 16 bytes each. */
  readonly addresses: readonly Uint8Array[];
}

const CLASS_IN = 1;
const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
/** Aliases that lead from one name to the next. */
const ALIASES_MAX = 16;
const FLAG_RESPONSE = 0x8000;
const OPCODE_MASK = 0x7800;
const FLAG_RECURSION_DESIRED = 0x0100;

/** The question for the addresses of `name`; null when that is no name. */
export function buildQuery(
  id: number,
  name: string,
  type: AddressType,
): Uint8Array<ArrayBuffer> | null {
  const encoded = encodeName(name);
  if (encoded === null) return null;
  const bytes = new Uint8Array(HEADER_BYTES + encoded.length + 4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, id);
  view.setUint16(2, FLAG_RECURSION_DESIRED);
  view.setUint16(4, 1);
  bytes.set(encoded, HEADER_BYTES);
  view.setUint16(bytes.length - 4, type);
  view.setUint16(bytes.length - 2, CLASS_IN);
  return bytes;
}

/** What `bytes` answer to `query`, aliases followed; null when they are no answer to it. */
export function parseAnswer(bytes: Uint8Array, query: Uint8Array): DnsAnswer | null {
  if (bytes.length < query.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const asked = new DataView(query.buffer, query.byteOffset, query.byteLength);
  const flags = view.getUint16(2);
  const isResponse = (flags & FLAG_RESPONSE) !== 0 && (flags & OPCODE_MASK) === 0;
  if (!isResponse || view.getUint16(0) !== asked.getUint16(0) || view.getUint16(4) !== 1) {
    return null;
  }
  const question = readName(bytes, HEADER_BYTES), wanted = readName(query, HEADER_BYTES);
  if (question === null || wanted === null || question.text !== wanted.text) return null;
  const type = asked.getUint16(query.length - 4);
  if (question.end + 4 > bytes.length || view.getUint16(question.end) !== type) return null;
  if (view.getUint16(question.end + 2) !== CLASS_IN) return null;
  const records = readRecords(bytes, view, question.end + 4, view.getUint16(6));
  return { code: flags & 0xf, addresses: addressesOf(records, wanted.text, type) };
}

interface DnsRecord {
  readonly owner: string;
  readonly type: number;
  readonly data: Uint8Array;
  /** The name that an alias leads to. */
  readonly target: string;
}

/** The records of the answer section, up to the first that is damaged. */
function readRecords(bytes: Uint8Array, view: DataView, from: number, count: number): DnsRecord[] {
  const records: DnsRecord[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    const owner = readName(bytes, at);
    if (owner === null || owner.end + 10 > bytes.length) break;
    const type = view.getUint16(owner.end);
    const dataAt = owner.end + 10;
    const end = dataAt + view.getUint16(owner.end + 8);
    if (end > bytes.length) break;
    at = end;
    if (view.getUint16(owner.end + 2) !== CLASS_IN) continue;
    const target = type === DnsType.CNAME ? readName(bytes, dataAt)?.text ?? "" : "";
    records.push({ owner: owner.text, type, data: bytes.slice(dataAt, end), target });
  }
  return records;
}

function addressesOf(records: readonly DnsRecord[], name: string, type: number): Uint8Array[] {
  const length = type === DnsType.A ? 4 : 16;
  let owner = name;
  for (let aliases = 0; aliases <= ALIASES_MAX; aliases++) {
    const found = records.filter((record) => record.owner === owner && record.type === type)
      .map(({ data }) => data).filter((data) => data.length === length);
    if (found.length > 0) return found;
    const alias = records.find((record) => record.owner === owner && record.target !== "");
    if (alias === undefined) return [];
    owner = alias.target;
  }
  return [];
}

function encodeName(name: string): Uint8Array | null {
  const labels = name.replace(/\.$/, "").split(".");
  const bytes = new Uint8Array(labels.reduce((sum, label) => sum + label.length + 1, 1));
  if (bytes.length > NAME_BYTES_MAX) return null;
  let at = 0;
  for (const label of labels) {
    const isLabel = label.length > 0 && label.length <= LABEL_BYTES_MAX;
    if (!isLabel || !/^[\x21-\x7e]+$/.test(label)) return null;
    bytes[at++] = label.length;
    for (let i = 0; i < label.length; i++) bytes[at++] = label.charCodeAt(i);
  }
  return bytes;
}

/**
 * The name at a place, in lower case, and where what follows it begins; null when it is damaged. A
 * pointer has to lead before everything that was read of the name so far, so there is no loop.
 */
function readName(bytes: Uint8Array, from: number): { text: string; end: number } | null {
  let text = "", at = from, end = -1, lowest = from;
  for (;;) {
    if (at >= bytes.length) return null;
    const length = bytes[at];
    if (length === 0) return { text, end: end < 0 ? at + 1 : end };
    if ((length & 0xc0) === 0xc0) {
      if (at + 1 >= bytes.length) return null;
      if (end < 0) end = at + 2;
      const target = (length & 0x3f) << 8 | bytes[at + 1];
      if (target >= lowest) return null;
      at = lowest = target;
      continue;
    }
    if (length > LABEL_BYTES_MAX || at + 1 + length > bytes.length) return null;
    if (text.length + length + 1 > NAME_BYTES_MAX) return null;
    text += String.fromCharCode(...bytes.subarray(at + 1, at + 1 + length)).toLowerCase() + ".";
    at += 1 + length;
  }
}
