/**
 * A stack outside of its node, as a program would have one that only knows the link endpoint's awaiting
 * side: it awaits each segment and gives it to the node, and injects what the node hands out. The node
 * has a second link in the stack's place.
 */
import type { StackPort } from "../../src/lane/ports.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import { LinkEndpoint } from "../../src/netstack/link_endpoint.ts";
import type { Stack } from "../../src/netstack/stack.ts";
import {
  inlineStackBytes,
  type InlineStackOptions,
  makeInlineStack,
  type StackParts,
} from "../../src/node/inline_stack.ts";
import { ScalarChecksumKernel } from "../../src/wire/checksum.ts";

const PAGE_BYTES = 4096;
const SLAB_AT = PAGE_BYTES;

/** See the module's text. */
export class AwaitedStack {
  readonly stack: Stack;
  readonly slab;
  /** What the node has in the place of a stack. */
  readonly port: StackPort;
  readonly #nodeLink: LinkEndpoint;
  readonly #end = new AbortController();
  /** Ends when the link is closed or `stop` is called. */
  readonly done: Promise<void>;
  /** Segments that were awaited. */
  segments = 0;

  constructor(parts: StackParts, options: InlineStackOptions) {
    this.slab = createSlab(SLAB_AT + inlineStackBytes(options));
    this.stack = makeInlineStack(options, {
      ...parts,
      slab: this.slab,
      at: SLAB_AT,
      bytes: inlineStackBytes(options),
      kernel: new ScalarChecksumKernel(this.slab),
    });
    const linkBytes = LinkEndpoint.bytes();
    const poolAt = (parts.at + linkBytes + PAGE_BYTES - 1) & -PAGE_BYTES;
    const pool = new BufferPool(poolAt, parts.at + parts.bytes - poolAt);
    const link = new LinkEndpoint(parts.slab, pool, parts.at, { mtu: parts.mtu });
    this.#nodeLink = link;
    const { stack } = this;
    this.port = {
      link,
      nowMs: 0,
      onItem: (item, arrivedMs) => {
        stack.nowMs = arrivedMs;
        stack.link.injectInbound(parts.slab.u8.slice(item.at, item.at + item.bytes));
      },
      nextTimeoutMs: () => stack.nextTimeoutMs(),
      onTimeout: (nowMs) => stack.onTimeout(nowMs),
      flush: (nowMs) => stack.flush(nowMs),
    };
    this.done = this.#pump();
  }

  /** Ends the waiting. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.done;
  }

  async #pump(): Promise<void> {
    for (;;) {
      const segment = await this.stack.link.readAsync(this.#end.signal);
      if (segment === null) return;
      this.segments++;
      while (this.#nodeLink.writePackets([segment]) === 0) await Promise.resolve();
    }
  }
}

/** Single packets only: a copy of a run has no room for what the coalescer knows about it. */
export const AWAITED_OFFLOAD = { tcp: false, udp: false };
