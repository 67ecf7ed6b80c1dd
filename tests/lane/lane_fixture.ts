/**
 * A lane alone, or several, for tests of their parts: main's half is played by the test, which writes
 * peers and keypairs into the tables itself, and all ports answer as the test says.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { Errno } from "../../src/base/errno.ts";
import { counterNonce } from "../../src/crypto/nonce.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import { type CryptoStage, Encryptor, InlineStage } from "../../src/lane/encryptor.ts";
import { Lane, Ready } from "../../src/lane/lane.ts";
import { DEFAULT_SESSION_LIMITS, type SessionLimits } from "../../src/lane/limits.ts";
import { Handover } from "../../src/lane/handover.ts";
import type { StackPort, TunPort, UdpPort } from "../../src/lane/ports.ts";
import { QueueChoice } from "../../src/lane/queue_choice.ts";
import {
  LaneChannels,
  LaneWord,
  planShared,
  type SharedPlan,
  SharedTables,
} from "../../src/lane/shared_state.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { AllowedIps } from "../../src/tables/allowed_ips.ts";
import {
  AF_INET,
  AF_INET6,
  ENDPOINT_BYTES,
  ENDPOINT_SOCKADDR_LENGTH,
  ENDPOINT_SOURCE,
} from "../../src/tables/endpoint.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  KeypairField,
  KeypairWord,
} from "../../src/tables/keypair_table.ts";
import { PeerWord } from "../../src/tables/peer_table.ts";
import { ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import { MemoryTun } from "../sim/memory_ports.ts";

/** The lane's own address inside the tunnel, and that of peer `n`. */
export const OWN = 0x0a640064;
export const inner = (peer: number) => 0x0a640000 + peer;

/** One call of `send` that the port has taken. */
export interface Send {
  readonly messages: Uint8Array[];
  readonly endpoint: Uint8Array;
  readonly tos: number;
  readonly segmentBytes: number;
}

/** What waits to be received: a datagram, or a run of `segmentBytes` each. */
export interface Arrival {
  readonly bytes: Uint8Array;
  readonly segmentBytes?: number;
  readonly tos?: number;
  readonly queuedMs?: number;
  readonly endpoint?: Uint8Array;
  readonly family?: number;
}

/** A UDP port whose `answer` decides about each send: 0 takes it, a negated errno refuses. */
export class ScriptedUdp implements UdpPort {
  segmentBytes = 0;
  tos = 0;
  queuedMs = 0;
  readonly taken: Send[] = [];
  readonly arrivals: Arrival[] = [];
  /** Calls of `send`, refused ones too. */
  attempts = 0;
  answer: (send: Send) => number = () => 0;

  constructor(readonly slab: Slab) {}

  receive(family: number, at: number, capacity: number, endpointAt: number): number {
    const arrival = this.arrivals[0];
    if (arrival === undefined || (arrival.family ?? AF_INET) !== family) return -Errno.EAGAIN;
    this.arrivals.shift();
    const bytes = arrival.bytes.subarray(0, capacity);
    this.slab.u8.set(bytes, at);
    this.slab.u8.set(arrival.endpoint ?? endpoint4(1), endpointAt);
    this.segmentBytes = arrival.segmentBytes ?? bytes.length;
    this.tos = arrival.tos ?? 0;
    this.queuedMs = arrival.queuedMs ?? 0;
    return bytes.length;
  }

  send(at: number, length: number, segmentBytes: number, endpointAt: number, tos: number): number {
    this.attempts++;
    const u8 = this.slab.u8;
    const messages: Uint8Array[] = [];
    for (let done = 0; done < length; done += segmentBytes) {
      messages.push(u8.slice(at + done, at + Math.min(done + segmentBytes, length)));
    }
    const endpoint = u8.slice(endpointAt, endpointAt + ENDPOINT_BYTES);
    const send = { messages, endpoint, tos, segmentBytes };
    const answer = this.answer(send);
    if (answer < 0) return answer;
    this.taken.push(send);
    return length;
  }

  /** All messages taken so far, in order. */
  get messages(): Uint8Array[] {
    return this.taken.flatMap(({ messages }) => messages);
  }
}

/** The endpoint record of 192.0.2.`host`, with a sticky source 198.51.100.9 if asked for. */
export function endpoint4(host: number, hasSource = false, port = 51820): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setUint32(4, 0xc0000200 + host);
  view.setUint32(ENDPOINT_SOCKADDR_LENGTH, 16, true);
  if (hasSource) bytes.set([3, 0, 0, 0, 198, 51, 100, 9], ENDPOINT_SOURCE);
  return bytes;
}

/** The endpoint record of 2001:db8::`host`, with a sticky source if asked for. */
export function endpoint6(host: number, hasSource = false, port = 51820): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  bytes.set([0x20, 1, 0xd, 0xb8], 8);
  bytes[23] = host;
  view.setUint32(ENDPOINT_SOCKADDR_LENGTH, 28, true);
  if (hasSource) bytes.set([3, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 9], ENDPOINT_SOURCE);
  return bytes;
}

export interface FixtureOptions {
  readonly lanes?: number;
  readonly sealBatches?: number;
  readonly openBatches?: number;
  /** Encryptors in the plan; `makeStage` has to make a stage of them. */
  readonly encryptors?: number;
  /** Bytes of slab behind the plan. */
  readonly moreBytes?: number;
  readonly sendMessagesMax?: number;
  readonly mtu?: number;
  readonly limits?: Partial<SessionLimits>;
  /** False: a lane without a TUN. */
  readonly tun?: boolean;
  /** A stack over the `STACK_BYTES` bytes of slab at `at`. */
  readonly makeStack?: (slab: Slab, at: number) => StackPort;
  readonly makeStage?: (
    encryptor: Encryptor,
    slots: number,
    slab: Slab,
    plan: SharedPlan,
  ) => CryptoStage;
}

/** A session as the test knows it. */
export interface TestKeypair {
  readonly slot: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

const PEERS = 8;
/** Memory of a lane's stack, in which tests put it together. */
export const STACK_BYTES = 4 << 20;

/** See the module's text. Peers are slots 0 to 7; each belongs to the lane `slot % lanes`. */
export class LaneFixture {
  readonly slab: Slab;
  readonly plan: SharedPlan;
  readonly tables: SharedTables;
  readonly channels: LaneChannels;
  readonly allowedIps: AllowedIps;
  /** By the number of the lane; `udp`, `tun`, `lane` and `encryptor` are those of the first one. */
  readonly udps: readonly ScriptedUdp[];
  readonly tuns: readonly MemoryTun[];
  readonly encryptors: readonly Encryptor[];
  readonly lanes: readonly Lane[];
  readonly udp: ScriptedUdp;
  readonly tun: MemoryTun;
  readonly lane: Lane;
  readonly encryptor: Encryptor;
  /** How often each lane was woken by another one. */
  readonly wakes: number[];
  nowMs = 1000;
  /** Rings of main's doorbell. */
  rings = 0;
  #nextSlot = 0;

  constructor(options: FixtureOptions = {}) {
    const count = options.lanes ?? 1;
    this.plan = planShared({
      lanes: count,
      sealBatches: options.sealBatches ?? 8,
      openBatches: options.openBatches ?? 4,
      encryptors: options.encryptors,
      peerCapacity: PEERS,
      prefixNodeCapacity: 256,
      indexSecret: 0x1234567,
      stackBytes: options.makeStack === undefined ? 0 : STACK_BYTES,
    });
    const { plan } = this;
    const slab = this.slab = createSlab(plan.byteLength + (options.moreBytes ?? 0));
    this.tables = new SharedTables(slab, plan);
    this.channels = new LaneChannels(slab, plan, plan.lanes[0]);
    this.allowedIps = new AllowedIps(slab, plan.allowedIpsAt, 256, this.tables.epochs);
    this.wakes = Array(count).fill(0);
    this.udps = plan.lanes.map(() => new ScriptedUdp(slab));
    this.tuns = plan.lanes.map(() => new MemoryTun(slab));
    this.encryptors = plan.lanes.map((lanePlan) =>
      new Encryptor(
        slab,
        new LaneChannels(slab, plan, lanePlan).batches,
        this.tables.keypairs,
        new NoblePacketAead(slab),
      )
    );
    new Doorbell(slab, plan.mainBellAt, null).willSleep();
    this.lanes = plan.lanes.map((_, lane) => this.#makeLane(lane, options));
    this.udp = this.udps[0];
    this.tun = this.tuns[0];
    this.encryptor = this.encryptors[0];
    this.lane = this.lanes[0];
  }

  #makeLane(lane: number, options: FixtureOptions): Lane {
    const { slab, plan } = this;
    const slots = plan.batchSlots + 1;
    const encryptor = this.encryptors[lane];
    const made = new Lane({
      lane,
      slab,
      plan,
      stage: options.makeStage?.(encryptor, slots, slab, plan) ?? new InlineStage(encryptor, slots),
      kernel: new ScalarChecksumKernel(slab),
      limits: { ...DEFAULT_SESSION_LIMITS, ...options.limits },
      tun: options.tun ?? true ? this.#makeTun(lane) : undefined,
      stack: options.makeStack?.(slab, plan.lanes[lane].stackAt),
      udp: this.udps[lane],
      handover: plan.lanes.length === 1 ? undefined : this.#makeHandover(lane),
      mainBell: new Doorbell(slab, plan.mainBellAt, { signal: () => this.rings++ }),
      slabAddress: 0,
      sendMessagesMax: options.sendMessagesMax ?? 64,
      tunOffload: { tcp: true, udp: true },
    });
    made.channels.setWord(LaneWord.Mtu, options.mtu ?? 1420);
    return made;
  }

  #makeTun(lane: number): TunPort {
    if (this.tuns.length === 1) return this.tuns[0];
    return new QueueChoice(this.tuns, lane, this.tables, 0);
  }

  #makeHandover(own: number): Handover {
    const lanes = this.plan.lanes.map(({ handover, bellAt }, lane) => {
      return { plan: handover!, bellAt, signal: { signal: () => this.wakes[lane]++ } };
    });
    return new Handover(this.slab, lanes, own);
  }

  /** Makes `peer` exist, with `inner(peer)` as its one allowed IP. */
  addPeer(peer: number, endpoint = endpoint4(peer + 1)): void {
    const { peers } = this.tables;
    for (const word of [PeerWord.Current, PeerWord.Previous, PeerWord.Next]) {
      peers.setWord(peer, word, -1);
    }
    peers.setWord(peer, PeerWord.Lane, this.laneOf(peer));
    peers.setWord(peer, PeerWord.InUse, 1);
    this.setEndpoint(peer, endpoint);
    this.allow(peer, inner(peer), 32);
  }

  /** The lane that `peer` belongs to. */
  laneOf(peer: number): number {
    return peer % this.lanes.length;
  }

  setEndpoint(peer: number, endpoint: Uint8Array): void {
    const at = this.plan.mainScratchAt;
    this.slab.u8.set(endpoint, at);
    this.tables.peers.tryWriteEndpoint(peer, at);
  }

  endpointOf(peer: number): Uint8Array {
    const at = this.tables.peers.endpointAt(peer);
    return this.slab.u8.slice(at, at + ENDPOINT_BYTES);
  }

  allow(peer: number, address: number, bits: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, address);
    this.allowedIps.insert({ address: bytes, bits }, peer);
    this.allowedIps.commit();
  }

  /** Installs a session of `peer` made now; by default as the one to send with. */
  addKeypair(
    peer: number,
    options: { as?: number; isInitiator?: boolean; createdMs?: number } = {},
  ): TestKeypair {
    const { keypairs, peers } = this.tables;
    const slot = this.#nextSlot++;
    const localIndex = keypairs.indexOf(slot, 1, this.laneOf(peer));
    const remoteIndex = 0x1000 + slot;
    const sendKey = new Uint8Array(32).fill(0x40 + slot);
    const receiveKey = new Uint8Array(32).fill(0x80 + slot);
    keypairs.wipe(slot);
    keypairs.setWord(slot, KeypairWord.RemoteIndex, remoteIndex);
    keypairs.setWord(slot, KeypairWord.Peer, peer);
    keypairs.setWord(slot, KeypairWord.IsInitiator, options.isInitiator ?? true ? 1 : 0);
    keypairs.setField(slot, KeypairField.CreatedMs, options.createdMs ?? this.nowMs);
    this.slab.u8.set(sendKey, keypairs.at(slot) + KEYPAIR_SEND_KEY);
    this.slab.u8.set(receiveKey, keypairs.at(slot) + KEYPAIR_RECEIVE_KEY);
    keypairs.setWord(slot, KeypairWord.LocalIndex, localIndex);
    peers.setWord(peer, options.as ?? PeerWord.Current, slot);
    return { slot, localIndex, remoteIndex, sendKey, receiveKey };
  }

  /** What main does when it retires a keypair, less the waiting: returns the epoch to wait for. */
  retire(peer: number, { slot }: TestKeypair): number {
    const { keypairs, peers, epochs } = this.tables;
    for (const word of [PeerWord.Current, PeerWord.Previous, PeerWord.Next]) {
      if (peers.word(peer, word) === slot) peers.setWord(peer, word, -1);
    }
    keypairs.setWord(slot, KeypairWord.LocalIndex, 0);
    return epochs.advance();
  }

  /** Works until the lane would sleep; every port counts as ready. */
  run(): void {
    this.lane.ready |= Ready.Tun | Ready.Udp4 | Ready.Udp6;
    for (let turns = 0; this.lane.turn(this.nowMs) || !this.lane.prepareSleep(); turns++) {
      if (turns > 10_000) throw new Error("the lane does not come to rest");
    }
  }

  /** Lets all lanes work by turns until all would sleep; every port counts as ready. */
  runAll(): void {
    for (const lane of this.lanes) lane.ready |= Ready.Tun | Ready.Udp4 | Ready.Udp6;
    const isAtRest = (lane: Lane) => !lane.turn(this.nowMs) && lane.prepareSleep();
    for (let turns = 0; this.lanes.map(isAtRest).includes(false); turns++) {
      if (turns > 10_000) throw new Error("the lanes do not come to rest");
    }
  }

  /** Packets that any lane has dropped for `reason`. */
  dropped(reason: number): number {
    return this.lanes.reduce((sum, { channels }) => sum + channels.counters.dropped(reason), 0);
  }

  /** What the peer would read in a message that was sent under `keypair`; throws if forged. */
  decrypt(keypair: TestKeypair, message: Uint8Array): Uint8Array {
    return chacha20poly1305(keypair.sendKey, counterNonce(counterOf(message)))
      .decrypt(message.subarray(16));
  }

  /** A data message from the peer under `keypair`. */
  message(keypair: TestKeypair, counter: number | bigint, packet: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(16 + packet.length + 16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 4, true);
    view.setInt32(4, keypair.localIndex, true);
    view.setBigUint64(8, BigInt(counter), true);
    const cipher = chacha20poly1305(keypair.receiveKey, counterNonce(BigInt(counter)));
    bytes.set(cipher.encrypt(packet), 16);
    return bytes;
  }
}

/** The counter in a data message. */
export function counterOf(message: Uint8Array): bigint {
  return new DataView(message.buffer, message.byteOffset).getBigUint64(8, true);
}

/** The receiver index in a data message. */
export function receiverOf(message: Uint8Array): number {
  return new DataView(message.buffer, message.byteOffset).getUint32(4, true);
}

/** One run of bytes. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
