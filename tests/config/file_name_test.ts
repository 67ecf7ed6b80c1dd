import { assert, assertEquals } from "@std/assert";
import { interfaceNameOf, isInterfaceName, modeWarning } from "../../src/config/file_name.ts";

Deno.test("interface names are those that wg-quick and the kernel take", () => {
  for (const name of ["wg0", "a", "a-b_c.d=e+f", "x".repeat(15)]) {
    assert(isInterfaceName(name), name);
  }
  for (const name of ["", "x".repeat(16), "wg 0", "wg/0", "wg:0", ".", "..", "wg0\n", "wgé"]) {
    assert(!isInterfaceName(name), name);
  }
});

Deno.test("a config file names its interface", () => {
  assertEquals(interfaceNameOf("/etc/wireguard/wg0.conf"), "wg0");
  assertEquals(interfaceNameOf("home.conf"), "home");
  for (const path of ["wg0", ".conf", "/a/b c.conf", `${"x".repeat(16)}.conf`, "..conf"]) {
    assertEquals(interfaceNameOf(path), null, path);
  }
});

Deno.test("a key file that every user can read or change gets a warning with its fix", () => {
  assertEquals(modeWarning("wg0.conf", 0o100600), null);
  assertEquals(modeWarning("wg0.conf", 0o100640), null);
  assertEquals(
    modeWarning("wg0.conf", 0o100644),
    "wg0.conf can be read by every user of this machine; fix: chmod 600 wg0.conf",
  );
  assert(modeWarning("wg0.conf", 0o100666)!.includes("can be changed"));
});
