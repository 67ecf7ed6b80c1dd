import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { RateLimiter } from "../../src/wireguard/rate_limiter.ts";
import { encodeEndpoint } from "../../src/wireguard/socket_address.ts";

const v4 = (last: number, port = 1) =>
  encodeEndpoint({ address: Uint8Array.of(192, 0, 2, last), port });

function v6(seventh: number, last: number) {
  const address = new Uint8Array(16);
  address.set([0x20, 1, 0x0d, 0xb8, 0, 0, 0, seventh]);
  address[15] = last;
  return encodeEndpoint({ address, port: 1 });
}

Deno.test("an address may send five at once, then twenty a second", () => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 5; i++) assert(limiter.allow(v4(1), 1000), `message ${i}`);
  assert(!limiter.allow(v4(1), 1000));
  assert(!limiter.allow(v4(1), 1049));
  assert(limiter.allow(v4(1), 1050));
  assert(!limiter.allow(v4(1), 1099));
  assert(limiter.allow(v4(1), 1100));
});

Deno.test("over a second of flooding, 25 messages pass", () => {
  const limiter = new RateLimiter();
  let passed = 0;
  for (let ms = 0; ms <= 1000; ms++) if (limiter.allow(v4(1), ms)) passed++;
  assertEquals(passed, 25);
});

Deno.test("IPv4 addresses are told apart, whatever their ports; IPv6 by /64", () => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 5; i++) limiter.allow(v4(1, i), 0);
  assert(!limiter.allow(v4(1, 9), 0));
  assert(limiter.allow(v4(2), 0));
  for (let i = 0; i < 5; i++) limiter.allow(v6(1, i), 0);
  assert(!limiter.allow(v6(1, 99), 0));
  assert(limiter.allow(v6(2, 0), 0));
});

Deno.test("the memory is bounded, and quiet addresses are forgotten within two seconds", () => {
  const limiter = new RateLimiter(100);
  for (let i = 0; i < 300; i++) limiter.allow(v4(i & 255), 0);
  assertEquals(limiter.size, 100);
  assertEquals(limiter.nextTimeoutMs(), 1000);
  assert(!limiter.allow(v4(200), 0), "no room for a further address");
  limiter.allow(v4(1), 500);
  limiter.onTimeout(999);
  assertEquals(limiter.size, 100);
  limiter.onTimeout(1000);
  assertEquals(limiter.size, 1);
  assert(limiter.allow(v4(200), 1000));
  limiter.onTimeout(limiter.nextTimeoutMs());
  assertEquals(limiter.size, 0);
  assertEquals(limiter.nextTimeoutMs(), Infinity);
});

Deno.test("what passes equals a naive count of tokens in any pattern of arrivals", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const limiter = new RateLimiter();
    let nowMs = 0, tokens = 5, lastMs = 0;
    for (let i = 0; i < 500; i++) {
      nowMs += random.below(120);
      tokens = Math.min(5, tokens + (nowMs - lastMs) / 50);
      lastMs = nowMs;
      const expected = tokens > 1 - 1e-9;
      if (expected) tokens -= 1;
      assertEquals(limiter.allow(v4(1), nowMs), expected, `seed ${seed}, message ${i}`);
    }
  }
});
