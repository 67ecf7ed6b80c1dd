import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import { createSlab } from "../../../src/memory/slab.ts";
import { BufferPool } from "../../../src/netstack/buffer_pool.ts";
import { Pieces } from "../../../src/netstack/inbound.ts";
import { dropBack, dropFront } from "../../../src/netstack/tcp/pieces.ts";
import { ReceiveBuffer } from "../../../src/netstack/tcp/receive_buffer.ts";
import { SendBuffer } from "../../../src/netstack/tcp/send_buffer.ts";

const KIB = 1024;
const POOL_BYTES = 8 << 20;

function setUp() {
  const slab = createSlab(POOL_BYTES + (1 << 20));
  const pool = new BufferPool(1 << 20, POOL_BYTES);
  return { slab, pool };
}

/** Byte `index` of a stream that does not repeat within 2^24 bytes. */
function byteAt(index: number): number {
  return (index ^ index >>> 8 ^ index >>> 16) & 0xff;
}

Deno.test("every segment of a send buffer is contiguous and right, at the ring's end too", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { slab, pool } = setUp();
    const random = new SeededRandom(seed);
    const buffer = new SendBuffer(slab, pool);
    let [written, released] = [0, 0];
    for (let step = 0; step < 3000; step++) {
      const choice = random.below(8);
      if (choice < 3) {
        const bytes = buffer.span(1 + random.below(80_000));
        for (let i = 0; i < bytes; i++) slab.u8[buffer.spanAt + i] = byteAt(written + i);
        buffer.commit(bytes);
        written += bytes;
      } else if (choice < 5) {
        const bytes = random.below(buffer.usedBytes + 1);
        buffer.release(bytes);
        released += bytes;
      } else if (choice < 7 && buffer.usedBytes > 0) {
        const offset = random.below(buffer.usedBytes);
        const bytes = Math.min(1 + random.below(65_000), buffer.usedBytes - offset);
        const at = buffer.placeOf(offset, bytes);
        for (let i = 0; i < bytes; i += 1 + random.below(50)) {
          assertEquals(slab.u8[at + i], byteAt(released + offset + i), `seed ${seed} step ${step}`);
        }
      } else if (random.below(100) === 0) buffer.grow();
      assertEquals(buffer.usedBytes, written - released);
      assert(buffer.freeBytes >= 0);
    }
    buffer.close();
    assertEquals(pool.usedBytes, 0, "the block is given back");
  }
});

Deno.test("a send buffer costs nothing before the first write, which decides how large it is", () => {
  const { slab, pool } = setUp();
  const buffer = new SendBuffer(slab, pool);
  assertEquals([buffer.block, pool.usedBytes, buffer.freeBytes], [0, 0, 64 * KIB]);
  assertEquals(buffer.span(1 << 20), 64 * KIB);
  buffer.commit(64 * KIB);
  assertEquals(buffer.span(1), 0);
  const small = new SendBuffer(slab, pool);
  const before = pool.usedBytes;
  assertEquals(small.span(100), 100);
  assertEquals(pool.usedBytes - before, 16 * KIB);
});

Deno.test("a pool without memory gives no room, and nothing breaks", () => {
  const { slab } = setUp();
  const pool = new BufferPool(1 << 20, 64 * KIB);
  const buffer = new SendBuffer(slab, pool);
  assertEquals([buffer.span(64 * KIB), buffer.grow(), pool.usedBytes], [0, false, 0]);
  const receive = new ReceiveBuffer(slab, pool);
  assertEquals([receive.reserve(64 * KIB), receive.reserve(64 * KIB + 1)], [true, false]);
});

Deno.test("a receive buffer keeps bytes at their places while it grows and wraps", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { slab, pool } = setUp();
    const random = new SeededRandom(seed);
    const buffer = new ReceiveBuffer(slab, pool);
    const pieces = new Pieces();
    let [next, read] = [0, 0];
    for (let step = 0; step < 2000; step++) {
      if (random.below(2) === 0) {
        // Some bytes behind a gap first, then the gap: as a reordered pair of segments.
        const gap = 1 + random.below(3000);
        const behind = random.below(3000);
        if (buffer.usedBytes + gap + behind > 500_000) continue;
        assert(buffer.reserve(buffer.usedBytes + gap + behind));
        fill(slab.u8, pieces, random, next + gap, behind);
        buffer.store(buffer.usedBytes + gap, pieces);
        fill(slab.u8, pieces, random, next, gap);
        buffer.store(buffer.usedBytes, pieces);
        buffer.usedBytes += gap + behind;
        next += gap + behind;
      } else {
        const span = buffer.span();
        for (let i = 0; i < span; i += 1 + random.below(20)) {
          assertEquals(slab.u8[buffer.spanAt + i], byteAt(read + i), `seed ${seed} step ${step}`);
        }
        const bytes = random.below(span + 1);
        buffer.consume(bytes);
        read += bytes;
      }
      assertEquals(buffer.usedBytes, next - read);
    }
    buffer.close();
    assertEquals(pool.usedBytes, 0);
  }
});

/** Lays bytes of the stream into pieces of random lengths below the pool. */
function fill(
  u8: Uint8Array,
  pieces: Pieces,
  random: SeededRandom,
  from: number,
  bytes: number,
): void {
  pieces.clear();
  for (let done = 0, at = 64; done < bytes;) {
    const length = Math.min(1 + random.below(700), bytes - done);
    for (let i = 0; i < length; i++) u8[at + i] = byteAt(from + done + i);
    pieces.add(at, length);
    done += length;
    at += length + random.below(5);
  }
}

Deno.test("pieces that are cut in front and behind hold what is left, in order", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const pieces = new Pieces();
    const bytes: number[] = [];
    for (let i = 0, at = 0; i < 1 + random.below(10); i++) {
      const length = 1 + random.below(5);
      pieces.add(at, length);
      for (let k = 0; k < length; k++) bytes.push(at + k);
      at += length + 3;
    }
    const front = random.below(bytes.length + 1);
    const back = random.below(bytes.length - front + 1);
    dropFront(pieces, front);
    dropBack(pieces, back);
    const left: number[] = [];
    for (let i = 0; i < pieces.count; i++) {
      for (let k = 0; k < pieces.bytes[i]; k++) left.push(pieces.at[i] + k);
    }
    assertEquals(left, bytes.slice(front, bytes.length - back), `seed ${seed}`);
    assertEquals(pieces.totalBytes, left.length);
  }
});
