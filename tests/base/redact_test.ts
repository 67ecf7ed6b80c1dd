import { assertEquals } from "@std/assert";
import { withoutKeys } from "../../src/base/redact.ts";

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
