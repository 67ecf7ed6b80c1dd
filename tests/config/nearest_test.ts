import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { editDistance, nearest } from "../../src/config/nearest.ts";

/** The distance as its definition reads. */
function slowDistance(a: string, b: string): number {
  if (a === "" || b === "") return a.length + b.length;
  if (a[0] === b[0]) return slowDistance(a.slice(1), b.slice(1));
  return 1 + Math.min(
    slowDistance(a.slice(1), b),
    slowDistance(a, b.slice(1)),
    slowDistance(a.slice(1), b.slice(1)),
  );
}

Deno.test("editDistance() agrees with its definition", () => {
  const random = new SeededRandom(4);
  const word = () => Array.from({ length: random.below(6) }, () => "abc"[random.below(3)]).join("");
  for (let i = 0; i < 500; i++) {
    const a = word(), b = word();
    assertEquals(editDistance(a, b), slowDistance(a, b), `${a} ${b}`);
  }
});

Deno.test("nearest() finds a misspelt name, and nothing for one that resembles none", () => {
  const names = ["PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"];
  assertEquals(nearest("PubKey", names), "PublicKey");
  assertEquals(nearest("publickey ", names), "PublicKey");
  assertEquals(nearest("PreSharedKey", names), "PresharedKey");
  assertEquals(nearest("allowed_ips", names), "AllowedIPs");
  assertEquals(nearest("Keepalive", names), null);
  assertEquals(nearest("x", names), null);
  assertEquals(nearest("y".repeat(10_000), names), null);
});
