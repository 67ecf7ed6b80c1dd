/**
 * What main tells a lane about its stack: addresses, MTU, local services. It stands as text in the
 * lane's stack memory, because a lane that blocks in epoll gets no message: main writes it before
 * the lane starts and whenever it changes, and asks the lane to look (`LaneCommand.Stack`).
 *
 * Main may write again while the lane reads. Words: a version that is odd while main writes, then
 * the number of bytes; the text follows. A lane that finds the version changed drops what it has
 * read: main asks again when it has finished.
 */
import { Errno } from "../base/errno.ts";
import type { BulkTask } from "../forward/bulk_transfer.ts";
import type { AddressAndPort } from "../forward/flow_targets.ts";
import type { LocalService } from "../forward/local_services.ts";
import type { Slab } from "../memory/slab.ts";
import { ConfigurationError, type Prefix } from "../wireguard/configuration.ts";

/** A stack as main wants it; everything has been checked. */
export interface StackConfig {
  /** Addresses that the stack answers at, with the length of their networks. */
  readonly addresses: readonly Prefix[];
  readonly mtu: number;
  /** Whether the stack hands down segments of up to 64 KB; false: packets. Fixed at the start. */
  readonly gso: boolean;
  /** Ports of this host that peers reach through the stack. */
  readonly services: readonly LocalService[];
  /** Name servers of this host, for services that lead to them. */
  readonly resolvers?: readonly Uint8Array[];
  /** Prefixes of this host's network that peers reach through the stack. */
  readonly served?: readonly Prefix[];
  /** Where the peers' WireGuard sockets are. */
  readonly endpoints?: readonly AddressAndPort[];
  /** A bulk transfer to take part in, for `demo` and benches. */
  readonly bulk?: BulkTask;
}

const VERSION_WORD = 0;
const LENGTH_WORD = 1;
const TEXT_BYTES = 8;
/** Room for the text: ten thousand services, addresses and peers. Pages in use alone cost memory. */
export const STACK_CONFIG_BYTES = 4 * 1024 * 1024;

/** Main: puts the config at `at`. Throws `ConfigurationError` when it is too long. */
export function writeStackConfig(slab: Slab, at: number, config: StackConfig): void {
  const text = JSON.stringify(
    config,
    (_key, value) => value instanceof Uint8Array ? { bytes: [...value] } : value,
  );
  const bytes = new TextEncoder().encode(text);
  const bytesMax = STACK_CONFIG_BYTES - TEXT_BYTES;
  if (bytes.length > bytesMax) {
    const what = "Addresses, services and prefixes of the userspace stack";
    const excess = `take ${bytes.length} bytes of at most ${bytesMax}`;
    throw new ConfigurationError(`${what} ${excess}: use ranges instead`, Errno.EINVAL);
  }
  const word = at >> 2;
  const version = Atomics.load(slab.i32, word + VERSION_WORD);
  Atomics.store(slab.i32, word + VERSION_WORD, version | 1);
  slab.u8.set(bytes, at + TEXT_BYTES);
  slab.i32[word + LENGTH_WORD] = bytes.length;
  Atomics.store(slab.i32, word + VERSION_WORD, (version | 1) + 1);
}

/** Lane: the config at `at`; null when main is writing another one, or has written none. */
export function readStackConfig(slab: Slab, at: number): StackConfig | null {
  const word = at >> 2;
  const version = Atomics.load(slab.i32, word + VERSION_WORD);
  if (version === 0 || (version & 1) === 1) return null;
  const bytes = slab.u8.slice(at + TEXT_BYTES, at + TEXT_BYTES + slab.i32[word + LENGTH_WORD]);
  if (Atomics.load(slab.i32, word + VERSION_WORD) !== version) return null;
  return JSON.parse(
    new TextDecoder().decode(bytes),
    (_key, value) => Array.isArray(value?.bytes) ? Uint8Array.from(value.bytes) : value,
  );
}
