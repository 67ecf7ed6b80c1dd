/**
 * What the benches of whole nodes stand on: two nodes in one thread with the fast primitives, joined by
 * two queues of runs of datagrams in the place of the kernel's sockets. A queue copies each run in and
 * out, as the kernel does.
 */
import { systemClock } from "../ffi/clock.ts";
import { systemRandom } from "../ffi/random.ts";
import { Errno } from "../src/base/errno.ts";
import { selectNoiseCrypto, selectPacketAead } from "../src/crypto/select.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { Ready } from "../src/lane/lane.ts";
import type { UdpPort } from "../src/lane/ports.ts";
import type { Slab } from "../src/memory/slab.ts";
import { InlineNode, type InlineNodeOptions } from "../src/node/inline_node.ts";
import { AF_INET, ENDPOINT_SOCKADDR_LENGTH } from "../src/tables/endpoint.ts";

const RUN_BYTES_MAX = 65_536;
/** Runs that a queue holds: about what a socket buffer of 2 MiB does. */
const QUEUE_RUNS = 32;

/** Runs on their way to a node. */
export class RunQueue {
  readonly #buffers = Array.from({ length: QUEUE_RUNS }, () => new Uint8Array(RUN_BYTES_MAX));
  readonly #bytes = new Int32Array(QUEUE_RUNS);
  readonly #segmentBytes = new Int32Array(QUEUE_RUNS);
  #front = 0;
  #count = 0;
  /** Datagrams and runs so far. */
  datagrams = 0;
  runs = 0;
  /** Set: everything is taken and forgotten. */
  isSink = false;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  push(slab: Slab, at: number, bytes: number, segmentBytes: number): number {
    this.runs++;
    this.datagrams += Math.ceil(bytes / segmentBytes);
    if (this.isSink) return bytes;
    if (this.#count === QUEUE_RUNS) return -Errno.EAGAIN;
    const slot = (this.#front + this.#count++) % QUEUE_RUNS;
    this.#buffers[slot].set(slab.u8.subarray(at, at + bytes));
    this.#bytes[slot] = bytes;
    this.#segmentBytes[slot] = segmentBytes;
    return bytes;
  }

  /** Copies the oldest run to `at`; its length, or -EAGAIN. `segmentBytes` tells the rest. */
  take(slab: Slab, at: number): number {
    if (this.#count === 0) return -Errno.EAGAIN;
    const slot = this.#front;
    this.#front = (slot + 1) % QUEUE_RUNS;
    this.#count--;
    const bytes = this.#bytes[slot];
    slab.u8.set(this.#buffers[slot].subarray(0, bytes), at);
    this.segmentBytes = this.#segmentBytes[slot];
    return bytes;
  }

  /** Of the run that was taken last. */
  segmentBytes = 0;
}

/** The sockets of one node: all it sends goes to one queue, and it receives from the other. */
export class QueueUdp implements UdpPort {
  segmentBytes = 0;
  tos = 0;
  queuedMs = 0;

  constructor(
    readonly slab: Slab,
    readonly incoming: RunQueue,
    readonly outgoing: RunQueue,
    readonly peerPort: number,
  ) {}

  receive(family: number, at: number, _capacity: number, endpointAt: number): number {
    if (family !== AF_INET) return -Errno.EAGAIN;
    const bytes = this.incoming.take(this.slab, at);
    if (bytes < 0) return bytes;
    this.segmentBytes = this.incoming.segmentBytes;
    const { u8, view } = this.slab;
    u8.fill(0, endpointAt, endpointAt + 64);
    view.setUint16(endpointAt, AF_INET, true);
    view.setUint16(endpointAt + 2, this.peerPort);
    view.setUint32(endpointAt + 4, 0x7f000001);
    view.setUint32(endpointAt + ENDPOINT_SOCKADDR_LENGTH, 16, true);
    return bytes;
  }

  send(at: number, length: number, segmentBytes: number): number {
    return this.outgoing.push(this.slab, at, length, segmentBytes);
  }
}

/** Two nodes with a session. */
export interface NodePair {
  readonly a: InlineNode;
  readonly b: InlineNode;
  readonly toA: RunQueue;
  readonly toB: RunQueue;
}

/** The inner addresses of the two nodes. */
export const INNER_A = Uint8Array.of(10, 100, 0, 1);
export const INNER_B = Uint8Array.of(10, 100, 0, 2);
const PORTS = { a: 51_001, b: 51_002 } as const;

/** What may differ between the nodes of two pairs. */
export type NodeVariant = Partial<InlineNodeOptions>;

/** Makes two nodes and lets them shake hands. */
export function makeNodePair(variantA: NodeVariant, variantB: NodeVariant = variantA): NodePair {
  const toA = new RunQueue(), toB = new RunQueue();
  const a = makeNode(variantA, (slab) => new QueueUdp(slab, toA, toB, PORTS.b));
  const b = makeNode(variantB, (slab) => new QueueUdp(slab, toB, toA, PORTS.a));
  const { crypto } = selectNoiseCrypto();
  const keyA = systemRandom.fill(new Uint8Array(32)), keyB = systemRandom.fill(new Uint8Array(32));
  const introduce = (
    node: InlineNode,
    own: Uint8Array,
    peer: Uint8Array,
    inner: Uint8Array,
    keepaliveSeconds: number,
  ) =>
    node.control.apply({
      privateKey: own,
      peers: [{
        publicKey: crypto.x25519PublicKey(peer),
        endpoint: { address: Uint8Array.of(127, 0, 0, 1), port: 51_000 },
        keepaliveSeconds,
        allowedIps: [{ address: inner, bits: 32, remove: false }],
      }],
    });
  // Only one of them begins, or two initiations would cross.
  introduce(b, keyB, keyA, INNER_A, 0);
  introduce(a, keyA, keyB, INNER_B, 25);
  a.control.onInterfaceUp();
  const pair = { a, b, toA, toB };
  runPair(pair);
  return pair;
}

function makeNode(variant: NodeVariant, makeUdp: (slab: Slab) => UdpPort): InlineNode {
  return new InlineNode({
    clock: systemClock,
    random: systemRandom,
    crypto: selectNoiseCrypto().crypto,
    makeKernel: (slab) => instantiateKernels(slab.memory),
    makeAead: (slab, scratchAt) =>
      selectPacketAead(slab, instantiateKernels(slab.memory), scratchAt).aead,
    makeUdp,
    ...variant,
  });
}

/** Lets a node work if something has come in for it. */
export function runNode(node: InlineNode, incoming: RunQueue): void {
  if (!incoming.isEmpty) node.lane.ready |= Ready.Udp4;
  node.run();
}

/** Lets both nodes work until nothing is under way between them. */
export function runPair({ a, b, toA, toB }: NodePair): void {
  do {
    runNode(a, toA);
    runNode(b, toB);
  } while (!toA.isEmpty || !toB.isEmpty);
}
