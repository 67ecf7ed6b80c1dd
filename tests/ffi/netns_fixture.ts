/** A network namespace for one test of `ffi/`, and what `ip` says about it. */
import { assertThrows } from "@std/assert";
import { closeFd } from "../../ffi/descriptor.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkError } from "../../ffi/netlink_error.ts";
import { openNamespace } from "../../ffi/netns.ts";
import { findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";

export const CAP_NET_ADMIN = 12;
export const CAP_SYS_ADMIN = 21;

/** One object of `ip -j`; its fields are what the test looks at. */
// deno-lint-ignore no-explicit-any
export type IpObject = any;

/** A fresh namespace with a request socket inside it. */
export interface Fixture {
  readonly net: Net;
  readonly name: string;
  readonly fd: number;
  readonly socket: NetlinkSocket;
  /** Runs `ip -j ARGUMENTS` inside and parses what it prints, if anything. */
  show(...argv: string[]): Promise<IpObject[]>;
  /** Runs `ip` commands inside, one per line. */
  ip(...lines: string[]): Promise<void>;
  /** The index of an interface that is there. */
  index(name: string): number;
}

/** Runs `test` in a namespace that is taken away afterwards. */
export async function inFreshNamespace(test: (fixture: Fixture) => Promise<void>): Promise<void> {
  await using net = new Net();
  const name = await net.namespace("rtnl");
  const fd = openNamespace(`/run/netns/${name}`);
  net.defer(() => void closeFd(fd));
  using socket = NetlinkSocket.openIn(fd);
  await test({
    net,
    name,
    fd,
    socket,
    async show(...argv) {
      const { stdout } = await run(["ip", "-n", name, "-j", ...argv]);
      return stdout.trim() === "" ? [] : JSON.parse(stdout);
    },
    async ip(...lines) {
      await net.ip(name, lines);
    },
    index(link) {
      return findLinkByName(socket, link)!.index;
    },
  });
}

/** Runs `action`, which the kernel must refuse, and returns the error. */
export function refusal(action: () => unknown): NetlinkError {
  return assertThrows(action, NetlinkError) as unknown as NetlinkError;
}

const capabilitySymbols = {
  // int capget(cap_user_header_t hdrp, cap_user_data_t datap);
  capget: { parameters: ["buffer", "buffer"], result: "i32" },
  // int capset(cap_user_header_t hdrp, const cap_user_data_t datap);
  capset: { parameters: ["buffer", "buffer"], result: "i32" },
} as const;

/** Runs `action` with this thread's effective set lacking one capability. */
export function withoutCapability<T>(capability: number, action: () => T): T {
  const restore = dropCapability(capability);
  try {
    return action();
  } finally {
    restore();
  }
}

/** Takes a capability out of this thread's effective set; the result puts it back. */
export function dropCapability(capability: number): () => void {
  const library = Deno.dlopen("libc.so.6", capabilitySymbols);
  // struct { __u32 version; int pid; }, then two times { __u32 effective, permitted, inheritable; }
  const header = fixedBytes(8);
  new DataView(header.buffer).setUint32(0, 0x20080522, true);
  const data = fixedBytes(24);
  if (library.symbols.capget(header, data) !== 0) throw new Error("capget failed");
  const set = (effective: boolean) => {
    const bit = 1 << (capability & 7);
    if (effective) data[capability >> 3] |= bit;
    else data[capability >> 3] &= ~bit;
    if (library.symbols.capset(header, data) !== 0) throw new Error("capset failed");
  };
  set(false);
  return () => {
    set(true);
    library.close();
  };
}

/** `10.1.2.3` as 4 bytes. */
export function v4(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

/** Colon-separated groups, with at most one `::`, as 16 bytes. */
export function v6(text: string): Uint8Array {
  const [head, tail] = text.split("::");
  const groups = (part: string | undefined) => part ? part.split(":") : [];
  const front = groups(head);
  const back = groups(tail);
  const all = [...front, ...Array(8 - front.length - back.length).fill("0"), ...back];
  return Uint8Array.from(all.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16)]));
}
