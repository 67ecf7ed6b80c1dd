import { assert, assertEquals } from "@std/assert";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import {
  changeLink,
  deleteLink,
  findLinkByIndex,
  findLinkByName,
  listLinks,
} from "../../ffi/rtnetlink_link.ts";
import { openTun } from "../../ffi/tun.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, type IpObject, refusal } from "./netns_fixture.ts";

Deno.test({
  name: "links are what `ip link` says",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb", "link set va up", "link set vb mtu 1280");
      const shown = await f.show("-d", "link", "show");
      const links = listLinks(f.socket);
      assertEquals(links.length, 3);
      for (const item of shown) {
        const link = links.find((link) => link.index === item.ifindex)!;
        assertEquals(link.name, item.ifname);
        assertEquals(link.mtu, item.mtu);
        assertEquals(link.infoKind, item.linkinfo?.info_kind ?? "");
        assertEquals(link.up, item.flags.includes("UP"));
        assertEquals(link.mtuMin, item.min_mtu);
        assertEquals(link.mtuMax, item.max_mtu);
        assertEquals(link.gsoMaxSize, item.gso_max_size);
        assertEquals(link.gsoMaxSegs, item.gso_max_segs);
      }
    }),
});

Deno.test({
  name: "a link is running only while both ends of a veth pair are up",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb");
      const va = f.index("va");
      const state = () => {
        const link = findLinkByIndex(f.socket, va)!;
        return [link.up, link.running];
      };
      changeLink(f.socket, va, { up: true });
      assertEquals(state(), [true, false]);
      changeLink(f.socket, f.index("vb"), { up: true });
      assertEquals(state(), [true, true]);
      changeLink(f.socket, va, { up: false });
      assertEquals(state(), [false, false]);
    }),
});

Deno.test({
  name: "a link changes its MTU, name and segment limits, and nothing that is left out",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb", "link set va up");
      const va = f.index("va");
      changeLink(f.socket, va, { mtu: 1420 });
      changeLink(f.socket, va, { gsoMaxSegs: 45, gsoMaxSize: 60000 });
      changeLink(f.socket, va, { up: false });
      changeLink(f.socket, va, { name: "lh15characters0", up: true });
      const [item] = await f.show("-d", "link", "show", "dev", "lh15characters0") as IpObject[];
      assertEquals([item.ifindex, item.mtu, item.gso_max_segs, item.gso_max_size], [
        va,
        1420,
        45,
        60000,
      ]);
      assert(item.flags.includes("UP"));
      assertEquals(findLinkByName(f.socket, "va"), null);
    }),
});

Deno.test({
  name: "a link that does not exist is null when found, ENODEV when changed",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      assertEquals(findLinkByName(f.socket, "nothere"), null);
      assertEquals(findLinkByIndex(f.socket, 4000), null);
      for (const act of [changeLink, deleteLink]) {
        const error = refusal(() => act(f.socket, 4000, { up: true }));
        assertEquals(error.errno, Errno.ENODEV);
      }
      return Promise.resolve();
    }),
});

Deno.test({
  name: "an MTU out of range is EINVAL with the kernel's words, a name that is taken EEXIST",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb");
      const va = f.index("va");
      const tooLarge = refusal(() => changeLink(f.socket, va, { mtu: 70000 }));
      assertEquals(tooLarge.errno, Errno.EINVAL);
      assertEquals(tooLarge.kernelMessage, "mtu greater than device maximum");
      assertEquals(refusal(() => changeLink(f.socket, va, { name: "vb" })).errno, Errno.EEXIST);
    }),
});

Deno.test({
  name: "a deleted link is gone, and its veth peer too",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb");
      deleteLink(f.socket, f.index("va"));
      assertEquals(listLinks(f.socket).map((link) => link.name), ["lo"]);
    }),
});

Deno.test({
  name: "a TUN is of kind tun, and is configured in the namespace it was moved to",
  ...requires("root", "ip", "tun"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const otherFd = openNamespace(`/run/netns/${await f.net.namespace("other")}`);
      const tun = withNamespace(f.fd, () => openTun({ name: "tun7" }));
      try {
        const index = f.index("tun7");
        assertEquals(findLinkByIndex(f.socket, index)!.infoKind, "tun");
        changeLink(f.socket, index, { namespaceFd: otherFd });
        assertEquals(findLinkByName(f.socket, "tun7"), null);
        using there = NetlinkSocket.openIn(otherFd);
        const moved = findLinkByName(there, "tun7")!;
        changeLink(there, moved.index, { mtu: 1300, up: true });
        const after = findLinkByIndex(there, moved.index)!;
        assertEquals([after.mtu, after.up], [1300, true]);
      } finally {
        closeFd(tun.fd);
        closeFd(otherFd);
      }
    }),
});
