import { assert, assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import {
  ICMP_ERROR_BYTES_MAX,
  icmpErrorAllowed,
  IcmpType,
  Icmpv6Type,
  writeIcmpv4Error,
  writeIcmpv6Error,
  writeUnreachable,
} from "../../src/wire/icmp.ts";
import {
  internetChecksum,
  isIpv4HeaderValid,
  isTransportValid,
} from "../reference/checksum_reference.ts";
import { buildPacket, type PacketFields, pattern, UDP } from "../offload/packet_builder.ts";

const slab = createSlab(1 << 18);
const kernel = new ScalarChecksumKernel(slab);
const PACKET = 4096;
const OUR_ADDRESS = 1024;
const OUT = 1 << 17;
const versions = [4, 6] as const;
const ours = { 4: pattern(4, 3), 6: pattern(16, 5) };

/** Puts a packet in its place and our address of its version in the slab. */
function put(packet: Uint8Array): number {
  slab.u8.set(packet, PACKET);
  slab.u8.set(ours[packet[0] >> 4 === 4 ? 4 : 6], OUR_ADDRESS);
  slab.u8.fill(0xee, OUT, OUT + 2000);
  return packet.length;
}

/** Checks everything that all errors have in common and returns type, code and the word behind. */
function checkError(packet: Uint8Array, bytes: number): [number, number, number] {
  const out = slab.u8.slice(OUT, OUT + bytes);
  assert(bytes <= ICMP_ERROR_BYTES_MAX);
  assertEquals(slab.u8[OUT + bytes], 0xee);
  const isV4 = packet[0] >> 4 === 4;
  const icmp = isV4 ? 20 : 40;
  const view = new DataView(out.buffer);
  if (isV4) {
    assertEquals([out[0], out[8], out[9], view.getUint16(2)], [0x45, 64, 1, bytes]);
    assert(isIpv4HeaderValid(out));
    assertEquals(internetChecksum(out.subarray(20)), 0);
    assertEquals(out.slice(12, 16), ours[4]);
    assertEquals(out.slice(16, 20), packet.slice(12, 16));
  } else {
    assertEquals([out[0], out[6], out[7], view.getUint16(4)], [0x60, 58, 64, bytes - 40]);
    assert(isTransportValid(out, 40, 58));
    assertEquals(out.slice(8, 24), ours[6]);
    assertEquals(out.slice(24, 40), packet.slice(8, 24));
  }
  const quotedBytes = Math.min(packet.length, (isV4 ? 576 : 1280) - icmp - 8);
  assertEquals(out.slice(icmp + 8), packet.slice(0, quotedBytes));
  return [out[icmp], out[icmp + 1], view.getUint32(icmp + 4)];
}

Deno.test("writeUnreachable() says host unreachable or address unreachable", () => {
  for (const version of versions) {
    for (const length of [0, 1, 20, 499, 500, 501, 1200, 1392, 9000]) {
      const packet = buildPacket({ version, protocol: UDP, payload: pattern(length) });
      const bytes = writeUnreachable(slab, kernel, OUT, PACKET, put(packet), OUR_ADDRESS);
      assertEquals(checkError(packet, bytes), version === 4 ? [3, 1, 0] : [1, 3, 0]);
    }
  }
});

Deno.test("any other error can be written", () => {
  const v4 = buildPacket({ payload: pattern(30) });
  const type4 = IcmpType.TimeExceeded;
  const bytes4 = writeIcmpv4Error(slab, kernel, OUT, PACKET, put(v4), type4, 1, 9, OUR_ADDRESS);
  assertEquals(checkError(v4, bytes4), [11, 1, 9]);
  const v6 = buildPacket({ version: 6, payload: pattern(30) });
  const type6 = Icmpv6Type.ParameterProblem;
  const bytes6 = writeIcmpv6Error(slab, kernel, OUT, PACKET, put(v6), type6, 2, 40, OUR_ADDRESS);
  assertEquals(checkError(v6, bytes6), [4, 2, 40]);
});

/** Whether an error may be sent about a packet, changed in some bytes. */
function isAllowed(fields: Partial<PacketFields>, at = 0, ...patch: number[]): boolean {
  const packet = buildPacket({ protocol: UDP, payload: pattern(20), ...fields });
  packet.set(patch, at);
  const bytes = put(packet);
  const allowed = icmpErrorAllowed(slab.view, PACKET, bytes);
  const written = writeUnreachable(slab, kernel, OUT, PACKET, bytes, OUR_ADDRESS);
  assertEquals(written > 0, allowed);
  return allowed;
}

Deno.test("hazard 46: no error about an ICMP error, but about an echo request", () => {
  for (let type = 0; type < 256; type++) {
    const isError4 = [3, 4, 5, 11, 12].includes(type);
    assertEquals(isAllowed({ protocol: 1 }, 20, type), !isError4, `v4 type ${type}`);
    assertEquals(isAllowed({ version: 6, protocol: 58 }, 40, type), type >= 128, `v6 type ${type}`);
  }
});

Deno.test("hazard 46: no error about an ICMPv6 error behind extension headers", () => {
  const extensions = [{ type: 60, bytes: new Uint8Array(8) }];
  const fields = { version: 6 as const, protocol: 58, extensions };
  assertEquals(isAllowed(fields, 48, 1), false);
  assertEquals(isAllowed(fields, 48, 128), true);
});

Deno.test("no error about later fragments", () => {
  assert(isAllowed({ fragmentField: 0x2000 }));
  assert(!isAllowed({ fragmentField: 0x2001 }));
  const fragment = (offset: number) => {
    const bytes = new Uint8Array(8);
    bytes.set([0, 0, offset, 1]);
    return { version: 6 as const, extensions: [{ type: 44, bytes }] };
  };
  assert(isAllowed(fragment(0)));
  assert(!isAllowed(fragment(1)));
});

Deno.test("hazard 44: no error to or about addresses that are not one host's", () => {
  for (const source of [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]]) {
    assert(!isAllowed({}, 12, ...source), `from ${source}`);
  }
  for (const destination of [[224, 0, 0, 251], [239, 1, 1, 1], [255, 255, 255, 255]]) {
    assert(!isAllowed({}, 16, ...destination), `to ${destination}`);
  }
  const unspecified = Array(16).fill(0);
  assert(!isAllowed({ version: 6 }, 8, ...unspecified));
  assert(!isAllowed({ version: 6 }, 8, ...unspecified.slice(1), 1));
  assert(!isAllowed({ version: 6 }, 8, 0xff, 2));
  assert(!isAllowed({ version: 6 }, 24, 0xff, 2));
  assert(isAllowed({}) && isAllowed({ version: 6 }));
});

Deno.test("no error about garbage", () => {
  for (const version of [0, 1, 5, 7, 15]) assert(!isAllowed({}, 0, version << 4));
  assert(!isAllowed({}, 0, 0x44));
  assert(!isAllowed({ payload: new Uint8Array() }, 0, 0x4f));
  for (let bytes = 0; bytes < 20; bytes++) assert(!icmpErrorAllowed(slab.view, PACKET, bytes));
});
