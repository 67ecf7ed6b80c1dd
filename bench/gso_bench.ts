/**
 * What segments of 64 KB save, from the stack to the sealed batch and back: each group has `gso on`
 * beside two ways of doing without. *Apart*: packets of the MSS, each in a send and a receive of its
 * own. *Shared*: packets of the MSS too, but those of one turn share a send.
 *
 *     deno bench -A bench/gso_bench.ts
 *
 * One iteration is 64 KB (47 packets of 1,420 bytes), in the group `transfer` 8 MiB. Everything runs in
 * one thread, without sockets of the kernel.
 */
import { splitSegments } from "../src/offload/gso_split.ts";
import { describeStackSegment, SuperPacket } from "../src/offload/super_packet.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import type { StackPort } from "../src/lane/ports.ts";
import { makeNodePair, type NodePair, runNode } from "./node_bed.ts";
import {
  CountingStack,
  HEADER_BYTES,
  MSS,
  PACKETS,
  SegmentSource,
  SOURCE_BYTES,
} from "./segment_source.ts";

/** The three ways. */
const WAYS = [
  { name: "gso on", packetsPerSegment: PACKETS, sendMessagesMax: 64, coalesces: true },
  { name: "gso off, shared", packetsPerSegment: 1, sendMessagesMax: 64, coalesces: false },
  { name: "gso off, apart", packetsPerSegment: 1, sendMessagesMax: 1, coalesces: false },
] as const;
type Way = (typeof WAYS)[number];

interface Bed extends NodePair {
  readonly source: SegmentSource;
  readonly sink: CountingStack;
}

const STACK = { addresses: [], poolBytes: SOURCE_BYTES };

function makeBed(way: Way): Bed {
  const parts: { source?: SegmentSource; sink?: CountingStack } = {};
  const offload = { vnetHeaders: true, tcp: way.coalesces, udp: way.coalesces };
  const common = { stack: STACK, sendMessagesMax: way.sendMessagesMax, tunOffload: offload };
  const pair = makeNodePair({
    ...common,
    makeStack: ({ slab, at }): StackPort => {
      parts.source = new SegmentSource(slab, at, way.packetsPerSegment);
      return new CountingStack(parts.source);
    },
  }, {
    ...common,
    makeStack: ({ slab, at }): StackPort =>
      parts.sink = new CountingStack(new SegmentSource(slab, at, 1)),
  });
  return { ...pair, source: parts.source!, sink: parts.sink! };
}

/** Puts 64 KB on the link of the first node and lets it send them. */
function send(bed: Bed, way: Way): void {
  bed.source.wanted = PACKETS / way.packetsPerSegment;
  bed.a.run();
}

for (const way of WAYS) {
  const options = { group: "send: link to sealed batches", baseline: way.packetsPerSegment > 1 };
  let bed: Bed | undefined;
  Deno.bench(`send, ${way.name}`, options, () => {
    bed ??= makeBed(way);
    bed.toB.isSink = true;
    send(bed, way);
    if (bed.source.wanted !== 0) throw new Error("not everything was sent");
  });
}

for (const way of WAYS) {
  const options = { group: "receive: datagrams to the stack", baseline: way.packetsPerSegment > 1 };
  let bed: Bed | undefined;
  Deno.bench(`receive, ${way.name}`, options, (bench) => {
    bed ??= makeBed(way);
    const before = bed.sink.packets;
    // A queue holds 32 runs, so packets apart come in two portions.
    const portions = way.sendMessagesMax === 1 ? 2 : 1;
    let left = PACKETS;
    for (let i = 0; i < portions; i++) {
      bed.source.wanted = Math.ceil(left / way.packetsPerSegment / (portions - i));
      left -= bed.source.wanted * way.packetsPerSegment;
      bed.a.run();
      if (i === 0) bench.start();
      runNode(bed.b, bed.toB);
      if (i === portions - 1) bench.end();
    }
    if (bed.sink.packets - before !== PACKETS) throw new Error("not everything has arrived");
  });
}

const slab = createSlab(1 << 22);
const kernel = instantiateKernels(slab.memory);
const SOURCES = [1 << 16, 1 << 18];
// Not a multiple of 4096 away: loads would wait for stores to the same place in another page.
const OUT = (1 << 20) + 1040;
const STRIDE = 16 + HEADER_BYTES + MSS + 16;
const sp = new SuperPacket();

for (const [i, way] of WAYS.slice(0, 2).entries()) {
  const options = { group: "split: describe, cut, sum", baseline: way.packetsPerSegment > 1 };
  const source = new SegmentSource(slab, SOURCES[i], way.packetsPerSegment);
  Deno.bench(`split, ${way.name}`, options, () => {
    let outAt = OUT;
    for (let i = 0; i < PACKETS / way.packetsPerSegment; i++) {
      const { frontHeaderAt, frontPayloadAt, frontPayloadBytes, frontGso } = source;
      describeStackSegment(
        slab,
        frontHeaderAt,
        HEADER_BYTES,
        frontPayloadAt,
        frontPayloadBytes,
        frontGso,
        sp,
      );
      splitSegments(slab, kernel, sp, 0, sp.segmentCount, outAt, STRIDE);
      outAt += sp.segmentCount * STRIDE;
      source.pop();
    }
  });
}
