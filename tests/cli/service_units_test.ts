import { assert, assertEquals } from "@std/assert";
import {
  configDropIn,
  reasonsForRoot,
  ROOT_UNIT,
  rootUnit,
  SANDBOXED_UNIT,
  sandboxedUnit,
} from "../../src/cli/service_units.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const OPTIONS = { libraryFolder: "/usr/local/lib/longhaul/1.2.3" };

function reasons(lines: string, allowedIps = "10.0.0.0/8"): string[] {
  const peer = `[Peer]\nPublicKey = ${formatKeyBase64(new Uint8Array(32).fill(1))}\n` +
    `AllowedIPs = ${allowedIps}\n`;
  const { config } = parseConfig(`[Interface]\n${lines}\n${peer}`, { file: "wg0.conf" });
  assert(config !== null, lines);
  return reasonsForRoot(config!);
}

Deno.test("a config without anything that only root may do is run in the sandbox", () => {
  assertEquals(reasons("Address = 10.0.0.1/24\nListenPort = 51820\nMTU = 1380"), []);
  assertEquals(reasons("Table = off", "0.0.0.0/0"), []);
  assertEquals(reasons("Table = 1234", "0.0.0.0/0, ::/0"), []);
});

Deno.test("every reason for root is told", () => {
  assertEquals(reasons("PostUp = true"), ["it has hooks"]);
  assertEquals(reasons("PreDown = true"), ["it has hooks"]);
  assertEquals(reasons("DNS = 10.0.0.53"), ["it sets DNS"]);
  assertEquals(reasons("DNS = example.net"), ["it sets DNS"]);
  assertEquals(reasons("SaveConfig = true"), ["it has SaveConfig"]);
  assertEquals(reasons("", "::/0"), ["it takes the default route"]);
  assertEquals(reasons("", "0.0.0.0/1, 128.0.0.0/1"), ["it takes the default route"]);
  assertEquals(reasons("ListenPort = 443"), ["its port 443 is below 1024"]);
  assertEquals(reasons("PreUp = true\nDNS = 10.0.0.53", "0.0.0.0/0").length, 3);
});

Deno.test("no unit has what would keep Deno or the TUN from working", () => {
  for (const unit of [sandboxedUnit(OPTIONS), rootUnit(OPTIONS)]) {
    for (const key of ["MemoryDenyWriteExecute", "PrivateDevices", "PrivateUsers"]) {
      assert(!new RegExp(`^${key}=`, "m").test(unit), key);
    }
    assert(/^ExecStart=\/usr\/local\/lib\/longhaul\/1\.2\.3\/deno run .*--cached-only/m.test(unit));
    assert(/^Type=notify$/m.test(unit) && /^WatchdogSec=\d+$/m.test(unit));
  }
});

Deno.test("a config elsewhere is named by a drop-in, with what systemd takes for its own escaped", () => {
  assertEquals(
    configDropIn(OPTIONS, SANDBOXED_UNIT, "/srv/100%/wg0.conf"),
    "[Service]\nLoadCredential=\nLoadCredential=%i.conf:/srv/100%%/wg0.conf\nExecReload=\n" +
      "ExecReload=+/usr/local/lib/longhaul/1.2.3/deno run --no-prompt --cached-only --allow-ffi " +
      "/usr/local/lib/longhaul/1.2.3/main.ts reload %i --file /srv/100%%/wg0.conf\n",
  );
  const text = configDropIn(OPTIONS, ROOT_UNIT, "/srv/$x/wg0.conf");
  assert(text.startsWith("[Service]\nExecStart=\nExecStart=/usr/local/"), text);
  assert(text.endsWith(" up /srv/$$x/wg0.conf\n"), text);
});
