import { assertEquals } from "@std/assert";
import { findTable } from "../../src/daemon/routing_table_names.ts";

Deno.test("a routing table is found by its name in the lines of iproute2", () => {
  const text =
    "#\n# reserved values\n#\n255\tlocal\n254 main\n  0x64   vpn # ours\n#1\tinr.ruhep\n";
  assertEquals(findTable(text, "local"), 255);
  assertEquals(findTable(text, "vpn"), 100);
  for (const name of ["inr.ruhep", "#", "mai", ""]) assertEquals(findTable(text, name), undefined);
});
