import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import {
  rewriteAddress4,
  rewriteAddress6,
  TransportChecksum,
} from "../../src/wire/address_rewrite.ts";
import {
  isIpv4HeaderValid,
  isTransportValid,
  networkSum,
  pseudoHeader,
} from "../reference/checksum_reference.ts";
import { buildPacket, buildSuperPacket, pattern, TCP, UDP } from "../offload/packet_builder.ts";

const SEED = 17;
const slab = createSlab(1 << 18);
const AT = 8192;
const NEW = 4096;

/** What a rewrite makes of a packet; the new address is random. */
function rewritten(
  packet: Uint8Array,
  addressOffset: number,
  kind: TransportChecksum,
  random: SeededRandom,
): Uint8Array {
  const isV4 = packet[0] >> 4 === 4;
  const bytes = isV4 ? 4 : 16;
  random.fill(slab.u8.subarray(NEW, NEW + bytes));
  slab.u8.set(packet, AT);
  const transport = isV4 ? (packet[0] & 15) * 4 : 40;
  const protocol = packet[isV4 ? 9 : 6];
  const checksumAt = AT + transport + (protocol === TCP ? 16 : 6);
  const rewrite = isV4 ? rewriteAddress4 : rewriteAddress6;
  rewrite(slab.view, AT, addressOffset, NEW, checksumAt, kind);
  const out = slab.u8.slice(AT, AT + packet.length);
  assertEquals(out.slice(addressOffset, addressOffset + bytes), slab.u8.slice(NEW, NEW + bytes));
  return out;
}

const addresses = [[4, 12], [4, 16], [6, 8], [6, 24]] as const;

Deno.test("rule 17: full checksums are right after a new address, v4 and v6, TCP and UDP", () => {
  const random = new SeededRandom(SEED);
  for (const [version, offset] of addresses) {
    for (const protocol of [TCP, UDP]) {
      const packet = buildPacket({ version, protocol, payload: pattern(99) });
      const kind = protocol === TCP ? TransportChecksum.Full : TransportChecksum.FullUdp;
      for (let round = 0; round < 200; round++) {
        const out = rewritten(packet, offset, kind, random);
        const where = `seed ${SEED} round ${round}`;
        assert(version === 6 || isIpv4HeaderValid(out), where);
        assert(isTransportValid(out, version === 4 ? 20 : 40, protocol), where);
      }
    }
  }
});

Deno.test("rule 17: a partial checksum stays the sum of the pseudo-header, uncomplemented", () => {
  const random = new SeededRandom(SEED);
  for (const [version, offset] of addresses) {
    for (const protocol of [TCP, UDP]) {
      const { packet, vnet } = buildSuperPacket(
        { version, protocol, payload: pattern(3000) },
        1000,
      );
      for (let round = 0; round < 200; round++) {
        const out = rewritten(packet, offset, TransportChecksum.Partial, random);
        const pseudo = pseudoHeader(out, protocol, out.length - vnet.csumStart);
        const field = new DataView(out.buffer).getUint16(vnet.csumStart + vnet.csumOffset);
        assertEquals(field, networkSum(pseudo), `seed ${SEED} round ${round}`);
      }
    }
  }
});

Deno.test("rule 17: all 16 bytes of an IPv6 address are replaced, and none beside them", () => {
  const random = new SeededRandom(SEED);
  const packet = buildPacket({ version: 6, payload: pattern(10) });
  for (const offset of [8, 24]) {
    const out = rewritten(packet, offset, TransportChecksum.None, random);
    const restored = out.slice();
    restored.set(packet.subarray(offset, offset + 16), offset);
    assertEquals(restored, packet);
  }
});

Deno.test("rule 17: an IPv4 UDP checksum of zero stays zero", () => {
  const random = new SeededRandom(SEED);
  const packet = buildPacket({ protocol: UDP, payload: pattern(10) });
  packet.fill(0, 26, 28);
  for (let round = 0; round < 100; round++) {
    const out = rewritten(packet, 12, TransportChecksum.FullUdp, random);
    assertEquals([out[26], out[27]], [0, 0]);
    assert(isIpv4HeaderValid(out));
  }
});

/** A UDP packet that would have checksum 0 if its first port were `port`. */
function packetOfZeroChecksum(): Uint8Array {
  const packet = buildPacket({ protocol: UDP, sourcePort: 0, payload: pattern(10) });
  const view = new DataView(packet.buffer);
  // The checksum is the port that makes the sum all ones.
  view.setUint16(20, view.getUint16(26));
  view.setUint16(26, 0xffff);
  return packet;
}

Deno.test("an updated UDP checksum of zero is written as 0xFFFF (hazard 49)", () => {
  const packet = packetOfZeroChecksum();
  const random = new SeededRandom(SEED);
  const there = rewritten(packet, 12, TransportChecksum.FullUdp, random);
  assert(isTransportValid(there, 20, UDP));
  slab.u8.set(packet.subarray(12, 16), NEW);
  slab.u8.set(there, AT);
  rewriteAddress4(slab.view, AT, 12, NEW, AT + 26, TransportChecksum.FullUdp);
  assertEquals(slab.u8.slice(AT, AT + packet.length), packet);
});
