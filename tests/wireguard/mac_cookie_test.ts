import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { CookieChecker, CookieGenerator } from "../../src/wireguard/mac_cookie.ts";
import { COOKIE_REPLY_BYTES, INITIATION_BYTES } from "../../src/wire/wireguard.ts";
import { encodeEndpoint } from "../../src/wireguard/socket_address.ts";
import {
  publicOf,
  referenceMacs,
  referenceOpenCookie,
  referenceSealCookie,
} from "../reference/noise_reference.ts";
import { CountingCrypto } from "../sim/wireguard_crypto.ts";

const random = new SeededRandom(1);
const publicKey = publicOf(random.fill(new Uint8Array(32)));
const here = encodeEndpoint({ address: Uint8Array.of(192, 0, 2, 1), port: 1000 });

function setUp() {
  const crypto = new CountingCrypto();
  const checker = new CookieChecker(crypto, new SeededRandom(2));
  checker.setPublicKey(publicKey);
  return { crypto, checker, generator: new CookieGenerator(crypto, publicKey) };
}

function message(fill: number): Uint8Array {
  return new Uint8Array(INITIATION_BYTES).fill(fill, 0, INITIATION_BYTES - 32);
}

/** A checker and a generator that has accepted a cookie at 0 ms. */
function withCookie(from = here) {
  const parts = setUp();
  const first = message(1);
  parts.generator.addMacs(first, 0);
  assert(parts.generator.acceptReply(parts.checker.createReply(first, from, 0), 0));
  return parts;
}

Deno.test("mac1 and mac2 equal those of the reference", () => {
  const { generator } = setUp();
  const first = message(1);
  generator.addMacs(first, 0);
  const bare = first.slice(0, -32);
  assertEquals(first.slice(-32), referenceMacs(bare, publicKey, null));
  const cookie = random.fill(new Uint8Array(16));
  const nonce = random.fill(new Uint8Array(24));
  const mac1 = first.slice(-32, -16);
  assert(generator.acceptReply(referenceSealCookie(7, publicKey, nonce, cookie, mac1), 0));
  const second = message(2);
  generator.addMacs(second, 0);
  assertEquals(second.slice(-32), referenceMacs(second.slice(0, -32), publicKey, cookie));
});

Deno.test("a message for another public key, or damaged, has no valid mac1", () => {
  const { checker, generator } = setUp();
  const good = message(1);
  generator.addMacs(good, 0);
  assert(checker.hasValidMac1(good));
  for (const at of [0, 50, 115, 116, 131]) {
    const damaged = good.slice();
    damaged[at] ^= 1;
    assert(!checker.hasValidMac1(damaged), `byte ${at}`);
  }
  checker.setPublicKey(publicOf(new Uint8Array(32).fill(9)));
  assert(!checker.hasValidMac1(good));
  checker.setPublicKey(null);
  assert(!checker.hasValidMac1(good));
});

Deno.test("a cookie reply is 64 bytes, names the sender's index and opens as the paper says", () => {
  const { checker, generator } = setUp();
  const asked = message(1);
  generator.addMacs(asked, 0);
  const reply = checker.createReply(asked, here, 0);
  assertEquals(reply.length, COOKIE_REPLY_BYTES);
  assertEquals([...reply.slice(0, 8)], [3, 0, 0, 0, 1, 1, 1, 1]);
  assertEquals(referenceOpenCookie(reply, publicKey, asked.slice(-32, -16)).length, 16);
});

Deno.test("a cookie proves the address and port it was sent to, and no others", () => {
  const { checker, generator } = withCookie();
  const second = message(2);
  generator.addMacs(second, 1);
  assert(checker.hasValidMac2(second, here, 1));
  const elsewhere = [
    { address: Uint8Array.of(192, 0, 2, 2), port: 1000 },
    { address: Uint8Array.of(192, 0, 2, 1), port: 1001 },
    { address: new Uint8Array(16).fill(1), port: 1000 },
  ];
  for (const address of elsewhere) {
    assert(!checker.hasValidMac2(second, encodeEndpoint(address), 1));
  }
});

Deno.test("a cookie for an IPv6 address is bound to all of it", () => {
  const address = new Uint8Array(16).fill(2);
  const from = encodeEndpoint({ address, port: 5 });
  const { checker, generator } = withCookie(from);
  const second = message(2);
  generator.addMacs(second, 1);
  assert(checker.hasValidMac2(second, from, 1));
  const other = address.slice();
  other[15] ^= 1;
  assert(!checker.hasValidMac2(second, encodeEndpoint({ address: other, port: 5 }), 1));
});

Deno.test("the secret behind the cookies changes after 120 s", () => {
  const { checker, generator } = withCookie();
  const second = message(2);
  generator.addMacs(second, 1);
  assert(checker.hasValidMac2(second, here, 119_999));
  assert(!checker.hasValidMac2(second, here, 120_000));
});

Deno.test("the sender uses a cookie for 115 s, so that it arrives while it is valid", () => {
  const { generator } = withCookie();
  const early = message(2), late = message(2);
  generator.addMacs(early, 114_999);
  generator.addMacs(late, 115_000);
  assert(early.slice(-16).some((byte) => byte !== 0));
  assert(late.slice(-16).every((byte) => byte === 0));
});

Deno.test("a message without mac2 costs no computation of a cookie", () => {
  const { crypto, checker, generator } = setUp();
  const plain = message(1);
  generator.addMacs(plain, 0);
  const before = crypto.calls.mac;
  assert(!checker.hasValidMac2(plain, here, 0));
  assertEquals(crypto.calls.mac, before);
});

Deno.test("a cookie reply that answers nothing, another message, or twice, is refused", () => {
  const { checker, generator } = setUp();
  const foreign = message(9);
  assert(!generator.acceptReply(checker.createReply(foreign, here, 0), 0), "nothing was sent");
  const asked = message(1);
  generator.addMacs(asked, 0);
  assert(!generator.acceptReply(checker.createReply(foreign, here, 0), 0), "another message");
  const reply = checker.createReply(asked, here, 0);
  const damaged = reply.slice();
  damaged[40] ^= 1;
  assert(!generator.acceptReply(damaged, 0), "damaged");
  assert(generator.acceptReply(reply, 0));
  assert(!generator.acceptReply(reply, 0), "twice");
});
