import { assert, assertEquals } from "@std/assert";
import { compareBytes } from "../../src/wireguard/bytes.ts";
import { TimestampSource } from "../../src/wireguard/tai64n.ts";
import { hex } from "../reference/noise_reference.ts";

const S = 1_000_000_000n;

Deno.test("a stamp is 2^62 + 10 + seconds and nanoseconds without their low 24 bits, big-endian", () => {
  const source = new TimestampSource();
  // 1,700,000,000 = 0x6553f100; 123,456,789 ns = 0x075bcd15.
  assertEquals(
    source.next(1_700_000_000n * S + 123_456_789n, null),
    hex("400000006553f10a07000000"),
  );
});

Deno.test("stamps never go back when the wall clock does", () => {
  const source = new TimestampSource();
  const before = source.next(1_700_000_000n * S, null);
  const after = source.next(1_700_000_000n * S - 3600n * S, before);
  assert(compareBytes(after, before) > 0);
  const other = source.next(1_700_000_000n * S - 3600n * S, null);
  assert(compareBytes(other, before) >= 0, "a peer not yet greeted may get the same stamp");
});

Deno.test("two stamps for one peer differ even at the same moment, and carry into the seconds", () => {
  const source = new TimestampSource();
  let stamp = source.next(1_700_000_000n * S, null);
  for (let i = 0; i < 200; i++) {
    const next = source.next(1_700_000_000n * S, stamp);
    assert(compareBytes(next, stamp) > 0, `stamp ${i}`);
    assert(new DataView(next.buffer).getUint32(8) < 1_000_000_000, `stamp ${i}`);
    stamp = next;
  }
});

Deno.test("stamps of different peers at one moment do not push each other into the future", () => {
  const source = new TimestampSource();
  const first = source.next(1_700_000_000n * S, null);
  for (let i = 0; i < 10_000; i++) source.next(1_700_000_000n * S, null);
  assertEquals(source.next(1_700_000_000n * S, null), first);
});

Deno.test("after a restart with the clock an hour back, stamps still grow", () => {
  const source = new TimestampSource();
  const before = source.next(1_700_000_000n * S, null);
  const restarted = new TimestampSource(source.last());
  assert(compareBytes(restarted.next(1_699_996_400n * S, null), before) > 0);
});

Deno.test("a wall clock that has jumped back is noticed, one that is corrected a little is not", () => {
  const source = new TimestampSource();
  source.next(1_700_000_000n * S, null);
  assertEquals(source.secondsBehind(1_700_000_001n * S), 0);
  assertEquals(source.secondsBehind(1_699_999_999n * S), 0);
  assertEquals(source.secondsBehind(1_699_996_400n * S), 3600);
});
