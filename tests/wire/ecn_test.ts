import { assert, assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { carryCongestion, Ecn, innerEcn, outerTos } from "../../src/wire/ecn.ts";
import { isIpv4HeaderValid } from "../reference/checksum_reference.ts";
import { buildPacket, pattern } from "../offload/packet_builder.ts";

const { u8, view } = createSlab(65_536);
const AT = 1234;
const versions = [4, 6] as const;

function put(version: 4 | 6, tos: number): Uint8Array {
  const packet = buildPacket({ version, tos, flowLabel: 0xabcde, payload: pattern(8) });
  u8.set(packet, AT);
  return packet;
}

function tosAfter(version: 4 | 6): number {
  return version === 4 ? u8[AT + 1] : (view.getUint16(AT) >> 4) & 0xff;
}

Deno.test("sending: ECN is copied, CE goes out as ECT(0), DSCP is 0", () => {
  for (const version of versions) {
    for (let tos = 0; tos < 256; tos++) {
      put(version, tos);
      assertEquals(innerEcn(view, AT), tos & 3);
      assertEquals(outerTos(view, AT), [Ecn.NotEct, Ecn.Ect1, Ecn.Ect0, Ecn.Ect0][tos & 3]);
    }
  }
  u8[AT] = 0x55;
  assertEquals(outerTos(view, AT), 0);
});

Deno.test("receiving: an outer CE makes an ECN-capable packet CE, and nothing else changes", () => {
  for (const version of versions) {
    for (let tos = 0; tos < 256; tos++) {
      for (let outer = 0; outer < 4; outer++) {
        const packet = put(version, tos);
        carryCongestion(view, AT, 0xb8 | outer);
        const isMarked = outer === Ecn.Ce && (tos & 3) !== Ecn.NotEct;
        assertEquals(tosAfter(version), isMarked ? tos | 3 : tos);
        const out = u8.slice(AT, AT + packet.length);
        if (version === 4) assert(isIpv4HeaderValid(out), `TOS ${tos}`);
        else assertEquals(view.getUint32(AT) & 0xfffff, 0xabcde);
        if (!isMarked) assertEquals(out, packet);
      }
    }
  }
});

Deno.test("receiving: the IPv4 checksum is updated right for every value that it can have", () => {
  for (let id = 0; id < 65_536; id += 7) {
    u8.set(buildPacket({ id, tos: Ecn.Ect0 }), AT);
    carryCongestion(view, AT, Ecn.Ce);
    assert(isIpv4HeaderValid(u8.slice(AT, AT + 20)), `ID ${id}`);
  }
});
