import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { BufferPool, POOL_BLOCK_BYTES_MAX } from "../../src/netstack/buffer_pool.ts";

const AT = 4096;
const KIB = 1024;
const MIB = 1 << 20;

Deno.test("blocks are powers of two, aligned to their size, and never overlap", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const pool = new BufferPool(AT, 40 * MIB);
    const blocks = new Map<number, number>();
    let used = 0;
    for (let i = 0; i < 2000; i++) {
      if (random.below(5) < 3) {
        const wanted = 1 + random.below(1 << random.below(25));
        const at = pool.allocate(wanted);
        if (at === 0) continue;
        const bytes = pool.blockBytes(at);
        assert(bytes >= wanted && (bytes === 4 * KIB || bytes < 2 * wanted), `seed ${seed}`);
        assertEquals((at - AT) % bytes, 0, `seed ${seed}`);
        for (const [other, otherBytes] of blocks) {
          assert(at + bytes <= other || other + otherBytes <= at, `overlap, seed ${seed}`);
        }
        blocks.set(at, bytes);
        used += bytes;
      } else if (blocks.size > 0) {
        const at = [...blocks.keys()][random.below(blocks.size)];
        used -= blocks.get(at)!;
        blocks.delete(at);
        pool.free(at);
      }
      assertEquals(pool.usedBytes, used, `seed ${seed}`);
    }
    for (const at of blocks.keys()) pool.free(at);
    assertEquals(pool.usedBytes, 0);
    // Everything has merged again: the largest blocks are there.
    assert(pool.allocate(POOL_BLOCK_BYTES_MAX) > 0 && pool.allocate(POOL_BLOCK_BYTES_MAX) > 0);
    assert(pool.allocate(8 * MIB) > 0);
    assertEquals(pool.allocate(4 * KIB), 0, `all 40 MiB are given out, seed ${seed}`);
  }
});

Deno.test("a pinned block that was freed goes back with its last pin", () => {
  const pool = new BufferPool(AT, 64 * KIB);
  const at = pool.allocate(64 * KIB);
  pool.pin(at);
  pool.pin(at);
  pool.free(at);
  assertEquals(pool.allocate(4 * KIB), 0);
  pool.unpin(at);
  assertEquals(pool.allocate(4 * KIB), 0);
  pool.unpin(at);
  assertEquals(pool.usedBytes, 0);
  assertEquals(pool.allocate(64 * KIB), at);
  assertEquals(pool.peakBytes, 64 * KIB);
});

Deno.test("a pin that is taken away before the free changes nothing", () => {
  const pool = new BufferPool(AT, 64 * KIB);
  const at = pool.allocate(5 * KIB);
  pool.pin(at);
  pool.unpin(at);
  assertEquals(pool.usedBytes, 8 * KIB);
  pool.free(at);
  assertEquals(pool.usedBytes, 0);
});

Deno.test("freeing twice, unpinning what is not pinned and foreign places are bugs", () => {
  const pool = new BufferPool(AT, 64 * KIB);
  const at = pool.allocate(4 * KIB);
  assertThrows(() => pool.unpin(at));
  pool.free(at);
  assertThrows(() => pool.free(at));
  assertThrows(() => pool.pin(at));
  assertThrows(() => pool.free(AT + 64 * KIB));
});

Deno.test("what stays free from one trim to the next is told, merged with what is free beside it", () => {
  const released: number[][] = [];
  const pool = new BufferPool(AT, MIB, (at, bytes) => released.push([at - AT, bytes]));
  assert(pool.isTrimmed);
  const [a, b] = [pool.allocate(512 * KIB), pool.allocate(512 * KIB)];
  pool.free(a);
  pool.trim();
  assertEquals(released, []);
  pool.trim();
  assertEquals(released, [[a - AT, 512 * KIB]]);
  assert(pool.isTrimmed);
  pool.free(b);
  assert(!pool.isTrimmed);
  pool.trim();
  pool.trim();
  pool.trim();
  assertEquals(released, [[a - AT, 512 * KIB], [0, MIB]]);
});

Deno.test("a trim with a limit goes on where the last one stopped, and only then counts anew", () => {
  let released = 0;
  const pool = new BufferPool(AT, 64 * MIB, (_at, bytes) => released += bytes);
  const blocks = Array.from({ length: 4 }, () => pool.allocate(16 * MIB));
  for (const block of blocks.slice(0, 3)) pool.free(block);
  assertEquals(pool.trim(MIB), false);
  pool.free(blocks[3]);
  const trims = [1, 2, 3, 4].map(() => [pool.trim(MIB), released / MIB]);
  assertEquals(trims, [[true, 16], [true, 32], [false, 48], [false, 64]]);
  assert(pool.isTrimmed);
});

Deno.test("memory that was used between two trims is not told", () => {
  const released: number[][] = [];
  const pool = new BufferPool(AT, MIB, (at, bytes) => released.push([at - AT, bytes]));
  for (let round = 0; round < 4; round++) {
    pool.free(pool.allocate(64 * KIB));
    pool.trim();
  }
  assertEquals(released, []);
  assert(!pool.isTrimmed);
});

Deno.test("a part of free memory is as fresh as the whole", () => {
  const released: number[][] = [];
  const pool = new BufferPool(AT, MIB, (at, bytes) => released.push([at - AT, bytes]));
  pool.free(pool.allocate(MIB));
  pool.trim();
  const part = pool.allocate(512 * KIB);
  pool.trim();
  const rest = part === AT ? 512 * KIB : 0;
  assertEquals(released, [[rest, 512 * KIB]]);
});

Deno.test("what is larger than a block can be is refused", () => {
  const pool = new BufferPool(AT, 64 * MIB);
  assertEquals(pool.allocate(POOL_BLOCK_BYTES_MAX + 1), 0);
});
