/**
 * A stack without TCP, and 64 KB of a bulk TCP flow on their way to it: merged, or packet by packet.
 */
import { SeededRandom } from "../src/base/random.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import { BufferPool } from "../src/netstack/buffer_pool.ts";
import { InboundItem } from "../src/netstack/inbound.ts";
import { LinkEndpoint } from "../src/netstack/link_endpoint.ts";
import type { IpPath } from "../src/netstack/output.ts";
import { Stack } from "../src/netstack/stack.ts";
import { address, ip4, OWN4, OWN6, PEER4, PEER6 } from "../tests/netstack/packets.ts";
import { buildPacket, TIMESTAMPS } from "../tests/offload/packet_builder.ts";
import { GSO_SIZE, PACKETS, RECEIVED_STRIDE } from "./bulk_packets.ts";

const LINK_AT = 1 << 14;
const IN_AT = 1 << 20;
const POOL_AT = 1 << 22;
const POOL_BYTES = 16 << 20;
const NOW_MS = 1000;
/** TCP header with timestamps. */
const TCP_BYTES = 32;

/** The stack, what has come for it, and what it has to send. */
export class StackScene {
  readonly slab = createSlab(POOL_AT + POOL_BYTES);
  readonly stack: Stack;
  readonly link: LinkEndpoint;
  readonly #run = new InboundItem();
  readonly #single = new InboundItem();
  readonly #block: number;
  #packetBytes: number[] = [];

  constructor() {
    const { slab } = this;
    const pool = new BufferPool(POOL_AT, POOL_BYTES);
    this.link = new LinkEndpoint(slab, pool, LINK_AT, { mtu: 1420 });
    this.stack = new Stack({
      slab,
      kernel: instantiateKernels(slab.memory),
      pool,
      link: this.link,
      random: new SeededRandom(1),
      counters: { drop: () => {} },
      addresses: [{ address: address(OWN4), bits: 24 }, { address: address(OWN6), bits: 64 }],
    });
    // What TCP does with a segment is another bench's subject.
    this.stack.tcp.onDatagram = () => {};
    this.#block = pool.allocate(1 << 16);
  }

  /** Puts packets into the slab as they are decrypted. */
  place(packets: readonly Uint8Array[]): void {
    packets.forEach((packet, i) => this.slab.u8.set(packet, IN_AT + i * RECEIVED_STRIDE));
    this.#packetBytes = packets.map(({ length }) => length);
  }

  /** Puts 64 KB of a TCP flow there. */
  placeTcp(version: 4 | 6): void {
    this.place(Array.from({ length: PACKETS }, (_, i) => tcpPacket(version, i)));
    const headerBytes = this.#packetBytes[0] - GSO_SIZE;
    const run = this.#run;
    run.at = IN_AT;
    run.bytes = headerBytes + PACKETS * GSO_SIZE;
    run.packetCount = PACKETS;
    run.headerBytes = headerBytes;
    run.gsoSize = GSO_SIZE;
    run.isVerified = true;
    run.pieces.clear();
    for (let i = 0; i < PACKETS; i++) {
      run.pieces.add(IN_AT + i * RECEIVED_STRIDE + headerBytes, GSO_SIZE);
    }
  }

  /** The stack gets what `placeTcp` has put there as one merged run. */
  takeRun(): void {
    this.stack.onItem(this.#run, NOW_MS);
  }

  /** The stack gets each packet that was put there by itself. */
  takePackets(): void {
    for (let i = 0; i < this.#packetBytes.length; i++) {
      const single = this.#single;
      single.at = IN_AT + i * RECEIVED_STRIDE;
      single.bytes = this.#packetBytes[i];
      single.pieces.clear();
      single.pieces.add(single.at, single.bytes);
      this.stack.onItem(single, NOW_MS);
    }
  }

  /** The way to the peer. */
  path(version: 4 | 6): IpPath {
    return this.stack.output.makePath(address(version === 4 ? PEER4 : PEER6))!;
  }

  /** A segment with so much payload leaves, and is taken from the link. */
  send(path: IpPath, bytes: number): void {
    this.stack.output.begin(path);
    this.stack.output.commitTcp(path, TCP_BYTES, this.#block, bytes, GSO_SIZE, this.#block);
    this.link.pop();
  }

  /** 64 KB leave as one super-segment. */
  sendRun(path: IpPath): void {
    this.send(path, PACKETS * GSO_SIZE);
  }

  /** 64 KB leave packet by packet. */
  sendPackets(path: IpPath): void {
    for (let i = 0; i < PACKETS; i++) this.send(path, GSO_SIZE);
  }
}

function tcpPacket(version: 4 | 6, index: number): Uint8Array {
  const payload = new SeededRandom(index).fill(new Uint8Array(GSO_SIZE));
  const packet = buildPacket({ version, payload, tcpOptions: TIMESTAMPS, sequence: index });
  packet.set(address(version === 4 ? PEER4 : PEER6), version === 4 ? 12 : 8);
  packet.set(address(version === 4 ? OWN4 : OWN6), version === 4 ? 16 : 24);
  if (version === 4) packet.set(ip4({ id: 0x1234, protocol: 6 }, packet.slice(20)).slice(0, 12));
  return packet;
}
