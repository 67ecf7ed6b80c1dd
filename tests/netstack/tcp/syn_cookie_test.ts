import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import {
  cookieHasSack,
  cookieScale,
  cookieTimestamp,
  SynCookies,
} from "../../../src/netstack/tcp/syn_cookie.ts";

const local = Uint8Array.of(10, 0, 0, 1);
const remote = Uint8Array.of(10, 0, 0, 2);
const MINUTE_MS = 60_000;

Deno.test("a cookie gives back the largest MSS class that the SYN allows", () => {
  const cookies = new SynCookies(new SeededRandom(1));
  const cases = [[48, 64], [64, 64], [535, 64], [536, 536], [1219, 1200], [1460, 1460]];
  for (const [mss, expected] of [...cases, [65_495, 1460]]) {
    const cookie = cookies.make(local, 1, remote, 2, 77, mss, 5e6);
    assertEquals(cookies.check(local, 1, remote, 2, 77, cookie, 5e6 + 1), expected);
  }
});

Deno.test("a cookie is good for a minute and never for more than two", () => {
  const cookies = new SynCookies(new SeededRandom(2));
  for (let madeMs = 0; madeMs < 40 * MINUTE_MS; madeMs += 17_011) {
    const cookie = cookies.make(local, 1, remote, 2, -5, 1460, madeMs);
    const check = (afterMs: number) =>
      cookies.check(local, 1, remote, 2, -5, cookie, madeMs + afterMs);
    assertEquals(check(MINUTE_MS), 1460);
    for (let minutes = 2; minutes < 70; minutes++) assertEquals(check(minutes * MINUTE_MS), 0);
  }
});

Deno.test("a cookie is good for its own flow and sequence number only", () => {
  const random = new SeededRandom(3);
  const cookies = new SynCookies(random);
  const cookie = cookies.make(local, 1, remote, 2, 99, 1460, MINUTE_MS);
  assertEquals(cookies.check(local, 1, remote, 2, 99, cookie, MINUTE_MS), 1460);
  assertEquals(cookies.check(local, 1, remote, 2, 100, cookie, MINUTE_MS), 0);
  assertEquals(cookies.check(local, 1, remote, 3, 99, cookie, MINUTE_MS), 0);
  assertEquals(cookies.check(local, 2, remote, 2, 99, cookie, MINUTE_MS), 0);
  assertEquals(cookies.check(remote, 1, local, 2, 99, cookie, MINUTE_MS), 0);
  assertEquals(new SynCookies(random).check(local, 1, remote, 2, 99, cookie, MINUTE_MS), 0);
});

Deno.test("a guessed acknowledgment is no cookie", () => {
  const random = new SeededRandom(4);
  const cookies = new SynCookies(random);
  let hits = 0;
  for (let i = 0; i < 100_000; i++) {
    if (cookies.check(local, 1, remote, 2, i, random.nextUint32() | 0, 1e7) !== 0) hits++;
  }
  assertEquals(hits, 0);
});

Deno.test("a timestamp carries scale and SACK and never runs ahead", () => {
  for (const tsNow of [0, 1, 31, 32, 1000, -1, -(2 ** 31), 2 ** 31 - 1, 0x7fffffe1]) {
    for (let scale = -1; scale <= 14; scale++) {
      for (const hasSack of [false, true]) {
        const stamp = cookieTimestamp(tsNow, scale, hasSack);
        assertEquals([cookieScale(stamp), cookieHasSack(stamp)], [scale, hasSack]);
        const behind = (tsNow - stamp) | 0;
        assert(behind >= 0 && behind <= 32, `${tsNow} ${stamp}`);
      }
    }
  }
});
