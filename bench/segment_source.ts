/**
 * Segments of one bulk TCP flow for the benches, without a TCP: the same headers again and again, over
 * a payload that stands somewhere else, as a stack hands them to the read loop. And a stack that takes
 * items and only counts them.
 */
import type { LinkPort, StackPort } from "../src/lane/ports.ts";
import type { Slab } from "../src/memory/slab.ts";
import type { InboundItem } from "../src/netstack/inbound.ts";
import { type StackGso, StackGsoType } from "../src/offload/gso_options.ts";
import { fold16, pseudoHeaderSum4 } from "../src/wire/checksum.ts";
import { IpProtocol } from "../src/wire/ip.ts";
import { setIpv4Checksum, writeIpv4Header } from "../src/wire/ipv4.ts";
import { TCP_CHECKSUM, TcpFlag, writeTcpHeader } from "../src/wire/tcp.ts";
import { INNER_A, INNER_B } from "./node_bed.ts";

const IP_BYTES = 20;
const TCP_BYTES = 32;
/** IP and TCP headers with timestamps. */
export const HEADER_BYTES = IP_BYTES + TCP_BYTES;
/** Payload of a packet of 1,420 bytes. */
export const MSS = 1420 - HEADER_BYTES;
/** Packets in 64 KB. */
export const PACKETS = Math.floor((65_535 - HEADER_BYTES) / MSS);
const HEADER_SLOT_BYTES = 128;
/** Room for headers and payload. */
export const SOURCE_BYTES = 4096 + PACKETS * MSS;

/** A link on which `wanted` segments of `packetsPerSegment` packets stand. */
export class SegmentSource implements LinkPort {
  wanted = 0;
  readonly frontHeaderAt: number;
  readonly frontHeaderBytes = HEADER_BYTES;
  readonly frontPayloadBytes: number;
  readonly frontGso: StackGso;
  readonly #firstPayloadAt: number;
  #payload = 0;

  constructor(slab: Slab, at: number, readonly packetsPerSegment: number) {
    this.frontHeaderAt = at;
    this.#firstPayloadAt = at + HEADER_SLOT_BYTES;
    this.frontPayloadBytes = packetsPerSegment * MSS;
    this.frontGso = {
      type: packetsPerSegment > 1 ? StackGsoType.TcpV4 : StackGsoType.None,
      needsCsum: true,
      csumOffset: TCP_CHECKSUM,
      mss: MSS,
      l3HeaderBytes: IP_BYTES,
    };
    writeHeaders(slab, at, this.frontPayloadBytes);
  }

  get isEmpty(): boolean {
    return this.wanted === 0;
  }

  /** Segments that lie apart point into different places of the 64 KB, as in a send buffer. */
  get frontPayloadAt(): number {
    return this.#firstPayloadAt + this.#payload * MSS;
  }

  pop(): void {
    this.wanted--;
    this.#payload = (this.#payload + this.packetsPerSegment) % PACKETS;
  }
}

function writeHeaders(slab: Slab, at: number, payloadBytes: number): void {
  const { view, u8 } = slab;
  const bytes = HEADER_BYTES + payloadBytes;
  writeIpv4Header(view, at, bytes, 0, 1, 0x4000, 64, IpProtocol.Tcp);
  u8.set(INNER_A, at + 12);
  u8.set(INNER_B, at + 16);
  setIpv4Checksum(view, at, IP_BYTES);
  const tcp = at + IP_BYTES;
  writeTcpHeader(view, tcp, 40_000, 5201, 1, 1, TCP_BYTES, TcpFlag.Ack, 1000);
  u8.set([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], tcp + 20);
  const sum = fold16(pseudoHeaderSum4(view, at, IpProtocol.Tcp, bytes - IP_BYTES));
  view.setUint16(tcp + TCP_CHECKSUM, sum, true);
}

/** A stack that sends what a source has, and counts what comes in. */
export class CountingStack implements StackPort {
  nowMs = 0;
  items = 0;
  packets = 0;

  constructor(readonly link: LinkPort) {}

  onItem(item: InboundItem): void {
    this.items++;
    this.packets += item.packetCount;
  }

  nextTimeoutMs(): number {
    return Infinity;
  }

  onTimeout(): void {}

  flush(): void {}
}
