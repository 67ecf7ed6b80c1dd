import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { onesComplementSum } from "../reference/ones_complement_reference.ts";

const SEED = 1071;
const slab = createSlab(1 << 20);
const kernels = instantiateKernels(slab.memory);
const AT = 4096;
const TO = 1 << 19;

Deno.test("sum agrees with the reference for every length at even and odd places", () => {
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(AT, AT + 2200));
  for (let length = 0; length <= 2100; length++) {
    for (let offset = 0; offset < 4; offset++) {
      const bytes = slab.u8.subarray(AT + offset, AT + offset + length);
      const initial = random.nextUint32();
      const expected = onesComplementSum(bytes, initial);
      const where = `length ${length}, offset ${offset}, seed ${SEED}`;
      assertEquals(kernels.sum(AT + offset, length, initial), expected, where);
    }
  }
});

Deno.test("copySum copies exactly and agrees with the reference, for every length", () => {
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(AT, AT + 2200));
  for (let length = 0; length <= 2100; length++) {
    const from = AT + (length & 3), to = TO + random.below(16);
    const where = `length ${length}, seed ${SEED}`;
    slab.u8.fill(0x5a, to - 16, to + length + 16);
    const initial = random.nextUint32();
    const bytes = slab.u8.slice(from, from + length);
    assertEquals(
      kernels.copySum(to, from, length, initial),
      onesComplementSum(bytes, initial),
      where,
    );
    for (let i = 0; i < length; i++) assert(slab.u8[to + i] === bytes[i], where);
    for (let i = 1; i <= 16; i++) assert(slab.u8[to - i] === 0x5a, where);
    for (let i = 0; i < 16; i++) assert(slab.u8[to + length + i] === 0x5a, where);
  }
});

Deno.test("copySum may move bytes down over themselves by any distance", () => {
  const random = new SeededRandom(SEED);
  for (const distance of [1, 2, 3, 8, 12, 15, 16, 17, 40, 63, 64, 65, 200]) {
    for (const length of [0, 1, 15, 16, 31, 63, 64, 65, 127, 128, 200, 1403, 1460]) {
      random.fill(slab.u8.subarray(TO, TO + distance + length));
      const bytes = slab.u8.slice(TO + distance, TO + distance + length);
      const sum = kernels.copySum(TO, TO + distance, length, 0);
      assertEquals(sum, onesComplementSum(bytes, 0), `${distance} ${length}`);
      assertEquals(slab.u8.slice(TO, TO + length), bytes, `${distance} ${length}`);
    }
  }
});

Deno.test("sums of 64 KB and of 1 MiB of ones do not overflow", () => {
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(AT, AT + 65_535));
  const bytes = slab.u8.slice(AT, AT + 65_535);
  assertEquals(kernels.sum(AT, 65_535, 0xffffffff), onesComplementSum(bytes, 0xffffffff));
  slab.u8.fill(0xff);
  assertEquals(kernels.sum(0, 1 << 20, 0xffffffff), 0xffff);
  assertEquals(kernels.copySum(TO, 0, 65_535, 0), onesComplementSum(slab.u8.slice(0, 65_535), 0));
});

Deno.test("a sum is zero only when all that was added is zero", () => {
  slab.u8.fill(0, AT, AT + 200);
  assertEquals(kernels.sum(AT, 200, 0), 0);
  assertEquals(kernels.sum(AT, 0, 0xffff), 0xffff);
  assertEquals(kernels.sum(AT, 0, 0xffffffff), 0xffff);
  slab.u8.fill(0xff, AT + 90, AT + 92);
  assertEquals(kernels.sum(AT, 200, 0), 0xffff);
});

Deno.test("sum reads to the very end of the memory, and not beyond", () => {
  slab.u8.fill(1, slab.u8.length - 64);
  for (let length = 0; length <= 64; length++) {
    const at = slab.u8.length - length;
    assertEquals(kernels.sum(at, length, 0), onesComplementSum(slab.u8.subarray(at), 0));
  }
  assertThrows(() => kernels.sum(slab.u8.length - 16, 17, 0), WebAssembly.RuntimeError);
});

Deno.test("wipe zeroes exactly what it is told to", () => {
  slab.u8.fill(0x77, AT, AT + 300);
  kernels.wipe(AT + 50, 100);
  for (let i = 0; i < 300; i++) {
    assertEquals(slab.u8[AT + i], i >= 50 && i < 150 ? 0 : 0x77);
  }
});

Deno.test("kernels accept shared memories of any size and refuse others", () => {
  for (const pages of [1, 100, 65_536]) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: pages, shared: true });
    assertEquals(instantiateKernels(memory).sum(0, 64, 7), 7);
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  assertThrows(() => instantiateKernels(memory), WebAssembly.LinkError);
});

Deno.test("the checked-in WebAssembly is what the source assembles to", async () => {
  const script = new URL("../../scripts/build_kernels.ts", import.meta.url).pathname;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", "--allow-run", script, "--check"],
  });
  const { success, stderr } = await command.output();
  assert(success, new TextDecoder().decode(stderr));
});
