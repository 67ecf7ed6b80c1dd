import { assertEquals } from "@std/assert";
import { chooseEncryptors, readEncryptors } from "../../src/config/encryptors.ts";

Deno.test("a number of encryptors is auto or a whole number from 0 to 16", () => {
  assertEquals(["0", "1", "16", "auto", "AUTO"].map(readEncryptors), [0, 1, 16, "auto", "auto"]);
  for (const text of ["", "-1", "17", "64", "1.5", "x", "1 2", "0x2"]) {
    assertEquals(readEncryptors(text), undefined, text);
  }
});

Deno.test("auto seals in the lane on two cores, and has up to two encryptors beyond", () => {
  const chosen = [1, 2, 3, 4, 5, 6, 64].map((cores) => chooseEncryptors("auto", cores));
  assertEquals(chosen, [0, 0, 1, 2, 2, 2, 2]);
});

Deno.test("a number that is asked for is taken, whatever the machine has", () => {
  assertEquals([0, 1, 4].map((count) => chooseEncryptors(count, 1)), [0, 1, 4]);
});
