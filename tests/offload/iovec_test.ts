import { assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { IOVEC_BYTES, IovecWriter } from "../../src/offload/iovec.ts";

const slab = createSlab(65_536);

Deno.test("an iovec is a 64-bit address and a 64-bit length, for every carry", () => {
  const addresses = [
    0,
    4096,
    0x7fff_f000,
    0x8000_0000,
    0xffff_f000,
    0x7f3c_ffff_0000,
    2 ** 47 - 4096,
  ];
  for (const slabAddress of addresses) {
    const writer = new IovecWriter(slab, slabAddress);
    for (const at of [0, 1, 4095, 4096, 0xffff, 0x10000, 0x7fffffff]) {
      slab.u8.fill(0xff, 96, 96 + IOVEC_BYTES);
      writer.write(96, at, 1430);
      assertEquals(slab.view.getBigUint64(96, true), BigInt(slabAddress) + BigInt(at));
      assertEquals(slab.view.getBigUint64(104, true), 1430n);
    }
  }
});
