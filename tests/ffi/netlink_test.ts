import { assert, assertEquals } from "@std/assert";
import { fixedBytes } from "../../ffi/memory.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkControl } from "../../ffi/netlink_message.ts";
import { RouteMessage } from "../../ffi/rtnetlink.ts";
import { addAddress, listAddresses } from "../../ffi/rtnetlink_address.ts";
import { changeLink, findLinkByIndex, listLinks } from "../../ffi/rtnetlink_link.ts";
import { addRoute, addRoutes, listRoutes } from "../../ffi/rtnetlink_route.ts";
import { Errno, errnoName } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import {
  CAP_NET_ADMIN,
  inFreshNamespace,
  refusal,
  v4,
  withoutCapability,
} from "./netns_fixture.ts";

/** So many that a dump of them takes several receives, one of which is always ahead of us. */
const ADDRESSES = 1500;

Deno.test("links can be listed without any privilege", () => {
  using socket = NetlinkSocket.open();
  const loopback = listLinks(socket).find((link) => link.name === "lo")!;
  assertEquals(findLinkByIndex(socket, loopback.index), loopback);
});

Deno.test("closing a socket twice closes no other descriptor", () => {
  const first = NetlinkSocket.open();
  first.close();
  using second = NetlinkSocket.open();
  assertEquals(second.fd, first.fd);
  first.close();
  assert(listLinks(second).length > 0);
});

Deno.test("a request that is never answered ends with ETIMEDOUT, signals or not", () => {
  // int timer_create(clockid_t, struct sigevent *, timer_t *); int timer_delete(timer_t);
  // int timer_settime(timer_t, int flags, const struct itimerspec *new, struct itimerspec *old);
  const library = Deno.dlopen("libc.so.6", {
    timer_create: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
    timer_settime: { parameters: ["u64", "i32", "buffer", "u64"], result: "i32" },
    timer_delete: { parameters: ["u64"], result: "i32" },
  });
  const { timer_create, timer_settime, timer_delete } = library.symbols;
  const CLOCK_MONOTONIC = 1, SIGWINCH = 28;
  const event = fixedBytes(64), timer = fixedBytes(8), every2Ms = fixedBytes(32);
  new DataView(event.buffer).setInt32(8, SIGWINCH, true);
  for (const nanoseconds of [8, 24]) {
    new DataView(every2Ms.buffer).setUint32(nanoseconds, 2e6, true);
  }
  const onSignal = () => {};
  // One that harms nobody where no listener is, or no more.
  Deno.addSignalListener("SIGWINCH", onSignal);
  assertEquals(timer_create(CLOCK_MONOTONIC, event, timer), 0);
  const id = new DataView(timer.buffer).getBigUint64(0, true);
  using socket = NetlinkSocket.open({ timeoutMs: 30 });
  // The kernel skips a no-op without a word.
  const ask = () => socket.query("no-op", NetlinkControl.NLMSG_NOOP, () => {}, () => {});
  try {
    assertEquals(refusal(ask).errno, Errno.ETIMEDOUT);
    assertEquals(timer_settime(id, 0, every2Ms, 0n), 0);
    assertEquals(refusal(ask).errno, Errno.ETIMEDOUT);
  } finally {
    timer_delete(id);
    Deno.removeSignalListener("SIGWINCH", onSignal);
    library.close();
  }
  assert(listLinks(socket).length > 0);
});

Deno.test({
  name: "a refusal says what was asked, the error's name and the kernel's words",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const lo = f.index("lo");
      const route = { destination: v4("10.1.0.1"), bits: 16, outInterface: lo };
      const error = refusal(() => addRoute(f.socket, route));
      assertEquals(errnoName(error.errno), "EINVAL");
      assertEquals(error.kernelMessage, "Invalid prefix for given prefix length");
      assertEquals(
        error.message,
        `RTM_NEWROUTE 10.1.0.1/16 on interface ${lo}: EINVAL (invalid argument). ` +
          "The kernel says: Invalid prefix for given prefix length",
      );
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a refusal for lack of privilege is EPERM and tells what to do",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const lo = f.index("lo");
      const error = withoutCapability(
        CAP_NET_ADMIN,
        () => refusal(() => changeLink(f.socket, lo, { mtu: 1400 })),
      );
      assertEquals(error.errno, Errno.EPERM);
      assert(error.fix?.includes("CAP_NET_ADMIN"));
      assert(error.message.includes("EPERM"));
      changeLink(f.socket, lo, { mtu: 1400 });
      return Promise.resolve();
    }),
});

Deno.test({
  name: "an unknown attribute is refused and a request after it is answered",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const error = refusal(() =>
        f.socket.dump("RTM_GETLINK", RouteMessage.RTM_GETLINK, (writer) => {
          writer.reserve(16);
          writer.attributeU32(500, 1);
        }, () => undefined)
      );
      assertEquals(error.errno, Errno.EINVAL);
      assert(error.kernelMessage.length > 0);
      assertEquals(listLinks(f.socket).length, 1);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a batch does all but the refused requests and names those by index",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const lo = f.index("lo");
      const routes = Array.from({ length: 1000 }, (_, i) => ({
        destination: Uint8Array.of(10, i >> 8, i & 255, i % 100 === 7 ? 1 : 0),
        bits: 24,
        outInterface: lo,
      }));
      const failures = addRoutes(f.socket, routes);
      assertEquals(failures.map((failure) => failure.index), [
        7,
        107,
        207,
        307,
        407,
        507,
        607,
        707,
        807,
        907,
      ]);
      assert(failures.every((failure) => failure.errno === Errno.EINVAL));
      assert(failures.every((failure) => failure.kernelMessage.startsWith("Invalid prefix")));
      assertEquals(listRoutes(f.socket, { family: 2, table: 254 }).length, 990);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a batch in which every request is refused loses no answer",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const routes = Array.from({ length: 5000 }, (_, i) => ({
        destination: Uint8Array.of(10, i >> 8, i & 255, 1),
        bits: 24,
        outInterface: 1,
      }));
      const failures = addRoutes(f.socket, routes);
      assertEquals(failures.length, 5000);
      assert(failures.every((failure, i) => failure.index === i));
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a batch of nothing does nothing",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      assertEquals(addRoutes(f.socket, []), []);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a dump during which the list changes is repeated",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const lo = f.index("lo");
      for (let i = 0; i < ADDRESSES; i++) {
        addAddress(f.socket, { index: lo, address: Uint8Array.of(10, 0, i >> 8, i), bits: 32 });
      }
      using other = NetlinkSocket.openIn(f.fd);
      let seen = 0;
      const items = f.socket.dump("RTM_GETADDR", RouteMessage.RTM_GETADDR, (writer) => {
        writer.setU8(writer.reserve(8), 2);
      }, () => {
        if (seen++ === 0) {
          addAddress(other, { index: lo, address: v4("10.9.9.9"), bits: 32 });
        }
        return 1;
      });
      assert(seen > items.length, "the first dump was given up");
      // 127.0.0.1, those, and the one that was added in between.
      assertEquals(items.length, ADDRESSES + 2);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a dump during which the list always changes ends with EBUSY, and the next one works",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const lo = f.index("lo");
      for (let i = 0; i < ADDRESSES; i++) {
        addAddress(f.socket, { index: lo, address: Uint8Array.of(10, 0, i >> 8, i), bits: 32 });
      }
      using other = NetlinkSocket.openIn(f.fd);
      let changes = 0;
      let last = 0;
      const error = refusal(() =>
        f.socket.dump("RTM_GETADDR", RouteMessage.RTM_GETADDR, (writer) => {
          writer.setU8(writer.reserve(8), 2);
        }, (reader) => {
          if (reader.sequence !== last) {
            last = reader.sequence;
            const address = Uint8Array.of(10, 9, 9, ++changes);
            addAddress(other, { index: lo, address, bits: 32 });
          }
          return undefined;
        })
      );
      assertEquals([error.errno, changes], [Errno.EBUSY, 10]);
      assertEquals(listAddresses(f.socket, { index: lo, family: 2 }).length, ADDRESSES + 11);
      return Promise.resolve();
    }),
});
