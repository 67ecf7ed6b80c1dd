import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeFd } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import {
  namespaceIdentity,
  openNamespace,
  openOwnNamespace,
  ownNamespaceName,
  withNamespace,
} from "../../ffi/netns.ts";
import { listLinks } from "../../ffi/rtnetlink_link.ts";
import { openTun, tunNamespace } from "../../ffi/tun.ts";
import { Errno } from "../../src/base/errno.ts";
import { InvariantError } from "../../src/base/invariant.ts";
import { run } from "../netns/command.ts";
import { requires } from "../requires.ts";
import { CAP_SYS_ADMIN, inFreshNamespace, withoutCapability } from "./netns_fixture.ts";

function ownIdentity(): number {
  const fd = openOwnNamespace();
  try {
    return namespaceIdentity(fd);
  } finally {
    closeFd(fd);
  }
}

Deno.test("the identity of a namespace is the number in its link", () => {
  const link = Deno.readLinkSync("/proc/thread-self/ns/net");
  assertEquals(`net:[${ownIdentity()}]`, link);
});

Deno.test("a namespace that does not exist is ENOENT and the path is named", () => {
  const error = assertThrows(() => openNamespace("/run/netns/lh-nothere"), SystemCallError);
  assertEquals((error as unknown as SystemCallError).errno, Errno.ENOENT);
  assert((error as unknown as Error).message.includes("/run/netns/lh-nothere"));
});

Deno.test({
  name: "an action runs in the other namespace, its result comes back, and so does the thread",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const home = ownIdentity();
      const inside = withNamespace(f.fd, ownIdentity);
      assertEquals(inside, namespaceIdentity(f.fd));
      assert(inside !== home);
      const name = withNamespace(f.fd, ownNamespaceName);
      assertEquals(withNamespace(f.fd, ownNamespaceName), name);
      assert(name !== ownNamespaceName());
      assertEquals(ownIdentity(), home);
      const { stdout } = await run(["readlink", "/proc/self/ns/net"], { namespace: f.name });
      assertEquals(stdout.trim(), `net:[${inside}]`);
    }),
});

Deno.test({
  name: "an action that throws comes back as well",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const home = ownIdentity();
      assertThrows(
        () =>
          withNamespace(f.fd, () => {
            throw new RangeError("inside");
          }),
        RangeError,
        "inside",
      );
      assertEquals(ownIdentity(), home);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "calls may be nested, and no descriptor is left open",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const other = openNamespace(`/run/netns/${await f.net.namespace("other")}`);
      const home = ownIdentity();
      const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
      const before = descriptors();
      const seen: number[] = [];
      withNamespace(f.fd, () => {
        seen.push(ownIdentity());
        withNamespace(other, () => seen.push(ownIdentity()));
        seen.push(ownIdentity());
      });
      const first = namespaceIdentity(f.fd);
      assertEquals(seen, [first, namespaceIdentity(other), first]);
      assertEquals(ownIdentity(), home);
      assertEquals(descriptors(), before);
      closeFd(other);
    }),
});

Deno.test({
  name: "an asynchronous action is a bug, and the thread has come back when it is told",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const home = ownIdentity();
      assertThrows(() => withNamespace(f.fd, () => Promise.resolve()), InvariantError);
      assertEquals(ownIdentity(), home);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a namespace that may not be entered is EPERM, one that is none EINVAL",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace((f) => {
      const home = ownIdentity();
      const errnoOf = (action: () => void) =>
        (assertThrows(action, SystemCallError) as unknown as SystemCallError).errno;
      const enter = () => withNamespace(f.fd, () => {});
      assertEquals(withoutCapability(CAP_SYS_ADMIN, () => errnoOf(enter)), Errno.EPERM);
      using socket = NetlinkSocket.open();
      assertEquals(errnoOf(() => withNamespace(socket.fd, () => {})), Errno.EINVAL);
      assertEquals(ownIdentity(), home);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "a process whose thread cannot come back ends at once with code 70",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const program = new URL("./netns_lost_program.ts", import.meta.url).pathname;
      const argv = [Deno.execPath(), "run", "-A", "--no-prompt", program, `/run/netns/${f.name}`];
      const result = await run(argv, { mayFail: true });
      assertEquals([result.code, result.stdout], [70, ""]);
      assert(result.stderr.includes("own network namespace: EPERM"));
    }),
});

Deno.test({
  name: "a netlink socket stays in the namespace where it was opened",
  ...requires("root", "ip"),
  fn: () =>
    inFreshNamespace(async (f) => {
      await f.ip("link add va type veth peer name vb");
      const names = () => listLinks(f.socket).map((link) => link.name).sort();
      assertEquals(names(), ["lo", "va", "vb"]);
      using own = NetlinkSocket.open();
      const outside = listLinks(own).map((link) => link.name);
      assertEquals(withNamespace(f.fd, () => listLinks(own).map((link) => link.name)), outside);
    }),
});

Deno.test({
  name: "the namespace of a TUN is that of its interface, also after a move",
  ...requires("root", "ip", "tun"),
  fn: () =>
    inFreshNamespace(async (f) => {
      const other = await f.net.namespace("other");
      const otherFd = openNamespace(`/run/netns/${other}`);
      const tun = withNamespace(f.fd, () => openTun({ name: "tun7" }));
      const place = () => {
        const fd = tunNamespace(tun.fd);
        try {
          return namespaceIdentity(fd);
        } finally {
          closeFd(fd);
        }
      };
      try {
        assertEquals(place(), namespaceIdentity(f.fd));
        await f.ip(`link set tun7 netns ${other}`);
        assertEquals(place(), namespaceIdentity(otherFd));
      } finally {
        closeFd(tun.fd);
        closeFd(otherFd);
      }
    }),
});
