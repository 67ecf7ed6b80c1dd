/**
 * From super-packets to sealed batches: packets are split straight into the send layout, several
 * reads share a batch, and nonces are reserved when a batch closes, immediately before it is sealed.
 *
 * A peer has at most one open batch. It closes when it is full, when a longer packet, another key or
 * another TOS comes, after a shorter packet (only the last datagram of a send may be shorter), and
 * when the loop has nothing more to read.
 *
 * Packets that differ by little share a send all the same: the shorter ones get more padding, which a
 * receiver cuts off by the inner IP length. Where the longer one comes later, those before it are
 * moved apart. A send costs as much as sealing some kilobytes.
 */
import { segmentBytes, splitSegments } from "../offload/gso_split.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import { KeypairField, KeypairWord } from "../tables/keypair_table.ts";
import {
  DATA_OVERHEAD_BYTES,
  DATA_PAYLOAD,
  DATA_TAG_BYTES,
  PADDING_BYTES,
  writeDataHeader,
} from "../wire/wireguard.ts";
import { BatchKind, type BatchTable, BatchWord, FreeList } from "./batch.ts";
import type { LaneContext } from "./lane_context.ts";
import { SEND_BYTES_MAX } from "./limits.ts";
import { LaneWord } from "./shared_state.ts";

/**
 * The length of a packet after padding: a multiple of 16, but not beyond the MTU; an MTU of 0 stands
 * for one that is not known.
 */
export function paddedBytes(bytes: number, mtu: number): number {
  if (mtu === 0) return (bytes + PADDING_BYTES - 1) & -PADDING_BYTES;
  const rest = bytes > mtu ? bytes % mtu : bytes;
  const padded = (rest + PADDING_BYTES - 1) & -PADDING_BYTES;
  return bytes + Math.min(padded, mtu) - rest;
}

/** Padding that a message may get so that it is as long as the others of its send. */
export const EVEN_BYTES_MAX = 64;
/** Messages longer than this are not moved apart. */
const WIDEN_STRIDE_MAX = 512;

/** The open seal batches of one lane. */
export class SendBatches {
  readonly #context: LaneContext;
  readonly #batches: BatchTable;
  readonly #openOf: Int32Array;
  readonly #open: Int32Array;
  #openCount = 0;
  readonly #free: FreeList;

  /** `messagesMax` is what one send may carry (1 when the kernel cannot segment). */
  constructor(context: LaneContext, readonly messagesMax: number) {
    this.#context = context;
    this.#batches = context.channels.batches;
    const sealCount = this.#batches.plan.sealCount;
    this.#openOf = new Int32Array(context.peers.capacity).fill(-1);
    this.#open = new Int32Array(sealCount);
    this.#free = new FreeList(0, sealCount);
  }

  /** Whether every batch is free: nothing is open, in the stage or waiting for the socket. */
  get isIdle(): boolean {
    return this.#free.length === this.#batches.plan.sealCount;
  }

  /** Gives a batch back after its send. */
  release(batch: number): void {
    this.#free.give(batch);
  }

  /**
   * Places segments `first ..` of a super-packet for `peer`; returns the index of the first one
   * that found no free batch, or the segment count when all are placed.
   */
  append(
    packet: SuperPacket,
    peer: number,
    keypair: number,
    tos: number,
    first: number,
  ): number {
    const mtu = this.#context.channels.word(LaneWord.Mtu);
    const lastIndex = packet.segmentCount - 1;
    const fullBytes = paddedBytes(segmentBytes(packet, 0), mtu) + DATA_OVERHEAD_BYTES;
    const lastBytes = paddedBytes(segmentBytes(packet, lastIndex), mtu) + DATA_OVERHEAD_BYTES;
    const equalEnd = lastBytes === fullBytes ? lastIndex + 1 : lastIndex;
    let next = first;
    while (next <= lastIndex) {
      const messageBytes = next < equalEnd ? fullBytes : lastBytes;
      const batch = this.#batchFor(peer, keypair, tos, messageBytes);
      if (batch < 0) return next;
      const run = next < equalEnd ? equalEnd - next : 1;
      next += this.#place(batch, packet, next, run, this.#evenBytes(batch, messageBytes));
    }
    return next;
  }

  /** Places one empty message; false when no batch is free. */
  appendKeepalive(peer: number, keypair: number): boolean {
    const batch = this.#batchFor(peer, keypair, 0, DATA_OVERHEAD_BYTES);
    if (batch < 0) return false;
    const batches = this.#batches;
    batches.setWord(batch, BatchWord.Count, batches.word(batch, BatchWord.Count) + 1);
    batches.setWord(batch, BatchWord.LastBytes, DATA_OVERHEAD_BYTES);
    this.#close(batch);
    return true;
  }

  /** Closes every open batch, oldest first. */
  flush(): void {
    while (this.#openCount > 0) this.#close(this.#open[0]);
  }

  /** The open batch of `peer` if the message fits it, else a new one; -1 when none is free. */
  #batchFor(peer: number, keypair: number, tos: number, messageBytes: number): number {
    const open = this.#openOf[peer];
    if (open >= 0) {
      if (this.#fits(open, keypair, tos, messageBytes)) return open;
      this.#close(open);
    }
    if (this.#free.length === 0 && this.#openCount > 0) this.#close(this.#open[0]);
    const batch = this.#free.take();
    if (batch < 0) return -1;
    const batches = this.#batches;
    batches.setWord(batch, BatchWord.Kind, BatchKind.Seal);
    batches.setWord(batch, BatchWord.Count, 0);
    batches.setWord(batch, BatchWord.Peer, peer);
    batches.setWord(batch, BatchWord.Keypair, keypair);
    batches.setWord(batch, BatchWord.Stride, messageBytes);
    batches.setWord(batch, BatchWord.LastBytes, messageBytes);
    batches.setWord(batch, BatchWord.LeastBytes, messageBytes);
    batches.setWord(batch, BatchWord.Tos, tos);
    batches.setWord(batch, BatchWord.HasData, 0);
    this.#openOf[peer] = batch;
    this.#open[this.#openCount++] = batch;
    return batch;
  }

  /** Whether a message can go into the batch, whose messages are moved apart for it if need be. */
  #fits(batch: number, keypair: number, tos: number, messageBytes: number): boolean {
    const batches = this.#batches;
    return batches.word(batch, BatchWord.Keypair) === keypair &&
      batches.word(batch, BatchWord.Tos) === tos &&
      (messageBytes <= batches.word(batch, BatchWord.Stride) || this.#widen(batch, messageBytes));
  }

  /** Makes all messages of a batch `stride` bytes long; false, and nothing is changed, if that is much. */
  #widen(batch: number, stride: number): boolean {
    const batches = this.#batches;
    const before = batches.word(batch, BatchWord.Stride);
    const count = batches.word(batch, BatchWord.Count);
    if (before > WIDEN_STRIDE_MAX || count >= this.#capacity(stride)) return false;
    if (stride - batches.word(batch, BatchWord.LeastBytes) > EVEN_BYTES_MAX) return false;
    const { u8 } = this.#context.slab;
    const messagesAt = batches.messagesAt(batch);
    for (let i = count - 1; i >= 0; i--) {
      const from = messagesAt + i * before, to = messagesAt + i * stride;
      const packetEnd = to + before - DATA_TAG_BYTES;
      u8.copyWithin(to, from, from + before - DATA_TAG_BYTES);
      u8.fill(0, packetEnd, packetEnd + stride - before);
    }
    batches.setWord(batch, BatchWord.Stride, stride);
    return true;
  }

  /** What a message of `messageBytes` bytes takes in the batch: as much as the others, if it is near. */
  #evenBytes(batch: number, messageBytes: number): number {
    const batches = this.#batches;
    const stride = batches.word(batch, BatchWord.Stride);
    if (stride - messageBytes > EVEN_BYTES_MAX) return messageBytes;
    const least = batches.word(batch, BatchWord.LeastBytes);
    if (messageBytes < least) batches.setWord(batch, BatchWord.LeastBytes, messageBytes);
    return stride;
  }

  /** Splits up to `run` equal segments into the batch, closes it if it is full; how many it took. */
  #place(
    batch: number,
    packet: SuperPacket,
    first: number,
    run: number,
    messageBytes: number,
  ): number {
    const { slab, kernel } = this.#context;
    const batches = this.#batches;
    const stride = batches.word(batch, BatchWord.Stride);
    const count = batches.word(batch, BatchWord.Count);
    const capacity = this.#capacity(stride);
    const taken = messageBytes < stride ? 1 : Math.min(run, capacity - count);
    const packetsAt = batches.messagesAt(batch) + count * stride + DATA_PAYLOAD;
    splitSegments(slab, kernel, packet, first, taken, packetsAt, stride);
    const bytes = segmentBytes(packet, first);
    const padded = messageBytes - DATA_OVERHEAD_BYTES;
    if (padded !== bytes || taken > 1) this.#pad(packet, first, taken, packetsAt, stride, padded);
    batches.setWord(batch, BatchWord.Count, count + taken);
    batches.setWord(batch, BatchWord.LastBytes, messageBytes);
    batches.setWord(batch, BatchWord.HasData, 1);
    if (messageBytes < stride || count + taken === capacity) this.#close(batch);
    return taken;
  }

  #pad(
    packet: SuperPacket,
    first: number,
    count: number,
    packetsAt: number,
    stride: number,
    padded: number,
  ): void {
    const u8 = this.#context.slab.u8;
    for (let i = 0; i < count; i++) {
      const packetAt = packetsAt + i * stride;
      for (let at = packetAt + segmentBytes(packet, first + i); at < packetAt + padded; at++) {
        u8[at] = 0;
      }
    }
  }

  /** Messages of `stride` bytes that one send takes. */
  #capacity(stride: number): number {
    return Math.max(1, Math.min(this.messagesMax, Math.floor(SEND_BYTES_MAX / stride)));
  }

  /** Reserves the nonces, writes the headers and hands the batch to the stage. */
  #close(batch: number): void {
    const { keypairs } = this.#context;
    const batches = this.#batches;
    this.#forget(batch);
    const keypair = batches.word(batch, BatchWord.Keypair);
    const count = batches.word(batch, BatchWord.Count);
    const counter = keypairs.field(keypair, KeypairField.SendCounter);
    keypairs.setField(keypair, KeypairField.SendCounter, counter + count);
    batches.setCounter(batch, counter);
    batches.setWord(batch, BatchWord.Sent, 0);
    batches.setWord(batch, BatchWord.Retries, 0);
    batches.setWord(batch, BatchWord.SingleCause, 0);
    this.#writeHeaders(batch, keypair, count, counter);
    const hasData = batches.word(batch, BatchWord.HasData) === 1;
    this.#context.noteSent(
      batches.word(batch, BatchWord.Peer),
      batches.bytes(batch),
      hasData,
    );
    this.#context.submit(batch);
  }

  #writeHeaders(batch: number, keypair: number, count: number, counter: number): void {
    const view = this.#context.slab.view;
    const stride = this.#batches.word(batch, BatchWord.Stride);
    const remoteIndex = this.#context.keypairs.word(keypair, KeypairWord.RemoteIndex);
    let at = this.#batches.messagesAt(batch);
    for (let i = 0; i < count; i++) {
      writeDataHeader(view, at, remoteIndex, counter + i);
      at += stride;
    }
  }

  /** Takes a batch off the list of open ones, which stays in order of age. */
  #forget(batch: number): void {
    this.#openOf[this.#batches.word(batch, BatchWord.Peer)] = -1;
    let at = 0;
    while (this.#open[at] !== batch) at++;
    this.#openCount--;
    // There are few, and `copyWithin` leaves compiled code.
    for (; at < this.#openCount; at++) this.#open[at] = this.#open[at + 1];
  }
}
