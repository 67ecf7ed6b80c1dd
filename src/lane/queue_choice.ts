/**
 * The TUN of a lane that is one of several: it reads its own queue, and writes each packet to the queue
 * by which the kernel is to send the answers.
 *
 * The kernel sends a flow by the queue that its other direction was written to last
 * (drivers/net/tun.c, tun_flow_update; one hash stands for both directions). So what is written to the
 * own queue brings the answers to the lane that owns the peer. Where two peers talk to each other by
 * way of this host, both their lanes write; if each used its own queue, the flow would change queues
 * with every answer and lose its order. Both use that of the lower lane.
 */
import { PeerWord } from "../tables/peer_table.ts";
import { lookupV4, lookupV6 } from "../tables/allowed_ips.ts";
import { IPV4_DESTINATION } from "../wire/ipv4.ts";
import { IPV6_DESTINATION } from "../wire/ipv6.ts";
import { VNET_HEADER_BYTES } from "../wire/virtio_net.ts";
import type { TunPort } from "./ports.ts";
import type { SharedTables } from "./shared_state.ts";

/** See the module's text. */
export class QueueChoice implements TunPort {
  readonly #queues: readonly TunPort[];
  readonly #own: number;
  readonly #tables: SharedTables;
  readonly #slabAddress: number;

  /** `queues` are those of all lanes, by number; `slabAddress` is what iovecs count from. */
  constructor(
    queues: readonly TunPort[],
    own: number,
    tables: SharedTables,
    slabAddress: number,
  ) {
    this.#queues = queues;
    this.#own = own;
    this.#tables = tables;
    this.#slabAddress = slabAddress;
  }

  read(at: number, capacity: number): number {
    return this.#queues[this.#own].read(at, capacity);
  }

  /** The first iovec holds the vnet header and at least the IP header. */
  writev(iovecAt: number, count: number): number {
    return this.#queues[this.#queueFor(iovecAt)].writev(iovecAt, count);
  }

  #queueFor(iovecAt: number): number {
    const { slab, plan, peers } = this.#tables;
    const word = iovecAt >> 2;
    const vnetAt = slab.u32[word] + slab.u32[word + 1] * 4294967296 - this.#slabAddress;
    const at = vnetAt + VNET_HEADER_BYTES;
    const peer = slab.u8[at] >> 4 === 4
      ? lookupV4(slab, plan.allowedIpsAt, at + IPV4_DESTINATION)
      : lookupV6(slab, plan.allowedIpsAt, at + IPV6_DESTINATION);
    return peer < 0 ? this.#own : Math.min(this.#own, peers.word(peer, PeerWord.Lane));
  }
}
