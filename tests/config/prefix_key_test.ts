import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { networkOf } from "../../src/config/next_address.ts";
import { prefixKey } from "../../src/config/peers.ts";
import { formatPrefix } from "../../src/control/address_text.ts";

const prefix = fc.constantFrom(4, 16).chain((length) =>
  fc.record({
    // Few values, so that equal prefixes come about.
    address: fc.uint8Array({ minLength: length, maxLength: length, max: 1 }),
    bits: fc.integer({ min: 0, max: length * 8 }),
  })
);

Deno.test("two prefixes have one key exactly when they have one network and length", () => {
  fc.assert(
    fc.property(prefix, prefix, (a, b) => {
      const isSame = formatPrefix(networkOf(a)) === formatPrefix(networkOf(b));
      assertEquals(prefixKey(a) === prefixKey(b), isSame);
    }),
    { numRuns: 2000 },
  );
});
