import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import {
  EPHEMERAL_PORT_FIRST,
  EPHEMERAL_PORT_LAST,
  IsnGenerator,
  PortChooser,
} from "../../../src/netstack/tcp/isn.ts";

const local = Uint8Array.of(10, 0, 0, 1);
const remote = Uint8Array.of(10, 0, 0, 2);
const remote6 = Uint8Array.from({ length: 16 }, (_, i) => i);

Deno.test("the ISN of one flow rises by 250 in a millisecond, for years and through the wrap", () => {
  const isns = new IsnGenerator(new SeededRandom(1));
  for (const nowMs of [0, 1, 1e6, 17_179_869, 1e9, 3e11]) {
    const before = isns.isn(local, 1, remote, 2, nowMs);
    assertEquals((isns.isn(local, 1, remote, 2, nowMs + 1) - before) | 0, 250, `at ${nowMs}`);
    assertEquals(before, before | 0);
  }
});

Deno.test("ISNs of flows that differ in one field have nothing to do with each other", () => {
  const isns = new IsnGenerator(new SeededRandom(2));
  const seen = new Set([
    isns.isn(local, 1, remote, 2, 0),
    isns.isn(local, 2, remote, 2, 0),
    isns.isn(local, 1, remote, 3, 0),
    isns.isn(remote, 1, local, 2, 0),
    isns.isn(local, 1, remote6, 2, 0),
  ]);
  assertEquals(seen.size, 5);
  assertNotEquals(
    new IsnGenerator(new SeededRandom(3)).isn(local, 1, remote, 2, 0),
    isns.isn(local, 1, remote, 2, 0),
  );
});

Deno.test("the timestamps of one flow go on from the same place, those of another elsewhere", () => {
  const isns = new IsnGenerator(new SeededRandom(4));
  const offsetOf = (localPort: number, nowMs: number) => {
    isns.isn(local, localPort, remote, 2, nowMs);
    return isns.stampOffset;
  };
  const offset = offsetOf(1, 0);
  assertEquals(offset, offset | 0);
  assertEquals(offsetOf(1, 1e9), offset);
  assertNotEquals(offsetOf(2, 0), offset);
  isns.isn(local, 1, remote, 2, 0);
  assertNotEquals(isns.stampOffset, isns.isn(local, 1, remote, 2, 0));
});

Deno.test("ports lie in the ephemeral range and do not come back soon to one destination", () => {
  const chooser = new PortChooser(new SeededRandom(4));
  const seen = new Set<number>();
  for (let i = 0; i < 5000; i++) {
    const port = chooser.choose(local, remote, 443, () => true);
    assert(port >= EPHEMERAL_PORT_FIRST && port <= EPHEMERAL_PORT_LAST);
    assert(!seen.has(port), `${port} after ${i}`);
    seen.add(port);
  }
});

Deno.test("ports to several destinations begin at places that nobody can tell", () => {
  const chooser = new PortChooser(new SeededRandom(5));
  const other = new PortChooser(new SeededRandom(6));
  const firsts = [80, 81, 82, 83].map((port) => chooser.choose(local, remote, port, () => true));
  const others = [80, 81, 82, 83].map((port) => other.choose(local, remote, port, () => true));
  assertEquals(new Set(firsts.concat(others)).size, 8);
  const gaps = firsts.slice(1).map((port, i) => Math.abs(port - firsts[i]));
  assert(gaps.every((gap) => gap > 50), `${firsts}`);
});

Deno.test("the only free port is found, and none when there is none", () => {
  const chooser = new PortChooser(new SeededRandom(7), 100, 199);
  assertEquals(chooser.choose(local, remote, 1, (port) => port === 142), 142);
  let asked = 0;
  assertEquals(chooser.choose(local, remote, 1, () => (asked++, false)), 0);
  assertEquals(asked, 100);
});
