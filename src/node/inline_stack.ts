/** A stack in the memory of a node that runs on one event loop. */
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import { BufferPool } from "../netstack/buffer_pool.ts";
import type { DropCounters } from "../netstack/counters.ts";
import { LINK_SEGMENTS, LinkEndpoint } from "../netstack/link_endpoint.ts";
import { Stack } from "../netstack/stack.ts";
import type { TcpLimits } from "../netstack/tcp/limits.ts";
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";

const POOL_BYTES = 64 << 20;
const PAGE_BYTES = 4096;

/** What can be said about a stack. */
export interface InlineStackOptions {
  /** Its own addresses, with the length of their networks. */
  readonly addresses: readonly AddressPrefix[];
  /** Whether it hands down segments of up to 64 KB; false: packets of the MSS, each by itself. */
  readonly gso?: boolean;
  /** Memory for the buffers of all connections. */
  readonly poolBytes?: number;
  /** Segments that its link holds. */
  readonly linkSegments?: number;
  readonly tcp?: Partial<TcpLimits>;
}

/** What a node gives to its stack. */
export interface StackParts {
  readonly slab: Slab;
  /** `bytes` bytes at a page of the slab that only the stack uses. */
  readonly at: number;
  readonly bytes: number;
  readonly kernel: ChecksumKernel;
  readonly random: RandomSource;
  readonly counters: DropCounters;
  readonly mtu: number;
}

function linkBytes(options: InlineStackOptions): number {
  const bytes = LinkEndpoint.bytes(options.linkSegments ?? LINK_SEGMENTS);
  return (bytes + PAGE_BYTES - 1) & -PAGE_BYTES;
}

/** The bytes of slab that a stack needs. */
export function inlineStackBytes(options: InlineStackOptions): number {
  return linkBytes(options) + (options.poolBytes ?? POOL_BYTES);
}

/** Makes a stack in the memory of `parts`. */
export function makeInlineStack(options: InlineStackOptions, parts: StackParts): Stack {
  const { slab, at, bytes, mtu } = parts;
  const poolAt = at + linkBytes(options);
  const pool = new BufferPool(poolAt, at + bytes - poolAt);
  const gso = options.gso ?? true;
  const link = new LinkEndpoint(slab, pool, at, {
    mtu,
    capacity: options.linkSegments ?? LINK_SEGMENTS,
    ...gso ? {} : { gsoMaxBytes: 0 },
  });
  return new Stack({ ...parts, pool, link, addresses: options.addresses, gso, tcp: options.tcp });
}
