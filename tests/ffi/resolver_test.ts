import { assert, assertEquals, assertRejects } from "@std/assert";
import { ResolveError, resolveHost } from "../../ffi/resolver.ts";
import { formatAddress } from "../../ffi/rtnetlink.ts";

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
