import { assert, assertEquals } from "@std/assert";
import { AddressFamily, formatAddress } from "../../ffi/rtnetlink.ts";
import {
  addAddress,
  AddressFlag,
  deleteAddress,
  listAddresses,
} from "../../ffi/rtnetlink_address.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, type IpObject, refusal, v4, v6 } from "./netns_fixture.ts";

for (
  const { family, address, bits, text } of [
    { family: AddressFamily.AF_INET, address: v4("10.7.0.1"), bits: 24, text: "10.7.0.1" },
    { family: AddressFamily.AF_INET6, address: v6("fd00:7::1"), bits: 64, text: "fd00:7::1" },
  ]
) {
  const name = family === AddressFamily.AF_INET ? "IPv4" : "IPv6";

  Deno.test({
    name: `an ${name} address that is added is there, with EEXIST when added again`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        await f.ip("link add va type veth peer name vb");
        const index = f.index("va");
        const spec = { index, address, bits };
        addAddress(f.socket, spec);
        const [shown] = await f.show("address", "show", "dev", "va") as IpObject[];
        const [info] = shown.addr_info;
        assertEquals([info.local, info.prefixlen, info.scope], [text, bits, "global"]);
        assertEquals(refusal(() => addAddress(f.socket, spec)).errno, Errno.EEXIST);
        addAddress(f.socket, spec, { replace: true });
        const listed = listAddresses(f.socket, { index, family });
        assertEquals(listed.length, 1);
        const [item] = listed;
        assertEquals(
          [item.index, item.family, formatAddress(item.address), item.bits, item.scope, item.peer],
          [index, family, text, bits, 0, undefined],
        );
        assert((item.flags & AddressFlag.IFA_F_PERMANENT) !== 0);
      }),
  });

  Deno.test({
    name: `an ${name} address that is deleted is gone, with EADDRNOTAVAIL when deleted again`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace((f) => {
        const spec = { index: f.index("lo"), address, bits };
        addAddress(f.socket, spec);
        deleteAddress(f.socket, spec);
        const left = listAddresses(f.socket, { family }).map((item) => formatAddress(item.address));
        assert(!left.includes(text));
        assertEquals(refusal(() => deleteAddress(f.socket, spec)).errno, Errno.EADDRNOTAVAIL);
        return Promise.resolve();
      }),
  });

  Deno.test({
    name: `an ${name} address on an interface that does not exist is ENODEV`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace((f) => {
        const spec = { index: 4000, address, bits };
        assertEquals(refusal(() => addAddress(f.socket, spec)).errno, Errno.ENODEV);
        return Promise.resolve();
      }),
  });

  Deno.test({
    name: `an ${name} address without prefix route leaves the routing table alone`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        await f.ip("link add va type veth peer name vb", "link set va up", "link set vb up");
        addAddress(f.socket, { index: f.index("va"), address, bits, noPrefixRoute: true });
        const option = family === AddressFamily.AF_INET ? "-4" : "-6";
        const routes = await f.show(option, "route", "show") as IpObject[];
        assertEquals(routes.filter((route) => !String(route.dst).startsWith("fe80")), []);
      }),
  });
}

Deno.test({
  name: "an IPv6 address without duplicate detection is usable at once",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb", "link set va up", "link set vb up");
      await f.net.sysctl(f.name, "ipv6/conf/va/accept_dad", 1);
      const index = f.index("va");
      addAddress(f.socket, { index, address: v6("fd00::1"), bits: 64 });
      addAddress(f.socket, { index, address: v6("fd00::2"), bits: 64, noDad: true });
      const flags = new Map(
        listAddresses(f.socket, { index, family: AddressFamily.AF_INET6 })
          .map((item) => [formatAddress(item.address), item.flags]),
      );
      assert((flags.get("fd00::1")! & AddressFlag.IFA_F_TENTATIVE) !== 0);
      assert((flags.get("fd00::2")! & AddressFlag.IFA_F_TENTATIVE) === 0);
      assert((flags.get("fd00::2")! & AddressFlag.IFA_F_NODAD) !== 0);
    }),
});

Deno.test({
  name: "a point-to-point address is listed with our own address and its peer",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip(
        "link add va type veth peer name vb",
        "address add 10.1.0.1 peer 10.1.0.2/32 dev va",
      );
      const [item] = listAddresses(f.socket, {
        index: f.index("va"),
        family: AddressFamily.AF_INET,
      });
      assertEquals([formatAddress(item.address), formatAddress(item.peer!)], [
        "10.1.0.1",
        "10.1.0.2",
      ]);
    }),
});

Deno.test({
  name: "addresses are filtered by interface and by family",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip(
        "link add va type veth peer name vb",
        "address add 10.1.0.1/24 dev va",
        "address add 10.2.0.1/24 dev vb",
        "address add fd00::1/64 dev vb",
      );
      const list = (filter: Parameters<typeof listAddresses>[1]) =>
        listAddresses(f.socket, filter).map((item) => formatAddress(item.address)).sort();
      assertEquals(list({ index: f.index("va") }), ["10.1.0.1"]);
      assertEquals(list({ index: f.index("vb") }), ["10.2.0.1", "fd00::1"]);
      assertEquals(list({ family: AddressFamily.AF_INET6 }), ["::1", "fd00::1"]);
      assertEquals(list({}), ["10.1.0.1", "10.2.0.1", "127.0.0.1", "::1", "fd00::1"]);
    }),
});
