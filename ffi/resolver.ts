/**
 * Addresses of host names, by the C library's resolver: /etc/hosts, DNS and whatever else
 * nsswitch.conf names, as every other program of the machine finds them.
 */
import { AddressFamily } from "./rtnetlink.ts";
import { Addrinfo, SockaddrIn, SockaddrIn6 } from "./layout.ts";
import { libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";
import { SOCK_DGRAM } from "./socket.ts";

const IPPROTO_UDP = 17;
const EAI_AGAIN = -3;
/** Look-ups under way in this process: of the pool's 32 threads main needs one for its descriptors. */
const LOOKUPS_MAX = 16;

let running = 0;
const waiting: (() => void)[] = [];

/** A host that has no address now; `message` is the resolver's own words. */
export class ResolveError extends Error {
  override name = "ResolveError";

  /** `isTemporary`: the resolver itself thinks that asking again may help (EAI_AGAIN). */
  constructor(readonly host: string, message: string, readonly isTemporary = false) {
    super(message);
  }
}

/** An address of a host: 4 or 16 bytes; `scopeId` is the interface of a link-local one, else 0. */
export interface HostAddress {
  readonly address: Uint8Array;
  readonly scopeId: number;
}

/**
 * The address of `host` that the system prefers (RFC 6724): a name, or an address with or without
 * zone. A thread of the FFI pool waits for it, for as long as resolv.conf's time-outs allow; beyond
 * LOOKUPS_MAX a look-up waits for its turn. Rejects with `ResolveError`.
 */
export async function resolveHost(host: string): Promise<HostAddress> {
  while (running >= LOOKUPS_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    return await lookUp(host);
  } finally {
    running--;
    waiting.shift()?.();
  }
}

async function lookUp(host: string): Promise<HostAddress> {
  const hints = fixedBytes(Addrinfo.bytes);
  const view = new DataView(hints.buffer);
  view.setInt32(Addrinfo.family, AddressFamily.AF_UNSPEC, true);
  view.setInt32(Addrinfo.socktype, SOCK_DGRAM, true);
  view.setInt32(Addrinfo.protocol, IPPROTO_UDP, true);
  const result = fixedBytes(8);
  const code = await libc().getaddrinfo(cString(host), null, hints, result);
  if (code !== 0) throw new ResolveError(host, describe(code), code === EAI_AGAIN);
  const place = new DataView(result.buffer).getBigUint64(0, true);
  const first = Deno.UnsafePointer.create(place);
  try {
    return readFirst(first) ?? fail(host);
  } finally {
    libc().freeaddrinfo(first);
  }
}

/** The first entry of the list that is an IP address. */
function readFirst(list: Deno.PointerValue): HostAddress | undefined {
  for (let entry = list; entry !== null;) {
    const view = new Deno.UnsafePointerView(entry);
    const family = view.getInt32(Addrinfo.family);
    const socketAddress = view.getPointer(Addrinfo.addr);
    if (socketAddress !== null) {
      const place = new Deno.UnsafePointerView(socketAddress);
      if (family === AddressFamily.AF_INET) {
        return { address: copyBytes(place, 4, SockaddrIn.addr), scopeId: 0 };
      }
      if (family === AddressFamily.AF_INET6) {
        const address = copyBytes(place, 16, SockaddrIn6.addr);
        return { address, scopeId: place.getUint32(SockaddrIn6.scopeId) };
      }
    }
    entry = view.getPointer(Addrinfo.next);
  }
  return undefined;
}

function copyBytes(place: Deno.UnsafePointerView, length: number, offset: number): Uint8Array {
  const bytes = new Uint8Array(length);
  place.copyInto(bytes, offset);
  return bytes;
}

function fail(host: string): never {
  throw new ResolveError(host, "the name has no IP address");
}

/** The C library's words for a code, without the capital letter. */
function describe(code: number): string {
  const text = libc().gai_strerror(code);
  const words = text === null ? `error ${code}` : Deno.UnsafePointerView.getCString(text);
  return words[0].toLowerCase() + words.slice(1);
}
