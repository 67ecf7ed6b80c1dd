/**
 * What one lane has received and another one has to deal with: packets that the TUN gave to a queue
 * whose lane does not own their peer, and data messages that came to the socket of another lane.
 *
 * Not the bytes go over but their place. A lane of several reads its TUN queue into buffers of its own,
 * gives one away with the packet in it, and gets it back when the packet has been cut. Each ordered
 * pair of lanes has two rings, one for full buffers and one for those that come back; both have a slot
 * for every buffer, so neither can overflow. A lane whose buffers are all away stops reading its queue,
 * which fills up and stops the senders of this host: nothing is dropped.
 *
 * What one lane gives to another stays in order. A flow keeps its queue as long as the answers to it
 * are written to the same one (`queue_choice.ts`), so it stays in order as a whole.
 *
 * ```
 * lane 0: [read into a buffer] ── packets 0 to 1 ──▶ lane 1: [route, cut, seal, send]
 *                    ▲                                  │
 *                    └──────────── buffers 1 to 0 ──────┘
 * ```
 */
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import { invariant } from "../base/invariant.ts";
import { Doorbell, DOORBELL_BYTES, type Signal } from "../memory/doorbell.ts";
import { Ring, ringBytes } from "../memory/ring.ts";
import type { RegionAllocator, Slab } from "../memory/slab.ts";
import { copyEndpoint, ENDPOINT_BYTES } from "../tables/endpoint.ts";
import { FreeList } from "./batch.ts";
import { TUN_READ_BYTES } from "./limits.ts";

/** Buffers of each lane: what may be on the way to others and back. */
export const HANDOVER_BUFFERS = 128;
const BUFFER_BYTES = alignUp(TUN_READ_BYTES, CACHE_LINE_BYTES);

/** A full buffer on its way, in bytes from its slot: number, length, and what is in it. */
const SLOT_BUFFER = 0;
const SLOT_LENGTH = 4;
const SLOT_KIND = 8;
/** The outer TOS byte of a message. */
const SLOT_TOS = 12;
const SLOT_BYTES = 16;
const RETURN_SLOT_BYTES = 4;

/** What a buffer holds: a vnet header and a packet, or an endpoint record and a data message. */
export const HandoverKind = { Packet: 0, Message: 1 } as const;

/** The places of one lane's share. */
export interface HandoverPlan {
  readonly buffersAt: number;
  /** Rung when a buffer comes back to a lane that sleeps for want of one. */
  readonly roomBellAt: number;
  /** The rings from this lane, and those that its buffers come back by, by the number of the other. */
  readonly ringsAt: readonly number[];
  readonly returnsAt: readonly number[];
}

/** Reserves the share of one of `lanes` lanes; null where there is only one. */
export function planHandover(regions: RegionAllocator, lanes: number): HandoverPlan | null {
  if (lanes === 1) return null;
  const rings = (slotBytes: number) =>
    Array.from({ length: lanes }, () => regions.reserve(ringBytes(HANDOVER_BUFFERS, slotBytes)));
  return {
    buffersAt: regions.reserve(HANDOVER_BUFFERS * BUFFER_BYTES),
    roomBellAt: regions.reserve(DOORBELL_BYTES),
    ringsAt: rings(SLOT_BYTES),
    returnsAt: rings(RETURN_SLOT_BYTES),
  };
}

/** What an end needs of one of the lanes, the own one included. */
export interface HandoverLane {
  readonly plan: HandoverPlan;
  readonly bellAt: number;
  /** Ends the sleep of that lane. */
  readonly signal: Signal;
}

/** The rings and bells towards one other lane. */
interface Neighbour {
  readonly packetsTo: Ring;
  readonly buffersFrom: Ring;
  readonly packetsFrom: Ring;
  readonly buffersTo: Ring;
  readonly buffersAt: number;
  readonly bell: Doorbell;
  readonly roomBell: Doorbell;
}

/** One lane's end of all rings; see the module's text. */
export class Handover {
  /** Of what `take` has taken: where it stands, its length, its `HandoverKind` and TOS. */
  takenAt = 0;
  takenBytes = 0;
  takenKind: number = HandoverKind.Packet;
  takenTos = 0;
  readonly #slab: Slab;
  readonly #buffersAt: number;
  readonly #free = new FreeList(0, HANDOVER_BUFFERS);
  readonly #roomBell: Doorbell;
  /** By number; undefined in the own place. */
  readonly #neighbours: readonly (Neighbour | undefined)[];
  /** The buffer that the TUN is read to, -1 while all are away. */
  #reading: number;
  /** The lane that `take` looks at first, so that none has to wait for another. */
  #next = 0;
  /** Whose buffer is being dealt with, and which it is. */
  #takenFrom: Neighbour | null = null;
  #takenBuffer = 0;

  constructor(slab: Slab, lanes: readonly HandoverLane[], own: number) {
    const { plan, signal } = lanes[own];
    this.#slab = slab;
    this.#buffersAt = plan.buffersAt;
    this.#roomBell = new Doorbell(slab, plan.roomBellAt, signal);
    this.#neighbours = lanes.map((other, number) =>
      number === own ? undefined : makeNeighbour(slab, plan, own, other, number)
    );
    this.#reading = this.#free.take();
  }

  /** Where the next packet of the TUN goes, -1 while no buffer is there. */
  get readAt(): number {
    return this.#reading < 0 ? -1 : this.#placeOf(this.#reading);
  }

  /** Whether the TUN may be read: looks for buffers that have come back if it has to. */
  get hasRoom(): boolean {
    if (this.#reading < 0) this.#reading = this.#takeFree();
    return this.#reading >= 0;
  }

  /** Gives the packet at `readAt`, `bytes` with its vnet header, to another lane. */
  pass(lane: number, bytes: number): void {
    this.#send(lane, this.#reading, bytes, HandoverKind.Packet, 0);
    this.#reading = this.#takeFree();
  }

  /** Copies a data message to another lane with the sender's endpoint; false when no buffer is left. */
  passMessage(lane: number, at: number, bytes: number, endpointAt: number, tos: number): boolean {
    const buffer = this.#takeFree();
    if (buffer < 0) return false;
    const to = this.#placeOf(buffer);
    copyEndpoint(this.#slab, endpointAt, to);
    this.#slab.u8.copyWithin(to + ENDPOINT_BYTES, at, at + bytes);
    this.#send(lane, buffer, bytes, HandoverKind.Message, tos);
    return true;
  }

  /**
   * Takes the next of what others have given, one from each by turns; false when there is nothing. It
   * is the caller's until `giveBack`, which comes before the next `take`.
   */
  take(): boolean {
    for (let i = 0; i < this.#neighbours.length; i++) {
      const neighbour = this.#neighbours[this.#next];
      this.#next = (this.#next + 1) % this.#neighbours.length;
      if (neighbour !== undefined && this.#takeFrom(neighbour)) return true;
    }
    return false;
  }

  /** Gives back the buffer of what was taken; nothing when none is held. */
  giveBack(): void {
    const from = this.#takenFrom;
    if (from === null) return;
    this.#slab.i32[claim(from.buffersTo) >> 2] = this.#takenBuffer;
    from.buffersTo.publish();
    from.roomBell.ring();
    this.#takenFrom = null;
  }

  /** The lane is awake: buffers that come back ring no bell. */
  beginTurn(): void {
    this.#roomBell.isAwake();
  }

  /** To be called before the lane sleeps; false when there is something to do after all. */
  prepareSleep(): boolean {
    if (!this.hasRoom) {
      this.#roomBell.willSleep();
      if (this.hasRoom) return false;
    }
    return this.#neighbours.every((other) => other === undefined || other.packetsFrom.peek() < 0);
  }

  #placeOf(buffer: number): number {
    return this.#buffersAt + buffer * BUFFER_BYTES;
  }

  #send(lane: number, buffer: number, bytes: number, kind: number, tos: number): void {
    const { packetsTo, bell } = this.#neighbours[lane]!;
    const { i32 } = this.#slab;
    const slot = claim(packetsTo);
    i32[(slot + SLOT_BUFFER) >> 2] = buffer;
    i32[(slot + SLOT_LENGTH) >> 2] = bytes;
    i32[(slot + SLOT_KIND) >> 2] = kind;
    i32[(slot + SLOT_TOS) >> 2] = tos;
    packetsTo.publish();
    bell.ring();
  }

  #takeFrom(neighbour: Neighbour): boolean {
    const slot = neighbour.packetsFrom.peek();
    if (slot < 0) return false;
    const { i32 } = this.#slab;
    this.#takenFrom = neighbour;
    this.#takenBuffer = i32[(slot + SLOT_BUFFER) >> 2];
    this.takenAt = neighbour.buffersAt + this.#takenBuffer * BUFFER_BYTES;
    this.takenBytes = i32[(slot + SLOT_LENGTH) >> 2];
    this.takenKind = i32[(slot + SLOT_KIND) >> 2];
    this.takenTos = i32[(slot + SLOT_TOS) >> 2];
    neighbour.packetsFrom.release();
    return true;
  }

  /** A free buffer, the one used last if it has come back; -1 when all are away. */
  #takeFree(): number {
    const { i32 } = this.#slab;
    for (const neighbour of this.#neighbours) {
      if (neighbour === undefined) continue;
      for (;;) {
        const slot = neighbour.buffersFrom.peek();
        if (slot < 0) break;
        this.#free.give(i32[slot >> 2]);
        neighbour.buffersFrom.release();
      }
    }
    return this.#free.take();
  }
}

function makeNeighbour(
  slab: Slab,
  plan: HandoverPlan,
  own: number,
  other: HandoverLane,
  number: number,
): Neighbour {
  const ring = (at: number, slotBytes: number) => new Ring(slab, at, HANDOVER_BUFFERS, slotBytes);
  return {
    packetsTo: ring(plan.ringsAt[number], SLOT_BYTES),
    buffersFrom: ring(plan.returnsAt[number], RETURN_SLOT_BYTES),
    packetsFrom: ring(other.plan.ringsAt[own], SLOT_BYTES),
    buffersTo: ring(other.plan.returnsAt[own], RETURN_SLOT_BYTES),
    buffersAt: other.plan.buffersAt,
    bell: new Doorbell(slab, other.bellAt, other.signal),
    roomBell: new Doorbell(slab, other.plan.roomBellAt, other.signal),
  };
}

function claim(ring: Ring): number {
  const slot = ring.claim();
  invariant(slot >= 0, "a ring between lanes has a slot for every buffer");
  return slot;
}
