/**
 * Several devices with a lane model each, and a network between them: one virtual clock, one seed.
 * Datagrams can be lost, doubled, delayed and reordered; machines can sleep, roam, and have their
 * wall clock set.
 */
import type { Clock } from "../../src/base/clock.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../../src/memory/slab.ts";
import { AllowedIps, allowedIpsBytes } from "../../src/tables/allowed_ips.ts";
import type { EndpointBytes } from "../../src/tables/endpoint.ts";
import { epochBytes, EpochTable } from "../../src/tables/epoch.ts";
import { KeypairTable, keypairTableBytes } from "../../src/tables/keypair_table.ts";
import { PeerTable, peerTableBytes } from "../../src/tables/peer_table.ts";
import type { PeerChange, SocketAddress } from "../../src/wireguard/configuration.ts";
import { Device, type DeviceOptions } from "../../src/wireguard/device.ts";
import type { DeviceEvent, DeviceEventCode } from "../../src/wireguard/events.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { readWord } from "../../src/wireguard/messages.ts";
import { clampPrivateKey } from "../../src/wireguard/noise.ts";
import { decodeEndpoint, encodeEndpoint } from "../../src/wireguard/socket_address.ts";
import { CountingCrypto } from "./wireguard_crypto.ts";
import { LaneModel } from "./wireguard_lane.ts";

const WALL_START_NS = 1_700_000_000_123_456_789n;
const NODE_INTERFACE = 7;

/** How the network treats datagrams. */
export interface NetworkOptions {
  readonly seed?: number;
  readonly lossRate?: number;
  readonly duplicateRate?: number;
  readonly delayMs?: number;
  /** Extra delay up to this, drawn for each datagram: reorders. */
  readonly jitterMs?: number;
}

/** A datagram as it was sent. */
export interface Datagram {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly bytes: Uint8Array;
  readonly type: number;
}

interface Arrival {
  readonly atMs: number;
  readonly run: () => void;
}

export interface NodeOptions {
  readonly privateKey?: Uint8Array;
  readonly peerCapacity?: number;
  readonly keypairCapacity?: number;
  readonly device?: Partial<DeviceOptions>;
}

/** A network of nodes under one virtual clock. */
export class SimNetwork {
  nowMs = 1_000;
  readonly seed: number;
  readonly random: SeededRandom;
  readonly nodes: SimNode[] = [];
  /** Everything that was ever sent. */
  readonly sent: Datagram[] = [];
  lossRate: number;
  duplicateRate: number;
  delayMs: number;
  jitterMs: number;
  /** Called for each datagram; it is lost when this returns false. */
  passes: (datagram: Datagram) => boolean = () => true;
  #arrivals: Arrival[] = [];

  constructor(options: NetworkOptions = {}) {
    this.seed = options.seed ?? 1;
    this.random = new SeededRandom(this.seed);
    this.lossRate = options.lossRate ?? 0;
    this.duplicateRate = options.duplicateRate ?? 0;
    this.delayMs = options.delayMs ?? 0;
    this.jitterMs = options.jitterMs ?? 0;
  }

  /** Adds a node at 10.0.0.`host`, port 51820. */
  node(host: number, options: NodeOptions = {}): SimNode {
    const node = new SimNode(this, host, options);
    this.nodes.push(node);
    return node;
  }

  /** Calls `run` at a time. */
  at(atMs: number, run: () => void): void {
    const arrival = { atMs, run };
    const index = this.#arrivals.findIndex((other) => other.atMs > atMs);
    if (index < 0) this.#arrivals.push(arrival);
    else this.#arrivals.splice(index, 0, arrival);
  }

  /** Sends a datagram on its way. */
  carry(from: SimNode, bytes: Uint8Array, to: EndpointBytes): void {
    const target = addressText(decodeEndpoint(to));
    const source = from.address;
    const datagram = {
      atMs: this.nowMs,
      from: addressText(source),
      to: target,
      bytes,
      type: readWord(bytes, 0),
    };
    this.sent.push(datagram);
    const copies = this.#roll(this.duplicateRate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#roll(this.lossRate) || !this.passes(datagram)) continue;
      const jitterMs = this.jitterMs === 0 ? 0 : this.random.below(this.jitterMs + 1);
      this.at(this.nowMs + this.delayMs + jitterMs, () => this.deliver(datagram, source));
    }
  }

  /** Hands a datagram to whoever has the address it was sent to. */
  deliver(datagram: Datagram, source: SocketAddress): void {
    const node = this.nodes.find((node) => addressText(node.address) === datagram.to);
    if (node !== undefined && !node.isAsleep) node.receive(datagram.bytes, node.seenFrom(source));
  }

  /** Runs until `untilMs` (and everything that is due then). */
  run(untilMs: number): void {
    for (const node of this.nodes) node.pump();
    for (;;) {
      const nextMs = this.#nextMs();
      if (nextMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, nextMs);
      while (this.#arrivals.length > 0 && this.#arrivals[0].atMs <= this.nowMs) {
        this.#arrivals.shift()!.run();
        for (const node of this.nodes) node.pump();
      }
      for (const node of this.nodes) node.onTimeout();
    }
    this.nowMs = untilMs;
  }

  /** Runs for a time. */
  runFor(byMs: number): void {
    this.run(this.nowMs + byMs);
  }

  /** What was sent since `sinceMs`, of a type and from a node where given. */
  sentSince(sinceMs: number, type?: number, from?: SimNode): Datagram[] {
    const source = from === undefined ? undefined : addressText(from.address);
    return this.sent.filter((datagram) =>
      datagram.atMs >= sinceMs && (type === undefined || datagram.type === type) &&
      (source === undefined || datagram.from === source)
    );
  }

  #roll(rate: number): boolean {
    return rate > 0 && this.random.below(1_000_000) < rate * 1_000_000;
  }

  #nextMs(): number {
    let nextMs = this.#arrivals[0]?.atMs ?? Infinity;
    for (const node of this.nodes) {
      if (!node.isAsleep) nextMs = Math.min(nextMs, node.device.nextTimeoutMs());
    }
    return nextMs;
  }
}

/** A device, its lane and its place in the network. */
export class SimNode implements Clock {
  readonly crypto = new CountingCrypto();
  readonly slab: Slab;
  readonly peers: PeerTable;
  readonly keypairs: KeypairTable;
  readonly epochs: EpochTable;
  readonly allowedIps: AllowedIps;
  readonly device: Device;
  readonly lane: LaneModel;
  readonly events: DeviceEvent[] = [];
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  address: SocketAddress;
  isAsleep = false;
  underLoad = false;
  #wallOffsetNs = WALL_START_NS;

  constructor(readonly network: SimNetwork, readonly host: number, options: NodeOptions) {
    const peerCapacity = options.peerCapacity ?? 16;
    const keypairCapacity = options.keypairCapacity ?? peerCapacity * 4;
    const regions = new RegionAllocator();
    const peersAt = regions.reserve(peerTableBytes(peerCapacity));
    const keypairsAt = regions.reserve(keypairTableBytes(keypairCapacity));
    const epochsAt = regions.reserve(epochBytes(1));
    const allowedIpsAt = regions.reserve(allowedIpsBytes(4 * peerCapacity + 64));
    const scratchAt = regions.reserve(64), laneScratchAt = regions.reserve(64);
    const slab = createSlab(regions.byteLength);
    const random = new SeededRandom(network.seed * 1000 + host);
    this.slab = slab;
    this.peers = new PeerTable(slab, peersAt, peerCapacity);
    this.keypairs = new KeypairTable(slab, keypairsAt, keypairCapacity, random.nextUint32());
    this.epochs = new EpochTable(slab, epochsAt, 1);
    this.allowedIps = new AllowedIps(slab, allowedIpsAt, 4 * peerCapacity + 64, this.epochs);
    this.address = { address: Uint8Array.of(10, 0, 0, host), port: 51820 };
    this.privateKey = options.privateKey ?? clampPrivateKey(random.fill(new Uint8Array(32)));
    this.publicKey = this.crypto.x25519PublicKey(this.privateKey);
    this.device = new Device({
      slab,
      peers: this.peers,
      keypairs: this.keypairs,
      epochs: this.epochs,
      allowedIps: this.allowedIps,
      scratchAt,
      crypto: this.crypto,
      random,
      clock: this,
      log: (event) => this.events.push({ ...event, from: event.from?.slice() ?? null }),
      ...options.device,
    });
    this.lane = new LaneModel(
      { slab, peers: this.peers, keypairs: this.keypairs, scratchAt: laneScratchAt },
      (_peer, bytes, to) => network.carry(this, bytes, to),
    );
    this.device.apply({ privateKey: this.privateKey, peers: [] });
  }

  nowMs(): number {
    return this.network.nowMs;
  }

  wallNs(): bigint {
    return this.#wallOffsetNs + BigInt(Math.floor(this.network.nowMs * 1e6));
  }

  /** Sets the wall clock forward or back. */
  jumpWall(byMs: number): void {
    this.#wallOffsetNs += BigInt(byMs) * 1_000_000n;
  }

  /** Makes `other` a peer, with its endpoint unless `change` says otherwise. */
  addPeer(other: SimNode, change: Partial<PeerChange> = {}): void {
    this.configure({
      publicKey: other.publicKey,
      endpoint: other.address,
      allowedIps: [],
      ...change,
    });
  }

  /** Applies changes to peers and does what follows from them. */
  configure(...peers: PeerChange[]): void {
    this.device.apply({ peers });
    this.pump();
  }

  /** The slot of a peer. */
  slotOf(other: SimNode): number {
    return this.device.slotOf(other.publicKey);
  }

  /** Sends a packet to a peer. */
  send(other: SimNode, text: string): void {
    this.lane.nowMs = this.network.nowMs;
    this.lane.send(this.slotOf(other), new TextEncoder().encode(text));
    this.pump();
  }

  /** The packets received so far. */
  get inbox(): string[] {
    return this.lane.received.map(({ payload }) => new TextDecoder().decode(payload));
  }

  /** How often something was told of. */
  count(code: DeviceEventCode): number {
    return this.events.filter((event) => event.code === code).length;
  }

  /** An endpoint record as this node's socket would give it. */
  seenFrom(source: SocketAddress): EndpointBytes {
    const record = encodeEndpoint(source);
    record[32] = NODE_INTERFACE;
    record.set(this.address.address, 36);
    return record;
  }

  /** A datagram arrives. */
  receive(bytes: Uint8Array, from: EndpointBytes): void {
    this.lane.nowMs = this.network.nowMs;
    if (bytes.length >= 4 && readWord(bytes, 0) === MessageType.Data) {
      this.lane.receive(bytes, from);
    } else this.device.onMessage(bytes, from, this.underLoad, this.network.nowMs);
    this.pump();
  }

  onTimeout(): void {
    if (this.isAsleep || this.device.nextTimeoutMs() > this.network.nowMs) return;
    this.device.onTimeout(this.network.nowMs);
    this.pump();
  }

  /** Carries notes between device and lane, and datagrams to the network, until all is quiet. */
  pump(): void {
    const nowMs = this.network.nowMs;
    this.lane.nowMs = nowMs;
    for (let isQuiet = false; !isQuiet;) {
      isQuiet = true;
      for (const [peer, bits] of [...this.lane.events]) {
        this.lane.events.delete(peer);
        this.device.onPeerEvent(peer, bits, nowMs);
        isQuiet = false;
      }
      for (let transmit = this.device.pollTransmit(); transmit !== null;) {
        this.network.carry(this, transmit.bytes, transmit.to);
        transmit = this.device.pollTransmit();
        isQuiet = false;
      }
      for (let order = this.device.pollCommand(); order !== null;) {
        this.lane.onCommand(order.peer, order.bits);
        order = this.device.pollCommand();
        isQuiet = false;
      }
    }
  }
}

/** `address:port` of a socket address. */
export function addressText(address: SocketAddress | null): string {
  return address === null ? "nowhere" : `${address.address.join(".")}:${address.port}`;
}

/** Two nodes that know each other; both know the other's endpoint. */
export function simPair(
  options: NetworkOptions = {},
  change: Partial<PeerChange> = {},
): { network: SimNetwork; a: SimNode; b: SimNode } {
  const network = new SimNetwork(options);
  const a = network.node(1), b = network.node(2);
  a.addPeer(b, change);
  b.addPeer(a, change);
  return { network, a, b };
}

/** The same with a session that `a` began and `b` has confirmed. */
export function connectedPair(
  options: NetworkOptions = {},
  change: Partial<PeerChange> = {},
): { network: SimNetwork; a: SimNode; b: SimNode } {
  const pair = simPair(options, change);
  pair.a.send(pair.b, "hello");
  pair.network.runFor(4 * ((options.delayMs ?? 0) + (options.jitterMs ?? 0)));
  return pair;
}
