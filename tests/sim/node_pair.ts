/**
 * Nodes of the simulator: whole inline nodes over a network of arrays, under virtual time and one
 * seed. Nothing happens but what a test lets happen.
 */
import { VirtualClock } from "../../src/base/clock.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { NobleCrypto } from "../../src/crypto/noble.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import type { CryptoStage } from "../../src/lane/encryptor.ts";
import { Ready } from "../../src/lane/lane.ts";
import { InlineNode, type InlineNodeOptions } from "../../src/node/inline_node.ts";
import { ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import type { Prefix } from "../../src/wireguard/configuration.ts";
import { type Datagram, MemoryTun, MemoryUdp } from "./memory_ports.ts";

/** What can be said about a simulated node. */
export interface SimNodeOptions {
  readonly address?: number;
  readonly port?: number;
  readonly coalesce?: boolean;
  /** False: a node without an interface; then its `tun` is connected to nothing. */
  readonly tun?: boolean;
  readonly wrapStage?: (stage: CryptoStage) => CryptoStage;
  readonly node?: Partial<InlineNodeOptions>;
}

/** One node with its ports and keys. */
export interface SimNode {
  readonly node: InlineNode;
  readonly tun: MemoryTun;
  readonly udp: MemoryUdp;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** Decides what becomes of a datagram: deliver as it is (the default), or these instead. */
export type Fate = (datagram: Datagram) => readonly Datagram[];

const ADDRESS_BASE = 0x0a000000;

/** The nodes of one simulation. */
export class SimNetwork {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly crypto = new NobleCrypto();
  readonly nodes: SimNode[] = [];
  /** Every datagram that was sent, in order. */
  readonly log: Datagram[] = [];
  fate: Fate = (datagram) => [datagram];
  /** How long a datagram is under way. */
  latencyMs = 0;
  #underWay: { readonly datagram: Datagram; readonly dueMs: number }[] = [];

  constructor(readonly seed = 1) {
    this.random = new SeededRandom(seed);
  }

  /** Adds a node with fresh keys. */
  add(options: SimNodeOptions = {}): SimNode {
    const index = this.nodes.length + 1;
    const ports: { tun?: MemoryTun; udp?: MemoryUdp } = {};
    const node = new InlineNode({
      clock: this.clock,
      random: this.random,
      crypto: this.crypto,
      makeAead: (slab) => new NoblePacketAead(slab),
      makeKernel: (slab) => new ScalarChecksumKernel(slab),
      makeTun: options.tun === false ? undefined : (slab) => ports.tun = new MemoryTun(slab),
      makeUdp: (slab) =>
        ports.udp = new MemoryUdp(
          slab,
          options.address ?? ADDRESS_BASE + index,
          options.port ?? 51820,
          (datagram) => this.#send(datagram),
          options.coalesce ?? true,
        ),
      wrapStage: options.wrapStage,
      ...options.node,
    });
    const privateKey = this.random.fill(new Uint8Array(32));
    const simNode: SimNode = {
      node,
      tun: ports.tun ?? new MemoryTun(node.slab),
      udp: ports.udp!,
      privateKey,
      publicKey: this.crypto.x25519PublicKey(privateKey),
    };
    this.nodes.push(simNode);
    node.control.apply({ privateKey, listenPort: simNode.udp.port, peers: [] });
    return simNode;
  }

  /** Makes each of two nodes a peer of the other. */
  connect(
    a: SimNode,
    b: SimNode,
    prefixes: { readonly ofA: readonly Prefix[]; readonly ofB: readonly Prefix[] },
    presharedKey?: Uint8Array,
  ): void {
    this.introduce(a, b, prefixes.ofB, presharedKey);
    this.introduce(b, a, prefixes.ofA, presharedKey);
  }

  /** Makes `peer` a peer of `at`. */
  introduce(
    at: SimNode,
    peer: SimNode,
    prefixes: readonly Prefix[],
    presharedKey?: Uint8Array,
  ): void {
    const endpoint = { address: bytesOf(peer.udp.address), port: peer.udp.port };
    at.node.control.apply({
      peers: [{
        publicKey: peer.publicKey,
        presharedKey,
        endpoint,
        allowedIps: prefixes.map((prefix) => ({ ...prefix, remove: false })),
      }],
    });
  }

  /** Runs every node until no datagram is due and nobody has work. */
  run(): void {
    for (let busy = true; busy;) {
      busy = false;
      for (const { node, tun, udp } of this.nodes) {
        if (tun.fromHost.length > 0) node.lane.ready |= Ready.Tun;
        if (udp.received.length > 0) node.lane.ready |= Ready.Udp4;
        node.run();
        busy ||= tun.fromHost.length > 0 || udp.received.length > 0;
      }
      busy = this.#deliver() || busy;
    }
  }

  /** Lets time pass until `untilMs`, stopping at every deadline on the way. */
  runUntil(untilMs: number): void {
    this.run();
    for (;;) {
      const next = Math.min(
        ...this.nodes.map(({ node }) => node.nextTimeoutMs()),
        ...this.#underWay.map(({ dueMs }) => dueMs),
      );
      if (next > untilMs) break;
      this.clock.advance(Math.max(0, next - this.clock.nowMs()));
      for (const { node } of this.nodes) {
        if (node.nextTimeoutMs() <= this.clock.nowMs()) node.onTimeout();
      }
      this.run();
    }
    this.clock.advance(Math.max(0, untilMs - this.clock.nowMs()));
    this.run();
  }

  /** Lets `byMs` pass. */
  runFor(byMs: number): void {
    this.runUntil(this.clock.nowMs() + byMs);
  }

  #send(datagram: Datagram): void {
    this.log.push(datagram);
    const dueMs = this.clock.nowMs() + this.latencyMs;
    this.#underWay.push(...this.fate(datagram).map((datagram) => ({ datagram, dueMs })));
  }

  #deliver(): boolean {
    const nowMs = this.clock.nowMs();
    const due = this.#underWay.filter(({ dueMs }) => dueMs <= nowMs);
    if (due.length === 0) return false;
    this.#underWay = this.#underWay.filter(({ dueMs }) => dueMs > nowMs);
    for (const { datagram } of due) {
      const target = this.nodes.find(({ udp }) =>
        udp.address === datagram.toAddress && udp.port === datagram.to
      );
      target?.udp.received.push(datagram);
    }
    return true;
  }
}

/** The 4 bytes of an IPv4 address given as a number. */
export function bytesOf(address: number): Uint8Array {
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
}
