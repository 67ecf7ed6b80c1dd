/** Runs packets through the coalescer and compares what it writes with the reference. */
import { assert, assertEquals } from "@std/assert";
import {
  GRO_IOVEC_REGION_BYTES,
  GRO_PACKETS_MAX,
  GroCoalescer,
  type GroItem,
  type GroOptions,
  type GroSink,
} from "../../src/offload/gro_coalesce.ts";
import { IOVEC_BYTES } from "../../src/offload/iovec.ts";
import type { ChecksumKernel } from "../../src/wire/checksum_kernel.ts";
import { coalesceReference, joinReference } from "../reference/gro_coalesce_reference.ts";
import {
  buildPacket,
  type PacketFields,
  pattern,
  slabWithKernels,
  TCP,
  UDP,
} from "./packet_builder.ts";
import { internetChecksum, pseudoHeader } from "../reference/checksum_reference.ts";
import { assertSameBytes } from "./split_harness.ts";

export const { slab, kernels } = slabWithKernels(1 << 25);
const IOVECS = 4096;
const PACKETS = 1 << 16;
const HEADROOM = 64;
/** Chosen so that adding a place in the slab carries into the upper half. */
export const SLAB_ADDRESS = 0x7f3c_ffff_0000;

/** What a sink saw of one item. */
export interface Written {
  /** All iovecs put together. */
  bytes: Uint8Array;
  iovecs: { at: number; bytes: number }[];
  item: GroItem;
}

/** Gathers what a device would get. */
export class GatheringSink implements GroSink {
  readonly written: Written[] = [];
  constructor(readonly coalescer: () => GroCoalescer) {}

  write(iovecAt: number, iovecCount: number, totalBytes: number): void {
    const iovecs = [];
    const parts: number[] = [];
    for (let i = 0; i < iovecCount; i++) {
      const word = (iovecAt + i * IOVEC_BYTES) / 4;
      const address = slab.u32[word] + slab.u32[word + 1] * 2 ** 32;
      const bytes = slab.u32[word + 2];
      assertEquals(slab.u32[word + 3], 0);
      const at = address - SLAB_ADDRESS;
      iovecs.push({ at, bytes });
      parts.push(...slab.u8.subarray(at, at + bytes));
    }
    assertEquals(parts.length, totalBytes, "total bytes");
    assert(iovecCount * IOVEC_BYTES <= GRO_IOVEC_REGION_BYTES);
    this.written.push({ bytes: new Uint8Array(parts), iovecs, item: { ...this.coalescer().item } });
  }
}

/** A coalescer over the harness's slab. */
export function makeCoalescer(
  options: Partial<GroOptions> = {},
  kernel: ChecksumKernel = kernels.wasm,
): GroCoalescer {
  const all = { slabAddress: SLAB_ADDRESS, tcp: true, udp: true, ...options };
  return new GroCoalescer(slab, kernel, IOVECS, all);
}

/** Puts packets into the slab as the lane does, and adds them; returns where each stands. */
export function addAll(coalescer: GroCoalescer, packets: Uint8Array[]): number[] {
  let at = PACKETS;
  return packets.map((packet) => {
    const place = at + HEADROOM;
    slab.u8.fill(0xee, at, place);
    slab.u8.set(packet, place);
    assert(coalescer.add(place, packet.length), "there is room");
    at = place + packet.length;
    return place;
  });
}

/** What a coalescer writes for one batch of packets. */
export function coalesce(
  packets: Uint8Array[],
  options: Partial<GroOptions> = {},
  kernel: ChecksumKernel = kernels.wasm,
): Written[] {
  const coalescer = makeCoalescer(options, kernel);
  const sink = new GatheringSink(() => coalescer);
  assert(packets.length <= GRO_PACKETS_MAX);
  addAll(coalescer, packets);
  coalescer.flush(sink);
  assertEquals(coalescer.length, 0);
  return sink.written;
}

/** Coalesces with every kernel, demands the reference's bytes and returns them. */
export function checkCoalesce(
  packets: Uint8Array[],
  where: string,
  options: Partial<GroOptions> = {},
): Uint8Array[] {
  const switches = { tcp: true, udp: true, ...options };
  const expected = coalesceReference(packets, switches);
  for (const [name, kernel] of Object.entries(kernels)) {
    const written = coalesce(packets, options, kernel);
    assertEquals(written.length, expected.length, `${where}, ${name}: number of writes`);
    for (let i = 0; i < expected.length; i++) {
      assertSameBytes(written[i].bytes, expected[i], `${where}, ${name}, write ${i}`);
    }
  }
  return expected;
}

/** What a reader of streams is given for one batch of packets, with the headers of each item. */
export function join(
  packets: Uint8Array[],
  options: Partial<GroOptions> = {},
  kernel: ChecksumKernel = kernels.wasm,
): { item: GroItem; headers: Uint8Array; pieces: Uint8Array[] }[] {
  const coalescer = makeCoalescer(options, kernel);
  coalescer.joinsStreams = true;
  const items: ReturnType<typeof join> = [];
  addAll(coalescer, packets);
  coalescer.flush({
    write: () => {
      const { item } = coalescer;
      const pieces: Uint8Array[] = [];
      coalescer.listPieces({ add: (at, bytes) => pieces.push(slab.u8.slice(at, at + bytes)) });
      const headers = slab.u8.slice(item.at, item.at + item.headerBytes);
      items.push({ item: { ...item }, headers, pieces });
    },
  });
  return items;
}

/** Joins with every kernel and demands the reference's items; the number of packets in each. */
export function checkJoin(
  packets: Uint8Array[],
  where: string,
  options: Partial<GroOptions> = {},
): number[] {
  const expected = joinReference(packets, { tcp: true, udp: true, ...options });
  for (const [name, kernel] of Object.entries(kernels)) {
    const items = join(packets, options, kernel);
    assertEquals(items.length, expected.length, `${where}, ${name}: number of items`);
    items.forEach(({ item, headers, pieces }, i) => {
      const [first] = expected[i];
      const isRun = expected[i].length > 1;
      const wanted = isRun ? expected[i].map(({ payload }) => payload) : [first.bytes];
      assertEquals(pieces, wanted, `${where}, ${name}, item ${i}`);
      assertEquals(item.packetCount, expected[i].length);
      assertEquals(item.isVerified, isRun);
      if (isRun) {
        assertEquals(headers, first.bytes.slice(0, item.headerBytes), "the first packet's headers");
        assertEquals(item.bytes, wanted.reduce((sum, { length }) => sum + length, headers.length));
      }
    });
  }
  return expected.map(({ length }) => length);
}

/** Number of packets that were merged into each write. */
export function shape(packets: Uint8Array[], options: Partial<GroOptions> = {}): number[] {
  checkCoalesce(packets, "shape", options);
  return coalesce(packets, options).map((written) => written.iovecs.length);
}

/** Consecutive TCP segments with payloads of these lengths; `change` may alter each one's fields. */
export function segments(
  lengths: number[],
  fields: Partial<PacketFields> = {},
  change: (index: number) => Partial<PacketFields> = () => ({}),
): Uint8Array[] {
  let sequence = fields.sequence ?? 5000;
  return lengths.map((length, i) => {
    const payload = pattern(length, i + 1);
    const packet = buildPacket({ ...fields, sequence, payload, id: 100 + i, ...change(i) });
    sequence = (sequence + length) % 2 ** 32;
    return packet;
  });
}

/** UDP datagrams of one flow with payloads of these lengths. */
export function datagrams(lengths: number[], fields: Partial<PacketFields> = {}): Uint8Array[] {
  return lengths.map((length, i) =>
    buildPacket({ ...fields, protocol: UDP, payload: pattern(length, i + 1), id: 100 + i })
  );
}

/** Sets bytes of a packet, leaving its checksums as they are. */
export function patched(packet: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = packet.slice();
  copy.set(bytes, at);
  return copy;
}

/** Redoes the transport checksum of a packet that was changed. */
export function withChecksum(packet: Uint8Array, transport: number, protocol: number): Uint8Array {
  const part = packet.subarray(transport);
  const at = protocol === TCP ? 16 : 6;
  part.fill(0, at, at + 2);
  const checksum = internetChecksum(pseudoHeader(packet, protocol, part.length), part);
  part.set([checksum >> 8, checksum & 255], at);
  return packet;
}
