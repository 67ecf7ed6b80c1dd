/** Runs a super-packet through the parser and the splitter, and compares with the reference. */
import { assert, assertEquals } from "@std/assert";
import { DropReason, dropReasonName } from "../../src/base/drop_reason.ts";
import { segmentBytes, splitSegments } from "../../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import type { ChecksumKernel } from "../../src/wire/checksum_kernel.ts";
import { splitReference } from "../reference/gso_split_reference.ts";
import {
  buildSuperPacket,
  buildVnet,
  type PacketFields,
  slabWithKernels,
  TCP,
  transportOffset,
  type VnetFields,
} from "./packet_builder.ts";

export const { slab, kernels } = slabWithKernels(1 << 24);
export const IN = 1 << 16;
export const OUT = 1 << 20;
const SENTINEL = 0xa5;

/** Puts a virtio header and a packet at `at` and parses them. */
export function parseAt(
  at: number,
  vnet: Partial<VnetFields>,
  packet: Uint8Array,
): { reason: DropReason; sp: SuperPacket } {
  const sp = new SuperPacket();
  slab.u8.set(buildVnet(vnet), at);
  slab.u8.set(packet, at + 10);
  return { reason: parseSuperPacket(slab, at, 10 + packet.length, sp), sp };
}

/** The reason for which the parser refuses a packet, by name; "None" if it does not. */
export function refusal(vnet: Partial<VnetFields>, packet: Uint8Array): string {
  return dropReasonName(parseAt(IN, vnet, packet).reason);
}

/** Splits all of `sp` in steps of `step` segments and returns the packets. */
export function splitAll(
  sp: SuperPacket,
  kernel: ChecksumKernel,
  step: number,
  padding = 32,
): Uint8Array[] {
  const stride = segmentBytes(sp, 0) + padding;
  const packets: Uint8Array[] = [];
  for (let first = 0; first < sp.segmentCount; first += step) {
    const count = Math.min(step, sp.segmentCount - first);
    const end = OUT + count * stride;
    slab.u8.fill(SENTINEL, OUT - 16, end);
    splitSegments(slab, kernel, sp, first, count, OUT, stride);
    for (let i = 0; i < count; i++) {
      const at = OUT + i * stride;
      const bytes = segmentBytes(sp, first + i);
      packets.push(slab.u8.slice(at, at + bytes));
      const behind = slab.u8.subarray(at + bytes, at + stride);
      assert(behind.every((byte) => byte === SENTINEL), "bytes between segments stay");
    }
    assert(slab.u8.subarray(OUT - 16, OUT).every((byte) => byte === SENTINEL), "bytes before stay");
  }
  return packets;
}

/** The packets that the reference makes of a super-packet. */
export function expectedSegments(
  fields: Partial<PacketFields>,
  vnet: VnetFields,
  packet: Uint8Array,
): Uint8Array[] {
  return splitReference(packet, {
    isGso: vnet.gsoType !== 0,
    needsCsum: (vnet.flags & 1) !== 0,
    csumStart: vnet.csumStart,
    csumOffset: vnet.csumOffset,
    gsoSize: vnet.gsoSize,
    protocol: fields.protocol ?? TCP,
    transport: transportOffset(fields),
  });
}

/** Splits one super-packet with every kernel and demands the reference's bytes. */
export function checkSplit(
  fields: Partial<PacketFields>,
  gsoSize: number,
  where: string,
  options: { step?: number; at?: number; padding?: number } = {},
): void {
  const { step = Infinity, at = IN, padding = 32 } = options;
  const { vnet, packet } = buildSuperPacket(fields, gsoSize);
  const expected = expectedSegments(fields, vnet, packet);
  const { reason, sp } = parseAt(at, vnet, packet);
  assertEquals(dropReasonName(reason), "None", where);
  assertEquals(sp.segmentCount, expected.length, `${where}: segments`);
  for (const [name, kernel] of Object.entries(kernels)) {
    const packets = splitAll(sp, kernel, Math.min(step, sp.segmentCount), padding);
    for (let i = 0; i < expected.length; i++) {
      assertSameBytes(packets[i], expected[i], `${where}, ${name}, segment ${i}`);
    }
  }
  assertSameBytes(slab.u8.slice(at + 10, at + 10 + packet.length), packet, `${where}: input`);
}

/** Equality with a message that names the first byte that differs. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, where: string): void {
  assertEquals(actual.length, expected.length, `${where}: length`);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i]) {
      throw new Error(`${where}: byte ${i} is ${actual[i]}, expected ${expected[i]}`);
    }
  }
}
