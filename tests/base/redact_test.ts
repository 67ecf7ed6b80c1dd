import { assertEquals } from "@std/assert";
import { withoutKeyLike, withoutKeys } from "../../src/base/redact.ts";

const BASE64 = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", HEX = "0123456789abcdef".repeat(4);

Deno.test("keys are hidden wherever they stand", () => {
  for (const key of [BASE64, HEX, HEX.toUpperCase()]) {
    for (
      const [before, behind] of [["", ""], ["key=", "\n"], ['"', '"'], ["(", ")"], ["a ", ", b"]]
    ) {
      assertEquals(withoutKeys(before + key + behind), `${before}(key hidden)${behind}`);
    }
  }
});

Deno.test("what is said to be a public key, and what is no key, stays", () => {
  const texts = [
    `public key ${BASE64}`,
    `peer(yAnz...fBmk): sha-1 ${HEX.slice(0, 40)}`,
    "/a/path/that/is/long/enough/to/look/like/a/key/but/has/none",
    HEX + "0",
  ];
  for (const text of texts) assertEquals(withoutKeys(text), text);
});

Deno.test("most of a key is hidden where words are told that were typed", () => {
  for (
    const word of [BASE64, BASE64.slice(1), BASE64.slice(0, 40), `x${BASE64}`, HEX.slice(0, 60)]
  ) {
    assertEquals(withoutKeyLike(`"${word}" is no name`), '"(key hidden)" is no name');
  }
  const harmless = '"sixteen-letters-" is no name: 1 to 15 characters of a-z A-Z 0-9 _ = + . -';
  assertEquals(withoutKeyLike(harmless), harmless);
});
