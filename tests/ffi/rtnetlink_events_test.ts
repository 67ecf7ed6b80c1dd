import { assert, assertEquals } from "@std/assert";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { formatAddress, formatPrefix } from "../../ffi/rtnetlink.ts";
import { addAddress, deleteAddress } from "../../ffi/rtnetlink_address.ts";
import {
  type AddressEvent,
  EventGroup,
  type LinkEvent,
  NetlinkEvents,
  type RouteEvent,
} from "../../ffi/rtnetlink_events.ts";
import { changeLink, deleteLink, findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { addRoute, addRoutes, deleteRoute } from "../../ffi/rtnetlink_route.ts";
import { openTun, tunNamespace } from "../../ffi/tun.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, v4, v6 } from "./netns_fixture.ts";

const LINKS = [EventGroup.RTNLGRP_LINK];
const ADDRESSES = [EventGroup.RTNLGRP_IPV4_IFADDR, EventGroup.RTNLGRP_IPV6_IFADDR];
const ROUTES = [EventGroup.RTNLGRP_IPV4_ROUTE, EventGroup.RTNLGRP_IPV6_ROUTE];

Deno.test({
  name: "without a change there is no event, and reading does not wait",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      using events = NetlinkEvents.open({ namespaceFd: f.fd });
      assertEquals(events.read(), []);
      assertEquals(pollFd(events.fd, POLLIN, 0), 0);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a link that changes and ends is told, and the descriptor is readable until it is read",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb");
      const va = f.index("va");
      using events = NetlinkEvents.open({ namespaceFd: f.fd, groups: LINKS });
      const last = () =>
        (events.read() as LinkEvent[]).filter((event) => event.index === va).at(-1)!;

      changeLink(f.socket, va, { mtu: 1400 });
      assertEquals(pollFd(events.fd, POLLIN, 0), POLLIN);
      const mtu = last();
      assertEquals([mtu.kind, mtu.name, mtu.mtu, mtu.up], ["link", "va", 1400, false]);
      assertEquals(pollFd(events.fd, POLLIN, 0), 0);

      changeLink(f.socket, va, { name: "vc", up: true });
      const renamed = last();
      assertEquals([renamed.name, renamed.up, renamed.removed], ["vc", true, false]);

      deleteLink(f.socket, va);
      const gone = last();
      assertEquals([gone.removed, gone.moved], [true, false]);
    }),
});

Deno.test({
  name: "addresses that come and go are told, of both families",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const index = f.index("lo");
      using events = NetlinkEvents.open({ namespaceFd: f.fd, groups: ADDRESSES });
      for (const address of [v4("10.1.0.1"), v6("fd00::1")]) {
        const spec = { index, address, bits: 24 };
        addAddress(f.socket, spec);
        deleteAddress(f.socket, spec);
        const told = (events.read() as AddressEvent[]).map((event) => [
          event.kind,
          event.removed,
          event.address.index,
          formatAddress(event.address.address),
          event.address.bits,
        ]);
        const text = formatAddress(address);
        // IPv6 tells of a new address once more when duplicate detection is over.
        assertEquals(told[0], ["address", false, index, text, 24]);
        assertEquals(told.at(-1), ["address", true, index, text, 24]);
      }
      return Promise.resolve();
    }),
});

Deno.test({
  name: "routes that come and go are told, of both families",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const outInterface = f.index("lo");
      using events = NetlinkEvents.open({ namespaceFd: f.fd, groups: ROUTES });
      for (const [destination, bits] of [[v4("10.9.0.0"), 16], [v6("fd09::"), 32]] as const) {
        const spec = { destination, bits, outInterface, table: 99 };
        addRoute(f.socket, spec);
        deleteRoute(f.socket, spec);
        const told = (events.read() as RouteEvent[]).map((event) => [
          event.removed,
          formatPrefix(event.route.destination, event.route.bits),
          event.route.table,
          event.route.outInterface,
        ]);
        const text = formatPrefix(destination, bits);
        assertEquals(told, [[false, text, 99, outInterface], [true, text, 99, outInterface]]);
      }
      return Promise.resolve();
    }),
});

Deno.test({
  name: "lost events are one overrun, nothing older is read after it, and later ones are told",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const outInterface = f.index("lo");
      using events = NetlinkEvents.open({
        namespaceFd: f.fd,
        groups: ROUTES,
        receiveBufferBytes: 16384,
      });
      const routes = Array.from({ length: 1000 }, (_, i) => ({
        destination: Uint8Array.of(10, i >> 8, i, 0),
        bits: 24,
        outInterface,
      }));
      assertEquals(addRoutes(f.socket, routes), []);
      assertEquals(events.read(), [{ kind: "overrun" }]);
      assertEquals(events.read(), []);
      deleteRoute(f.socket, routes[5]);
      const later = events.read() as RouteEvent[];
      assertEquals(later.map((event) => [event.removed, event.route.destination]), [
        [true, routes[5].destination],
      ]);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "many events are read in parts, none lost",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const outInterface = f.index("lo");
      using events = NetlinkEvents.open({
        namespaceFd: f.fd,
        groups: ROUTES,
        receiveBufferBytes: 4 << 20,
      });
      const routes = Array.from({ length: 1000 }, (_, i) => ({
        destination: Uint8Array.of(10, i >> 8, i, 0),
        bits: 24,
        outInterface,
      }));
      assertEquals(addRoutes(f.socket, routes), []);
      let told = 0;
      let reads = 0;
      for (let part = events.read(); part.length > 0; part = events.read()) {
        for (const event of part) {
          assertEquals((event as RouteEvent).route.destination, routes[told++].destination);
        }
        reads++;
      }
      assertEquals(told, 1000);
      assert(reads > 1);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a veth that is moved ends in the one namespace as moved, and begins in the other",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const otherFd = openNamespace(`/run/netns/${await f.net.namespace("other")}`);
      try {
        await f.ip("link add va type veth peer name vb");
        const va = f.index("va");
        using here = NetlinkEvents.open({ namespaceFd: f.fd, groups: LINKS });
        using there = NetlinkEvents.open({ namespaceFd: otherFd, groups: LINKS });
        changeLink(f.socket, va, { namespaceFd: otherFd });
        const left = (here.read() as LinkEvent[]).filter((event) => event.index === va).at(-1)!;
        assertEquals([left.name, left.removed, left.moved], ["va", true, true]);
        using socket = NetlinkSocket.openIn(otherFd);
        const moved = findLinkByName(socket, "va")!;
        const came = (there.read() as LinkEvent[]).filter((event) => event.name === "va").at(-1)!;
        assertEquals([came.index, came.removed, came.moved], [moved.index, false, false]);
        changeLink(socket, moved.index, { mtu: 1333 });
        assertEquals(here.read().filter((event) => (event as LinkEvent).name === "va"), []);
        assertEquals((there.read() as LinkEvent[]).at(-1)!.mtu, 1333);
      } finally {
        closeFd(otherFd);
      }
    }),
});

Deno.test({
  name: "a TUN that is moved away is followed by its descriptor: MTU and events of the new place",
  ...requires("root", "ip", "tun"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const otherFd = openNamespace(`/run/netns/${await f.net.namespace("other")}`);
      const tun = withNamespace(f.fd, () => openTun({ name: "tun7" }));
      try {
        changeLink(f.socket, f.index("tun7"), { namespaceFd: otherFd });
        const placeFd = tunNamespace(tun.fd);
        assert(placeFd >= 0);
        using socket = NetlinkSocket.openIn(placeFd);
        using events = NetlinkEvents.open({ namespaceFd: placeFd, groups: LINKS });
        closeFd(placeFd);
        const link = findLinkByName(socket, "tun7")!;
        assertEquals(link.mtu, 1500);
        changeLink(socket, link.index, { mtu: 1280, up: true });
        const event = (events.read() as LinkEvent[]).at(-1)!;
        assertEquals([event.name, event.mtu, event.up], ["tun7", 1280, true]);
      } finally {
        closeFd(tun.fd);
        closeFd(otherFd);
      }
    }),
});
