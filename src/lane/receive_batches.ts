/**
 * From received datagrams to packets for the TUN or the stack: data messages become open batches for the
 * encryptor stage, handshake messages go to main; what comes back authenticated is checked in the
 * protocol's order and coalesced once.
 *
 * Order per message (WireGuard paper, section 5.4.6): length, receiver index, key age, decryption,
 * replay, roaming, keepalive?, inner length, inner source, delivery.
 */
import { DropReason } from "../base/drop_reason.ts";
import { GRO_PACKETS_MAX, type GroCoalescer } from "../offload/gro_coalesce.ts";
import { lookupV4, lookupV6 } from "../tables/allowed_ips.ts";
import { AF_INET, AF_INET6, copyEndpoint, ENDPOINT_BYTES } from "../tables/endpoint.ts";
import { KEYPAIR_REPLAY, KeypairWord, laneOfIndex } from "../tables/keypair_table.ts";
import { PeerEvent, PeerWord } from "../tables/peer_table.ts";
import { replayAccept } from "../tables/replay_window.ts";
import { carryCongestion, Ecn, innerEcn } from "../wire/ecn.ts";
import { ipPacketBytes, IpProtocol, ipVersion } from "../wire/ip.ts";
import { IPV4_SOURCE, ipv4Protocol } from "../wire/ipv4.ts";
import { IPV6_SOURCE, ipv6NextHeader } from "../wire/ipv6.ts";
import {
  DATA_OVERHEAD_BYTES,
  DATA_PAYLOAD,
  dataCounter,
  dataReceiver,
  MessageType,
  messageType,
} from "../wire/wireguard.ts";
import {
  BATCH_ENDPOINT,
  BatchKind,
  type BatchTable,
  BatchWord,
  FreeList,
  OPEN_AT,
  OPEN_COUNTER,
  OPEN_KEYPAIR,
  OPEN_LENGTH,
  OPEN_OUT_AT,
  OPEN_RESULT,
  PLAINTEXT_HEADROOM_BYTES,
} from "./batch.ts";
import { LaneCounter } from "./counters.ts";
import type { Handover } from "./handover.ts";
import type { InboundSink } from "./inbound_sink.ts";
import type { LaneContext } from "./lane_context.ts";
import { RECEIVE_MESSAGES_MAX } from "./limits.ts";
import type { UdpPort } from "./ports.ts";
import { QueueDelay } from "./queue_delay.ts";
import { HANDSHAKE_ENDPOINT, HANDSHAKE_LENGTH, HANDSHAKE_MESSAGE } from "./shared_state.ts";
import type { Transmitter } from "./transmit.ts";

const RECEIVE_CAPACITY = 65_536;
/** Shorter packets are acknowledgments, echoes and the like: they never stand for a queue. */
const BULK_BYTES_MIN = 512;

/** What one attempt to receive gives where it gives no bytes. */
export const Received = {
  /** The socket has nothing more. */
  Nothing: -1,
  /** Every open batch is in the stage: try again when one has come back. */
  NoBatch: -2,
} as const;

/** The receiving half of one lane. */
export class ReceiveBatches {
  /** After `receive`: how many datagrams it brought. */
  messages = 0;
  readonly #context: LaneContext;
  readonly #batches: BatchTable;
  readonly #free: FreeList;
  readonly #gro: GroCoalescer;
  readonly #sink: InboundSink;
  readonly #allowedIpsAt: number;
  /** The peer whose messages are being delivered, and what is to be noted for it at the end. */
  #peer = -1;
  #peerBytes = 0;
  #peerHasData = false;
  /** The keypair that was found last for the run at hand, -1 for none, and the index that names it. */
  #keypair = -1;
  #index = 0;
  /** The keypair that the last message of the batch at hand was opened with, -1 for none. */
  #openedWith = -1;
  /** The inner IPv4 source that was looked up last for the batch at hand, and its owner. */
  #source = 0;
  #sourcePeer = -1;
  /** Batches whose packets stand in the coalescer. */
  readonly #held: Int32Array;
  /** Of the two sockets' queues: one that stands does so whatever the other one does. */
  readonly #queueDelay4 = new QueueDelay();
  readonly #queueDelay6 = new QueueDelay();
  #heldCount = 0;

  constructor(
    context: LaneContext,
    public port: UdpPort,
    gro: GroCoalescer,
    sink: InboundSink,
    readonly transmitter: Transmitter,
    /** The other lanes, null where there are none. */
    readonly handover: Handover | null,
  ) {
    this.#context = context;
    this.#batches = context.channels.batches;
    const { sealCount, openCount } = this.#batches.plan;
    this.#free = new FreeList(sealCount, openCount);
    this.#held = new Int32Array(openCount);
    this.#allowedIpsAt = context.tables.plan.allowedIpsAt;
    this.#gro = gro;
    this.#sink = sink;
  }

  /** Whether there is a batch to receive into. */
  get hasRoom(): boolean {
    return this.#free.length + this.#heldCount > 0;
  }

  /** A batch to receive into, -1 when all are in the stage. */
  #takeBatch(): number {
    if (this.#free.length === 0) this.deliver();
    return this.#free.take();
  }

  /**
   * Receives one datagram or run from the socket of `family` and hands it on; how many bytes that
   * were, or one of `Received`.
   */
  receive(family: typeof AF_INET | typeof AF_INET6): number {
    const batch = this.#takeBatch();
    if (batch < 0) return Received.NoBatch;
    const inputAt = this.#batches.inputAt(batch);
    const endpointAt = this.#batches.at(batch) + BATCH_ENDPOINT;
    const queueDelay = family === AF_INET ? this.#queueDelay4 : this.#queueDelay6;
    const bytes = this.port.receive(family, inputAt, RECEIVE_CAPACITY, endpointAt);
    if (bytes < 0) {
      queueDelay.onEmpty();
      this.#free.give(batch);
      return Received.Nothing;
    }
    const counters = this.#context.channels.counters;
    counters.add(LaneCounter.UdpReceives, 1);
    counters.add(LaneCounter.UdpReceiveBytes, bytes);
    const { segmentBytes, tos, queuedMs } = this.port;
    const sentBytes = counters.value(LaneCounter.UdpSendBytes);
    const isCongested = queueDelay.onTake(queuedMs, bytes, this.#context.nowMs, sentBytes);
    this.#batches.setWord(batch, BatchWord.Congested, isCongested ? 1 : 0);
    this.#fill(batch, bytes, Math.max(1, segmentBytes), tos);
    return bytes;
  }

  /**
   * Takes a data message that another lane has received: an endpoint record at `at`, then the message,
   * of `bytes` bytes. There is room.
   */
  takeOver(at: number, bytes: number, tos: number): void {
    const batch = this.#takeBatch();
    const { slab, kernel } = this.#context;
    copyEndpoint(slab, at, this.#batches.at(batch) + BATCH_ENDPOINT);
    kernel.copySum(this.#batches.inputAt(batch), at + ENDPOINT_BYTES, bytes, 0);
    this.#batches.setWord(batch, BatchWord.Congested, 0);
    this.#fill(batch, bytes, bytes, tos);
  }

  /** Cuts a run into messages: data into the batch, handshakes to main; then hands it on. */
  #fill(batch: number, bytes: number, segmentBytes: number, tos: number): void {
    const batches = this.#batches;
    const inputAt = batches.inputAt(batch);
    batches.setWord(batch, BatchWord.Kind, BatchKind.Open);
    batches.setWord(batch, BatchWord.Tos, tos);
    batches.setWord(batch, BatchWord.Count, 0);
    batches.setArrivedMs(batch, this.#context.nowMs);
    let outAt = batches.outputAt(batch);
    const counters = this.#context.channels.counters;
    const messages = Math.max(1, Math.ceil(bytes / segmentBytes));
    const taken = Math.min(messages, RECEIVE_MESSAGES_MAX);
    this.#keypair = -1;
    for (let i = 0; i < taken; i++) {
      const length = Math.min(segmentBytes, bytes - i * segmentBytes);
      outAt = this.#classify(batch, inputAt + i * segmentBytes, length, outAt);
    }
    this.messages = messages;
    counters.add(LaneCounter.UdpReceiveMessages, messages);
    if (taken < messages) counters.drop(DropReason.NoBuffer, messages - taken);
    if (batches.word(batch, BatchWord.Count) > 0) this.#context.submit(batch);
    else this.#free.give(batch);
  }

  /** Looks at one datagram; returns where the next plaintext goes. */
  #classify(batch: number, at: number, length: number, outAt: number): number {
    const { slab, channels, limits } = this.#context;
    const type = messageType(slab.view, at, length);
    if (type !== MessageType.Data) {
      if (type !== 0) this.#passHandshake(batch, at, length);
      else channels.counters.drop(DropReason.MessageInvalid);
      return outAt;
    }
    const index = dataReceiver(slab.view, at) | 0;
    const isKnown = this.#keypair >= 0 && index === this.#index;
    if (!isKnown && !this.#findSession(index, batch, at, length)) return outAt;
    const counter = dataCounter(slab.view, at);
    if (counter >= limits.rejectAfterMessages) {
      channels.counters.drop(DropReason.CounterTooLarge);
      return outAt;
    }
    return this.#add(batch, at, length - DATA_OVERHEAD_BYTES, this.#keypair, counter, outAt);
  }

  /**
   * Finds the keypair that `index` names, for this message and those behind it; false when the message
   * is not to be opened here.
   */
  #findSession(index: number, batch: number, at: number, length: number): boolean {
    const { channels, keypairs, limits, lane } = this.#context;
    this.#keypair = -1;
    const keypair = keypairs.find(index);
    if (this.handover !== null && keypair >= 0 && laneOfIndex(index) !== lane) {
      this.#passOn(this.handover, laneOfIndex(index), batch, at, length);
      return false;
    }
    if (keypair < 0) {
      channels.counters.drop(DropReason.ReceiverUnknown);
      return false;
    }
    if (this.#context.ageMs(keypair) >= limits.rejectAfterMs) {
      channels.counters.drop(DropReason.KeypairExpired);
      return false;
    }
    this.#index = index;
    this.#keypair = keypair;
    return true;
  }

  /** Enters a data message into the batch; returns where the next plaintext goes. */
  #add(
    batch: number,
    at: number,
    length: number,
    keypair: number,
    counter: number,
    outAt: number,
  ): number {
    const { i32, f64 } = this.#context.slab;
    const descriptor = this.#batches.at(batch);
    const index = this.#batches.word(batch, BatchWord.Count);
    i32[((descriptor + OPEN_AT) >> 2) + index] = at + DATA_PAYLOAD;
    i32[((descriptor + OPEN_LENGTH) >> 2) + index] = length;
    i32[((descriptor + OPEN_KEYPAIR) >> 2) + index] = keypair;
    i32[((descriptor + OPEN_OUT_AT) >> 2) + index] = outAt;
    f64[((descriptor + OPEN_COUNTER) >> 3) + index] = counter;
    this.#batches.setWord(batch, BatchWord.Count, index + 1);
    return (outAt + length + PLAINTEXT_HEADROOM_BYTES + 15) & ~15;
  }

  /**
   * Gives a data message to the lane of its peer: the kernel had joined it to a run for another one, or
   * it came before the sockets were told which messages are whose.
   */
  #passOn(handover: Handover, lane: number, batch: number, at: number, length: number): void {
    const endpointAt = this.#batches.at(batch) + BATCH_ENDPOINT;
    const tos = this.#batches.word(batch, BatchWord.Tos);
    if (handover.passMessage(lane, at, length, endpointAt, tos)) return;
    this.#context.channels.counters.drop(DropReason.NoBuffer);
  }

  #passHandshake(batch: number, at: number, length: number): void {
    const { slab, channels } = this.#context;
    const ring = channels.handshakes;
    const slot = ring.claim();
    if (slot < 0) {
      channels.counters.drop(DropReason.HandshakeQueueFull);
      return;
    }
    slab.i32[(slot + HANDSHAKE_LENGTH) >> 2] = length;
    copyEndpoint(slab, this.#batches.at(batch) + BATCH_ENDPOINT, slot + HANDSHAKE_ENDPOINT);
    slab.u8.copyWithin(slot + HANDSHAKE_MESSAGE, at, at + length);
    ring.publish();
    this.#context.mainHasMail = true;
  }

  /**
   * Checks what the stage has opened and gives it to the coalescer; then `deliver`. Packets of several
   * receives become one item that way, and the batches are free after the delivery only.
   */
  complete(batch: number): void {
    const i32 = this.#context.slab.i32;
    const descriptor = this.#batches.at(batch);
    const result = (descriptor + OPEN_RESULT) >> 2;
    const count = this.#batches.word(batch, BatchWord.Count);
    if (this.#gro.length + count > GRO_PACKETS_MAX) this.deliver();
    this.#openedWith = -1;
    this.#sourcePeer = -1;
    for (let i = 0; i < count; i++) {
      if (i32[result + i] === 1) this.#authenticated(batch, descriptor, i);
      else this.#context.channels.counters.drop(DropReason.AuthenticationFailed);
    }
    this.#finishPeer(batch);
    this.#sink.arrivedMs = this.#batches.arrivedMs(batch);
    this.#held[this.#heldCount++] = batch;
  }

  /** Delivers everything that has been given to the coalescer, and frees its batches. */
  deliver(): void {
    if (this.#heldCount === 0) return;
    this.#gro.flush(this.#sink);
    while (this.#heldCount > 0) this.#free.give(this.#held[--this.#heldCount]);
  }

  #authenticated(batch: number, descriptor: number, index: number): void {
    const { slab, keypairs, channels } = this.#context;
    const keypair = slab.i32[((descriptor + OPEN_KEYPAIR) >> 2) + index];
    const counter = slab.f64[((descriptor + OPEN_COUNTER) >> 3) + index];
    if (!replayAccept(slab, keypairs.at(keypair) + KEYPAIR_REPLAY, counter)) {
      channels.counters.drop(DropReason.Replayed);
      return;
    }
    if (keypair !== this.#openedWith) this.#beginKeypair(batch, keypair);
    const length = slab.i32[((descriptor + OPEN_LENGTH) >> 2) + index];
    this.#peerBytes += length + DATA_OVERHEAD_BYTES;
    if (length === 0) return;
    this.#peerHasData = true;
    const at = slab.i32[((descriptor + OPEN_OUT_AT) >> 2) + index];
    const bytes = ipPacketBytes(slab.view, at, length);
    if (bytes === 0) {
      channels.counters.drop(DropReason.InnerIpInvalid);
    } else if (this.#sourceOwner(at) !== this.#peer) {
      channels.counters.drop(DropReason.SourceNotAllowed);
    } else {
      carryCongestion(slab.view, at, this.#batches.word(batch, BatchWord.Tos));
      const isCongested = this.#batches.word(batch, BatchWord.Congested) === 1;
      if (isCongested && bytes >= BULK_BYTES_MIN && !this.#tellCongestion(batch, at)) return;
      this.#gro.add(at, bytes);
    }
  }

  /** The messages from here on, as far as nothing else is said, were opened with `keypair`. */
  #beginKeypair(batch: number, keypair: number): void {
    const peer = this.#context.keypairs.word(keypair, KeypairWord.Peer);
    if (peer !== this.#peer) {
      this.#finishPeer(batch);
      this.#peer = peer;
    }
    this.#openedWith = keypair;
    this.#noteKeypair(keypair, peer);
  }

  /**
   * Lets the packet at `at` tell its sender that the queue stands: by a mark, or, if it is TCP's, by
   * its loss. False for one that is lost. Others may not slow down for it: they are left alone.
   */
  #tellCongestion(batch: number, at: number): boolean {
    const { slab: { view }, channels: { counters } } = this.#context;
    carryCongestion(view, at, Ecn.Ce);
    const isMarked = innerEcn(view, at) === Ecn.Ce;
    if (!isMarked && !isTcp(view, at)) return true;
    this.#batches.setWord(batch, BatchWord.Congested, 0);
    if (isMarked) counters.add(LaneCounter.CongestionMarks, 1);
    else counters.drop(DropReason.QueueDelay);
    return isMarked;
  }

  /** Tells main of the first message under a new key, and of an old key that we initiated. */
  #noteKeypair(keypair: number, peer: number): void {
    const { keypairs, peers, limits } = this.#context;
    if (
      keypairs.word(keypair, KeypairWord.ConfirmPosted) === 0 &&
      peers.word(peer, PeerWord.Next) === keypair
    ) {
      keypairs.setWord(keypair, KeypairWord.ConfirmPosted, 1);
      this.#context.post(peer, PeerEvent.ConfirmedNext);
    }
    if (
      this.#context.ageMs(keypair) > limits.rekeyOnReceiveAfterMs &&
      keypairs.word(keypair, KeypairWord.IsInitiator) === 1 &&
      keypairs.word(keypair, KeypairWord.RekeyPosted) === 0
    ) {
      keypairs.setWord(keypair, KeypairWord.RekeyPosted, 1);
      this.#context.post(peer, PeerEvent.ReceivedOnOldKey);
    }
  }

  /** Writes down what the batch brought from the current peer; its endpoint is the batch's. */
  #finishPeer(batch: number): void {
    if (this.#peer < 0) return;
    this.#context.noteReceived(this.#peer, this.#peerBytes, this.#peerHasData);
    this.transmitter.roamTo(this.#peer, this.#batches.at(batch) + BATCH_ENDPOINT);
    this.#peer = -1;
    this.#peerBytes = 0;
    this.#peerHasData = false;
  }

  /** The peer that owns the source address of the packet at `at`. */
  #sourceOwner(at: number): number {
    const slab = this.#context.slab;
    if (slab.u8[at] >> 4 !== 4) return lookupV6(slab, this.#allowedIpsAt, at + IPV6_SOURCE);
    const source = slab.view.getInt32(at + IPV4_SOURCE);
    if (this.#sourcePeer < 0 || source !== this.#source) {
      this.#source = source;
      this.#sourcePeer = lookupV4(slab, this.#allowedIpsAt, at + IPV4_SOURCE);
    }
    return this.#sourcePeer;
  }
}

/** Whether the packet at `at` is TCP's; one with extension headers counts as another. */
function isTcp(view: DataView, at: number): boolean {
  const protocol = ipVersion(view, at) === 4 ? ipv4Protocol(view, at) : ipv6NextHeader(view, at);
  return protocol === IpProtocol.Tcp;
}
