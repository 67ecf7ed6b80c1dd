import { assert, assertEquals, assertRejects } from "@std/assert";
import { ResolveError, resolveHost } from "../../ffi/resolver.ts";
import { formatAddress } from "../../ffi/rtnetlink.ts";
import { run } from "../netns/command.ts";
import { requires } from "../requires.ts";

Deno.test("a name of /etc/hosts has an address", async () => {
  const { address } = await resolveHost("localhost");
  assert(["127.0.0.1", "::1"].includes(formatAddress(address)), formatAddress(address));
});

Deno.test("an address is its own address, its zone the index of the interface", async () => {
  assertEquals(await resolveHost("192.0.2.9"), {
    address: new Uint8Array([192, 0, 2, 9]),
    scopeId: 0,
  });
  const { address, scopeId } = await resolveHost("fe80::1%lo");
  assertEquals([formatAddress(address), scopeId], ["fe80::1", 1]);
});

Deno.test("a name without an address is refused in the resolver's words", async () => {
  const error = await assertRejects(() => resolveHost("nobody.invalid"), ResolveError);
  assertEquals(error.host, "nobody.invalid");
  assert(/^[a-z]/.test(error.message), error.message);
});

Deno.test({
  name: "main hears of its descriptors while a hundred look-ups wait for an answer",
  ...requires("root", "unshare", "mount", "ip"),
  async fn() {
    const program = new URL("resolver_program.ts", import.meta.url).pathname;
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n");
      const script = `ip link set lo up && mount --bind ${file} /etc/resolv.conf && exec "$@"`;
      const argv = [Deno.execPath(), "run", "-A", program];
      const { stdout } = await run(
        ["unshare", "--net", "--mount", "sh", "-c", script, "sh", ...argv],
        { env: { DENO_NO_UPDATE_CHECK: "1" } },
      );
      assertEquals(stdout, "0 of 100 had ended\n");
    } finally {
      await Deno.remove(file);
    }
  },
});
