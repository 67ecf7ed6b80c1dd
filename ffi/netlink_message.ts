/**
 * Netlink messages in memory: the fixed header, the attributes behind it, and how both are written
 * and read.
 *
 * Everything is in host order (little-endian here) and aligned to four bytes. A reader trusts no
 * length: a message or an attribute that claims more bytes than there are ends the walk. Constants
 * keep the names of the kernel's headers, so that a test can compare them with a C compiler.
 */
import { invariant } from "../src/base/invariant.ts";
import { fixedBytes } from "./memory.ts";

/**
 * ```c
 * struct nlmsghdr {            // include/uapi/linux/netlink.h
 *   __u32 nlmsg_len;           // 0, header included
 *   __u16 nlmsg_type;          // 4
 *   __u16 nlmsg_flags;         // 6
 *   __u32 nlmsg_seq;           // 8
 *   __u32 nlmsg_pid;           // 12
 * };
 * ```
 */
export const NlMsgHdr = {
  size: 16,
  nlmsg_len: 0,
  nlmsg_type: 4,
  nlmsg_flags: 6,
  nlmsg_seq: 8,
  nlmsg_pid: 12,
} as const;

/**
 * ```c
 * struct nlmsgerr {            // include/uapi/linux/netlink.h
 *   int error;                 // 0, negated errno, 0 for an acknowledgement
 *   struct nlmsghdr msg;       // 4, then the request itself unless NLM_F_CAPPED, then attributes
 * };
 * ```
 */
export const NlMsgErr = { size: 20, error: 0, msg: 4 } as const;

/**
 * ```c
 * struct rtattr {              // include/uapi/linux/rtnetlink.h, the same as struct nlattr
 *   unsigned short rta_len;    // 0, header included, padding not
 *   unsigned short rta_type;   // 2, the two highest bits are flags
 * };
 * ```
 */
export const RtAttr = { size: 4, rta_len: 0, rta_type: 2 } as const;

/** Types below 16 that belong to netlink itself. */
export const NetlinkControl = {
  NLMSG_NOOP: 1,
  NLMSG_ERROR: 2,
  NLMSG_DONE: 3,
  NLMSG_OVERRUN: 4,
} as const;

/** Flags of `nlmsg_flags`; those from 0x100 on mean different things in GET, NEW and ACK. */
export const NetlinkFlag = {
  NLM_F_REQUEST: 0x01,
  NLM_F_MULTI: 0x02,
  NLM_F_ACK: 0x04,
  NLM_F_DUMP_INTR: 0x10,
  NLM_F_DUMP: 0x300,
  NLM_F_REPLACE: 0x100,
  NLM_F_EXCL: 0x200,
  NLM_F_CREATE: 0x400,
  NLM_F_APPEND: 0x800,
  NLM_F_CAPPED: 0x100,
  NLM_F_ACK_TLVS: 0x200,
} as const;

/** Attributes behind `struct nlmsgerr` when NETLINK_EXT_ACK is on. */
export const ErrorAttribute = {
  NLMSGERR_ATTR_MSG: 1,
  NLMSGERR_ATTR_OFFS: 2,
  NLMSGERR_ATTR_MISS_TYPE: 5,
} as const;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** Writes requests one behind another into a buffer that grows; used again after `reset`. */
export class NetlinkWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;
  #messageAt = -1;

  constructor(capacity = 4096) {
    this.#bytes = fixedBytes(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** The bytes written so far, as a view that the next `reset` makes invalid. */
  get written(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** How many bytes are written. */
  get length(): number {
    return this.#length;
  }

  /** Forgets everything written. */
  reset(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
    this.#messageAt = -1;
  }

  /** Begins a message; its length is set by `end`. */
  begin(type: number, flags: number, sequence: number): void {
    invariant(this.#messageAt < 0, "a netlink message is begun inside another");
    const at = this.reserve(NlMsgHdr.size);
    this.#view.setUint16(at + NlMsgHdr.nlmsg_type, type, true);
    this.#view.setUint16(at + NlMsgHdr.nlmsg_flags, flags, true);
    this.#view.setUint32(at + NlMsgHdr.nlmsg_seq, sequence, true);
    this.#messageAt = at;
  }

  /** Ends the message that was begun last. */
  end(): void {
    invariant(this.#messageAt >= 0, "a netlink message is ended that was not begun");
    const length = this.#length - this.#messageAt;
    this.#view.setUint32(this.#messageAt + NlMsgHdr.nlmsg_len, length, true);
    this.#messageAt = -1;
  }

  /** Adds flags to the message that begins at byte `at`; used for the last one of a batch. */
  addFlags(at: number, flags: number): void {
    const place = at + NlMsgHdr.nlmsg_flags;
    this.#view.setUint16(place, this.#view.getUint16(place, true) | flags, true);
  }

  /** Appends `size` zero bytes, padded to four, and returns where they begin. */
  reserve(size: number): number {
    const at = this.#length;
    const end = at + aligned(size);
    if (end > this.#bytes.length) this.#grow(end);
    this.#length = end;
    return at;
  }

  /** Sets one byte of a reserved place. */
  setU8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  /** Sets 32 bits of a reserved place. */
  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Appends an attribute with these bytes. */
  attribute(type: number, value: Uint8Array): void {
    const at = this.#attributeHeader(type, value.length);
    this.#bytes.set(value, at);
  }

  /** Appends an attribute of 32 bits. */
  attributeU32(type: number, value: number): void {
    const at = this.#attributeHeader(type, 4);
    this.#view.setUint32(at, value, true);
  }

  /** Appends a string attribute with its closing zero byte. */
  attributeString(type: number, value: string): void {
    const bytes = encoder.encode(value);
    const at = this.#attributeHeader(type, bytes.length + 1);
    this.#bytes.set(bytes, at);
  }

  /** Begins an attribute that holds attributes; returns the place that `closeNest` wants. */
  openNest(type: number): number {
    const at = this.reserve(RtAttr.size);
    this.#view.setUint16(at + RtAttr.rta_type, type | NLA_F_NESTED, true);
    return at;
  }

  /** Ends the nest that begins at `at`. */
  closeNest(at: number): void {
    this.#view.setUint16(at + RtAttr.rta_len, this.#length - at, true);
  }

  #attributeHeader(type: number, payload: number): number {
    const length = RtAttr.size + payload;
    invariant(length <= 0xffff, "a netlink attribute is longer than 65,535 bytes");
    const at = this.reserve(length);
    this.#view.setUint16(at + RtAttr.rta_len, length, true);
    this.#view.setUint16(at + RtAttr.rta_type, type, true);
    return at + RtAttr.size;
  }

  #grow(needed: number): void {
    const larger = fixedBytes(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Walks over the messages that one receive has put into a buffer. */
export class NetlinkReader {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** `nlmsg_type` of the current message. */
  type = 0;
  /** `nlmsg_flags` of the current message. */
  flags = 0;
  /** `nlmsg_seq` of the current message. */
  sequence = 0;
  /** Where the payload of the current message begins. */
  bodyAt = 0;
  /** Where the current message ends, padding excluded. */
  endAt = 0;
  #nextAt = 0;
  #length = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Starts over, with `length` bytes received. */
  reset(length: number): void {
    this.#length = Math.min(length, this.bytes.length);
    this.#nextAt = 0;
  }

  /** Goes to the next message; false at the end, also when the rest is malformed. */
  next(): boolean {
    const at = this.#nextAt;
    if (at + NlMsgHdr.size > this.#length) return false;
    const length = this.view.getUint32(at + NlMsgHdr.nlmsg_len, true);
    if (length < NlMsgHdr.size || length > this.#length - at) return false;
    this.type = this.view.getUint16(at + NlMsgHdr.nlmsg_type, true);
    this.flags = this.view.getUint16(at + NlMsgHdr.nlmsg_flags, true);
    this.sequence = this.view.getUint32(at + NlMsgHdr.nlmsg_seq, true);
    this.bodyAt = at + NlMsgHdr.size;
    this.endAt = at + length;
    this.#nextAt = at + aligned(length);
    return true;
  }

  /** Whether the payload has at least `size` bytes: the check before a fixed header is read. */
  holds(size: number): boolean {
    return this.bodyAt + size <= this.endAt;
  }
}

/**
 * Where the attributes of one message are, by type. Types above the limit given to the constructor
 * are skipped; of two attributes with one type the last one counts, as in the kernel. A value that
 * is absent or too short reads as the fallback.
 */
export class AttributeTable {
  readonly #at: Int32Array;
  readonly #length: Int32Array;
  #reader: NetlinkReader | undefined;

  constructor(typeMax: number) {
    this.#at = new Int32Array(typeMax + 1);
    this.#length = new Int32Array(typeMax + 1);
  }

  /** Takes the attributes of the reader's current message, behind a fixed header. */
  parse(reader: NetlinkReader, headerSize: number): void {
    this.parseRange(reader, reader.bodyAt + aligned(headerSize), reader.endAt);
  }

  /** Takes the attributes inside the attribute `type` of `outer`; none when it is absent. */
  parseNest(outer: AttributeTable, type: number): void {
    const reader = outer.#reader;
    invariant(reader !== undefined, "a nest is parsed before its message");
    const at = outer.#at[type];
    this.parseRange(reader, at, at + outer.#length[type]);
  }

  /** Takes the attributes between two places of the reader's buffer. */
  parseRange(reader: NetlinkReader, from: number, to: number): void {
    this.#reader = reader;
    this.#at.fill(0);
    this.#length.fill(0);
    let at = from;
    while (at + RtAttr.size <= to) {
      const length = reader.view.getUint16(at + RtAttr.rta_len, true);
      if (length < RtAttr.size || length > to - at) return;
      const type = reader.view.getUint16(at + RtAttr.rta_type, true) & NLA_TYPE_MASK;
      if (type < this.#at.length) {
        this.#at[type] = at + RtAttr.size;
        this.#length[type] = length - RtAttr.size;
      }
      at += aligned(length);
    }
  }

  /** Whether the attribute is there. */
  has(type: number): boolean {
    return this.#at[type] !== 0;
  }

  /** Where the payload begins in the reader's buffer; 0 when absent. */
  place(type: number): number {
    return this.#at[type];
  }

  /** How many bytes the payload has; 0 when absent. */
  size(type: number): number {
    return this.#length[type];
  }

  /** A payload of 32 bits. */
  u32(type: number, fallback: number): number {
    if (this.#length[type] < 4) return fallback;
    return this.#reader!.view.getUint32(this.#at[type], true);
  }

  /** A copy of the payload. */
  copy(type: number): Uint8Array<ArrayBuffer> | undefined {
    if (!this.has(type)) return undefined;
    const at = this.#at[type];
    return this.#reader!.bytes.slice(at, at + this.#length[type]);
  }

  /** A string payload up to its first zero byte. */
  text(type: number, fallback: string): string {
    const bytes = this.copy(type);
    if (bytes === undefined) return fallback;
    const zero = bytes.indexOf(0);
    return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
  }
}
