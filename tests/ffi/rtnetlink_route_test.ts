import { assert, assertEquals } from "@std/assert";
import { AddressFamily, formatAddress, formatPrefix } from "../../ffi/rtnetlink.ts";
import { changeLink } from "../../ffi/rtnetlink_link.ts";
import {
  addRoute,
  addRoutes,
  deleteRoute,
  deleteRoutes,
  listRoutes,
  lookUpRoute,
} from "../../ffi/rtnetlink_route.ts";
import { type Route, RouteTable, RouteType } from "../../ffi/rtnetlink_route_message.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import { type Fixture, inFreshNamespace, type IpObject, refusal, v4, v6 } from "./netns_fixture.ts";

const { AF_INET, AF_INET6 } = AddressFamily;
const ESRCH = 3;

/** Two veth ends that are up, `va` with 10.1.0.1/24 and fd01::1/64; the index of `va`. */
async function withVeth(f: Fixture): Promise<number> {
  await f.ip(
    "link add va type veth peer name vb",
    "link set va up",
    "link set vb up",
    "address add 10.1.0.1/24 dev va",
    "address add fd01::1/64 dev va nodad",
  );
  return f.index("va");
}

/** The routes of `ip` with this destination, in any table that is given. */
async function shown(f: Fixture, option: string, table: number, dst: string): Promise<IpObject[]> {
  const routes = await f.show(option, "route", "show", "table", String(table));
  return routes.filter((route) => route.dst === dst);
}

const families = [
  {
    name: "IPv4",
    family: AF_INET,
    option: "-4",
    destination: v4("10.9.0.0"),
    bits: 16,
    text: "10.9.0.0/16",
    gateway: v4("10.1.0.2"),
    gatewayText: "10.1.0.2",
    source: v4("10.1.0.1"),
    inside: v4("10.9.3.4"),
    unknown: v4("192.0.2.1"),
    any: v4("0.0.0.0"),
    metric: 0,
  },
  {
    name: "IPv6",
    family: AF_INET6,
    option: "-6",
    destination: v6("fd09::"),
    bits: 48,
    text: "fd09::/48",
    gateway: v6("fd01::2"),
    gatewayText: "fd01::2",
    source: v6("fd01::1"),
    inside: v6("fd09::5"),
    unknown: v6("2001:db8::1"),
    any: v6("::"),
    metric: 1024,
  },
] as const;

for (const c of families) {
  Deno.test({
    name: `an ${c.name} route with all its properties is what \`ip\` shows and what is listed`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        const spec = {
          destination: c.destination,
          bits: c.bits,
          outInterface,
          gateway: c.gateway,
          table: 51820,
          metric: 77,
          mtu: 1380,
          preferredSource: c.source,
          protocol: 42,
        };
        addRoute(f.socket, spec);
        const [item] = await shown(f, c.option, 51820, c.text);
        assertEquals(
          [item.dev, item.gateway, item.metric, item.metrics[0].mtu, item.prefsrc, item.protocol],
          ["va", c.gatewayText, 77, 1380, formatAddress(c.source), "babel"],
        );
        const [listed] = listRoutes(f.socket, { family: c.family, table: 51820 });
        assertEquals(listed, {
          ...spec,
          family: c.family,
          scope: 0,
          type: RouteType.RTN_UNICAST,
          hops: [],
        });
      }),
  });

  Deno.test({
    name: `an ${c.name} route is EEXIST when added again, and replaced when that is asked for`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        const spec = { destination: c.destination, bits: c.bits, outInterface };
        addRoute(f.socket, spec);
        assertEquals(refusal(() => addRoute(f.socket, spec)).errno, Errno.EEXIST);
        addRoute(f.socket, { ...spec, mtu: 1300 }, { replace: true });
        const items = await shown(f, c.option, 254, c.text);
        assertEquals(items.map((item) => item.metrics[0].mtu), [1300]);
      }),
  });

  Deno.test({
    name: `an ${c.name} route is deleted by destination alone, and ESRCH when it is not there`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        const spec = { destination: c.destination, bits: c.bits };
        addRoute(f.socket, { ...spec, outInterface, gateway: c.gateway, protocol: 42 });
        deleteRoute(f.socket, spec);
        assertEquals(await shown(f, c.option, 254, c.text), []);
        assertEquals(refusal(() => deleteRoute(f.socket, spec)).errno, ESRCH);
      }),
  });

  Deno.test({
    name: `an ${c.name} default route is listed with the all-zero destination`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        addRoute(f.socket, { destination: c.any, bits: 0, outInterface, table: 7 });
        assertEquals((await shown(f, c.option, 7, "default")).length, 1);
        const [listed] = listRoutes(f.socket, { family: c.family, table: 7 });
        assertEquals([listed.destination, listed.bits, listed.metric], [c.any, 0, c.metric]);
      }),
  });

  Deno.test({
    name: `${c.name} routes of a table that does not exist are none`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace((f) => {
        assertEquals(listRoutes(f.socket, { family: c.family, table: 4711 }), []);
        return Promise.resolve();
      }),
  });

  Deno.test({
    name: `${c.name} routes are filtered by table and by interface`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        addRoute(f.socket, { destination: c.destination, bits: c.bits, outInterface, table: 9 });
        addRoute(f.socket, {
          destination: c.any,
          bits: 0,
          outInterface: f.index("lo"),
          table: 9,
        });
        const list = (filter: { table?: number; outInterface?: number }) =>
          listRoutes(f.socket, { family: c.family, ...filter });
        assertEquals(list({ table: 9 }).length, 2);
        assertEquals(list({ table: 9, outInterface }).length, 1);
        assert(list({}).some((route) => route.table === RouteTable.RT_TABLE_LOCAL));
        assert(list({}).length > list({ table: RouteTable.RT_TABLE_MAIN }).length + 2);
      }),
  });

  Deno.test({
    name: `an ${c.name} blackhole route needs no interface, and a look-up finds no way`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        await withVeth(f);
        for (
          const type of [RouteType.RTN_BLACKHOLE, RouteType.RTN_UNREACHABLE, RouteType.RTN_PROHIBIT]
        ) {
          const spec = { destination: c.destination, bits: c.bits, type };
          addRoute(f.socket, spec);
          assertEquals((await shown(f, c.option, 254, c.text)).length, 1);
          assertEquals(lookUpRoute(f.socket, c.inside), null);
          deleteRoute(f.socket, spec);
        }
      }),
  });

  Deno.test({
    name: `an ${c.name} look-up tells interface, gateway, source, table and MTU`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        assertEquals(lookUpRoute(f.socket, c.unknown), null);
        addRoute(f.socket, {
          destination: c.destination,
          bits: c.bits,
          outInterface,
          gateway: c.gateway,
          mtu: 1380,
        });
        const found = lookUpRoute(f.socket, c.inside)!;
        assertEquals(
          [found.outInterface, found.gateway, found.preferredSource, found.table, found.mtu],
          [outInterface, c.gateway, c.source, RouteTable.RT_TABLE_MAIN, 1380],
        );
        const direct = lookUpRoute(f.socket, c.gateway)!;
        assertEquals([direct.outInterface, direct.gateway, direct.mtu], [
          outInterface,
          undefined,
          0,
        ]);
      }),
  });

  Deno.test({
    name: `an ${c.name} look-up with a mark follows the rules for that mark`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        await f.show(c.option, "rule", "add", "fwmark", "0x51", "table", "81");
        addRoute(f.socket, { destination: c.any, bits: 0, outInterface, table: 81 });
        assertEquals(lookUpRoute(f.socket, c.unknown), null);
        assertEquals(lookUpRoute(f.socket, c.unknown, { mark: 0x51 })!.table, 81);
      }),
  });

  Deno.test({
    name: `an ${c.name} route with two hops is listed with both`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        const other = c.family === AF_INET ? "10.1.0.3" : "fd01::3";
        const hops = `nexthop via ${c.gatewayText} dev va nexthop via ${other} dev va`;
        await f.show(c.option, "route", "add", c.text, ...hops.split(" "));
        const route = listRoutes(f.socket, { family: c.family, table: 254, outInterface })
          .find((route) => formatPrefix(route.destination, route.bits) === c.text)!;
        assertEquals(
          route.hops.map((hop) => [hop.outInterface, formatAddress(hop.gateway!)]),
          [[outInterface, c.gatewayText], [outInterface, other]],
        );
        assertEquals([route.outInterface, route.gateway], [0, undefined]);
      }),
  });

  Deno.test({
    name: `10,000 ${c.name} routes go in with one call, are listed alike, and go out with one`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const outInterface = await withVeth(f);
        const routes = Array.from({ length: 10_000 }, (_, i) => {
          const destination = c.destination.slice();
          destination[2] = i >> 8;
          destination[3] = i & 255;
          const bits = c.family === AF_INET ? 32 : 48;
          return { destination, bits, outInterface, table: 100_000 };
        });
        assertEquals(addRoutes(f.socket, routes), []);
        const key = (route: { destination: Uint8Array; bits: number }) =>
          formatPrefix(route.destination, route.bits);
        const listed: Route[] = listRoutes(f.socket, { family: c.family, table: 100_000 });
        assertEquals(listed.map(key).sort(), routes.map(key).sort());
        assertEquals((await f.show(c.option, "route", "show", "table", "100000")).length, 10_000);
        const again = addRoutes(f.socket, routes);
        assertEquals(again.length, 10_000);
        assert(again.every((failure, i) => failure.index === i && failure.errno === Errno.EEXIST));
        assertEquals(addRoutes(f.socket, routes, { replace: true }), []);
        assertEquals(deleteRoutes(f.socket, routes), []);
        assertEquals(listRoutes(f.socket, { family: c.family, table: 100_000 }), []);
      }),
  });
}

Deno.test({
  name: "an IPv4 route through an IPv6 gateway is added and listed with that gateway",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const outInterface = await withVeth(f);
      const spec = { destination: v4("10.9.0.0"), bits: 16, outInterface, gateway: v6("fd01::2") };
      addRoute(f.socket, spec);
      const [item] = await shown(f, "-4", 254, "10.9.0.0/16");
      assertEquals(item.via, { family: "inet6", host: "fd01::2" });
      const route = lookUpRoute(f.socket, v4("10.9.1.1"))!;
      assertEquals(route.gateway, spec.gateway);
    }),
});

Deno.test({
  name: "a look-up tells the source's route when a source is given",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const outInterface = await withVeth(f);
      await f.ip("address add 10.1.0.9/24 dev va", "rule add from 10.1.0.9 table 90");
      addRoute(f.socket, { destination: v4("0.0.0.0"), bits: 0, outInterface, table: 90 });
      const to = v4("192.0.2.1");
      assertEquals(lookUpRoute(f.socket, to, { source: v4("10.1.0.1") }), null);
      assertEquals(lookUpRoute(f.socket, to, { source: v4("10.1.0.9") })!.table, 90);
    }),
});

Deno.test({
  name: "a route over an interface that does not exist is ENODEV, over one that is down ENETDOWN",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const outInterface = await withVeth(f);
      const spec = { destination: v4("10.9.0.0"), bits: 16 };
      const errno = (index: number) =>
        refusal(() => addRoute(f.socket, { ...spec, outInterface: index })).errno;
      assertEquals(errno(4000), Errno.ENODEV);
      changeLink(f.socket, outInterface, { up: false });
      assertEquals(errno(outInterface), Errno.ENETDOWN);
    }),
});

Deno.test({
  name: "a route through a gateway that cannot be reached is ENETUNREACH with the kernel's words",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await withVeth(f);
      const spec = { destination: v4("10.9.0.0"), bits: 16, gateway: v4("192.0.2.1") };
      const error = refusal(() => addRoute(f.socket, spec));
      assertEquals(error.errno, Errno.ENETUNREACH);
      assertEquals(error.kernelMessage, "Nexthop has invalid gateway");
    }),
});
