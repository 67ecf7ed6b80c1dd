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
import { selectPacketAead } from "../src/crypto/select.ts";
import {
  BatchKind,
  BatchWord,
  OPEN_AT,
  OPEN_COUNTER,
  OPEN_KEYPAIR,
  OPEN_LENGTH,
  OPEN_OUT_AT,
  OPEN_RESULT,
} from "../src/lane/batch.ts";
import { Encryptor } from "../src/lane/encryptor.ts";
import { LaneChannels, planShared, SharedTables } from "../src/lane/shared_state.ts";
import { GroCoalescer, type GroSink } from "../src/offload/gro_coalesce.ts";
import { areChecksumsValid } from "../src/offload/gro_headers.ts";
import { splitSegments } from "../src/offload/gso_split.ts";
import { describeStackSegment, SuperPacket } from "../src/offload/super_packet.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import type { StackPort } from "../src/lane/ports.ts";
import { KEYPAIR_RECEIVE_KEY } from "../src/tables/keypair_table.ts";
import { systemClock } from "../ffi/clock.ts";
import { BulkFlow } from "./bulk_flow.ts";
import { INNER_A, INNER_B, makeNodePair, type NodePair, runNode } from "./node_bed.ts";
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
const TRANSFER_BYTES = 8 << 20;

interface Bed extends NodePair {
  readonly source: SegmentSource;
  readonly sink: CountingStack;
}

const STACK = { addresses: [], poolBytes: SOURCE_BYTES };

function makeBed(way: Way): Bed {
  const parts: { source?: SegmentSource; sink?: CountingStack } = {};
  const offload = { tcp: way.coalesces, udp: way.coalesces };
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

for (const way of WAYS) {
  const options = { group: "transfer: TCP from stack to stack", baseline: way.coalesces };
  let flow: BulkFlow | undefined;
  Deno.bench(`transfer, ${way.name}`, options, () => {
    if (flow === undefined) {
      flow = new BulkFlow(makeStackPair(way), systemClock.nowMs());
      // Until the window is open and the code compiled.
      for (let i = 0; i < 8; i++) flow.transfer(TRANSFER_BYTES);
    }
    flow.transfer(TRANSFER_BYTES);
  });
}

/** Two nodes whose stacks work in this way. */
function makeStackPair(way: Way): NodePair {
  const variant = (address: Uint8Array) => ({
    stack: { addresses: [{ address, bits: 32 }], gso: way.coalesces },
    sendMessagesMax: way.sendMessagesMax,
    tunOffload: { tcp: way.coalesces, udp: way.coalesces },
  });
  return makeNodePair(variant(INNER_A), variant(INNER_B));
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

// Decrypted packets stand apart: headroom for a virtio header before each, rounded up.
const RECEIVED = 1 << 21;
const RECEIVED_STRIDE = 1488;
const IOVECS = 4096;
const single = new SegmentSource(slab, SOURCES[0], PACKETS);
describeStackSegment(
  slab,
  single.frontHeaderAt,
  HEADER_BYTES,
  single.frontPayloadAt,
  single.frontPayloadBytes,
  single.frontGso,
  sp,
);
splitSegments(slab, kernel, sp, 0, PACKETS, RECEIVED, RECEIVED_STRIDE);
const firstHeaders = slab.u8.slice(RECEIVED, RECEIVED + HEADER_BYTES);
const items: GroSink & { count: number } = {
  count: 0,
  write(): void {
    this.count++;
  },
};

for (const way of WAYS.slice(0, 2)) {
  const options = { group: "coalesce: verify, merge", baseline: way.coalesces };
  const { coalesces } = way;
  const gro = new GroCoalescer(slab, kernel, IOVECS, {
    slabAddress: 0,
    tcp: coalesces,
    udp: coalesces,
  });
  const name = coalesces ? "coalesce, gso on" : "checksums alone, gso off";
  Deno.bench(name, options, () => {
    // The last round left its merged headers in the first packet.
    slab.u8.set(firstHeaders, RECEIVED);
    for (let i = 0; i < PACKETS; i++) {
      const at = RECEIVED + i * RECEIVED_STRIDE;
      gro.add(at, HEADER_BYTES + MSS);
      // A packet that stays alone is verified by whoever takes it.
      if (!coalesces) items.count += areChecksumsValid(slab.view, kernel, at, 1420, 20) ? 0 : 1;
    }
    gro.flush(items);
  });
}

/** Packets of 1,420 bytes that fit a batch with room between them. */
const SEALED = 40;
const sealed = makeSealed();
for (const perBatch of [SEALED, 1]) {
  const name = perBatch > 1 ? "one batch" : "a batch for each";
  Deno.bench(`seal, ${name}`, { group: `seal ${SEALED} packets`, baseline: perBatch > 1 }, () => {
    for (let i = 0; i < SEALED; i += perBatch) sealed.seal(perBatch);
  });
}
for (const perBatch of [SEALED, 1]) {
  const name = perBatch > 1 ? "one batch" : "a batch for each";
  Deno.bench(`open, ${name}`, { group: `open ${SEALED} packets`, baseline: perBatch > 1 }, () => {
    sealed.prepareOpen();
    for (let i = 0; i < SEALED; i += perBatch) sealed.open(i, perBatch);
  });
}

/** A stage with one batch of each kind, for `seal` and `open`. */
function makeSealed() {
  const plan = planShared({
    lanes: 1,
    sealBatches: 1,
    openBatches: 1,
    indexSecret: 0,
    peerCapacity: 4,
  });
  const slab = createSlab(plan.byteLength);
  const { keypairs } = new SharedTables(slab, plan);
  const { batches } = new LaneChannels(slab, plan, plan.lanes[0]);
  const scratchAt = plan.lanes[0].aeadScratchAt;
  const { aead } = selectPacketAead(slab, instantiateKernels(slab.memory), scratchAt);
  const encryptor = new Encryptor(slab, batches, keypairs, aead);
  const open = 1, descriptor = batches.at(open);
  const input = batches.inputAt(open), output = batches.outputAt(open);
  const bytes = HEADER_BYTES + MSS;
  let counter = 0;
  batches.setWord(0, BatchWord.Kind, BatchKind.Seal);
  batches.setWord(0, BatchWord.Stride, bytes + 32);
  batches.setWord(0, BatchWord.LastBytes, bytes + 32);
  batches.setWord(open, BatchWord.Kind, BatchKind.Open);
  let isPrepared = false;
  // Opening a message spoils the 64 bytes before it, so they stand apart to be opened again.
  const apart = bytes + 160;
  const inputOf = (i: number) => input + i * apart;
  return {
    seal(count: number): void {
      batches.setWord(0, BatchWord.Count, count);
      batches.setCounter(0, counter);
      counter += count;
      encryptor.process(0);
    },
    /** Seals, with the key that opens, what the opening benches open again and again. */
    prepareOpen(): void {
      if (isPrepared) return;
      isPrepared = true;
      for (let i = 0; i < SEALED; i++) {
        aead.seal(keypairs.at(0) + KEYPAIR_RECEIVE_KEY, i, inputOf(i), bytes);
      }
    },
    open(first: number, count: number): void {
      for (let i = 0; i < count; i++) {
        slab.i32[((descriptor + OPEN_AT) >> 2) + i] = inputOf(first + i);
        slab.i32[((descriptor + OPEN_LENGTH) >> 2) + i] = bytes;
        slab.i32[((descriptor + OPEN_KEYPAIR) >> 2) + i] = 0;
        slab.i32[((descriptor + OPEN_OUT_AT) >> 2) + i] = output + i * RECEIVED_STRIDE;
        slab.f64[((descriptor + OPEN_COUNTER) >> 3) + i] = first + i;
      }
      batches.setWord(open, BatchWord.Count, count);
      encryptor.process(open);
      if (slab.i32[((descriptor + OPEN_RESULT) >> 2) + count - 1] !== 1) {
        throw new Error("a right tag was refused");
      }
    },
  };
}
