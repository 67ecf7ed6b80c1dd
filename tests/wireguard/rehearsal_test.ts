import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { NobleCrypto } from "../../src/crypto/noble.ts";
import { selectNoiseCrypto } from "../../src/crypto/select.ts";
import { rehearseHandshake } from "../../src/wireguard/rehearsal.ts";

Deno.test("a rehearsal succeeds with every implementation of the primitives", () => {
  assertEquals(rehearseHandshake(new NobleCrypto(), new SeededRandom(1)), true);
  assertEquals(rehearseHandshake(selectNoiseCrypto().crypto, new SeededRandom(2)), true);
});

Deno.test("a rehearsal fails when a primitive is wrong now and then", () => {
  class Broken extends NobleCrypto {
    #calls = 0;
    override hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
      const result = super.hmac(key, ...parts);
      if (++this.#calls % 13 === 0) result[0] ^= 1;
      return result;
    }
  }
  assertEquals(rehearseHandshake(new Broken(), new SeededRandom(3)), false);
});
