/**
 * When addresses were last talked to: main names up to 256 of them, a lane writes the time of the last
 * packet from or to each. Main hears of it at most once a second per address, and calls whoever asked:
 * nothing is called in the loop.
 *
 * ```
 * watch list  (a published block)  512 slots of 24 bytes: u8 IP version (0: free), u8 number, 6 zero,
 *                                  16 bytes address; i32 how many at the front
 * times       (per lane)           256 f64, by number
 * ```
 */
import type { Slab } from "../memory/slab.ts";
import type { RetireEpochs } from "../tables/allowed_ips_pool.ts";
import { publishedAt, PublishedBlock, publishedBytes } from "../tables/published_block.ts";
import { addressBytes } from "../wire/ip.ts";

/** Addresses that can be watched at once. */
export const WATCHED_MAX = 256;
/** An address is told of again when this much time has passed. */
const NOTICE_INTERVAL_MS = 1000;

const SLOT_COUNT = 512;
const SLOT_BYTES = 24;
const FIRST_SLOT = 64;
const BLOCK_BYTES = FIRST_SLOT + SLOT_COUNT * SLOT_BYTES;
const NUMBER = 1;
const ADDRESS = 8;

/** Bytes of slab for the watch list, and for the times of one lane; at multiples of 64. */
export const WATCH_LIST_BYTES: number = publishedBytes(BLOCK_BYTES);
export const ACTIVITY_TIMES_BYTES: number = WATCHED_MAX * 8;

function slotOf(view: DataView, at: number, bytes: number): number {
  let hash = bytes;
  for (let i = 0; i < bytes; i += 4) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at + i), 0x85ebca6b);
  }
  return (hash ^ (hash >>> 16)) & (SLOT_COUNT - 1);
}

/** A lane's end. */
export class ActivityRecorder {
  readonly #slab: Slab;
  readonly #listAt: number;
  readonly #timesAt: number;

  constructor(slab: Slab, listAt: number, timesAt: number) {
    this.#slab = slab;
    this.#listAt = listAt;
    this.#timesAt = timesAt;
  }

  /** Whether any address is watched. */
  get isOn(): boolean {
    return this.#slab.i32[publishedAt(this.#slab, this.#listAt, BLOCK_BYTES) >> 2] !== 0;
  }

  /** Notes a packet from or to the address at `at`; whether main should hear of it. */
  note(at: number, ipVersion: number, nowMs: number): boolean {
    const { view, f64 } = this.#slab;
    const slotsAt = publishedAt(this.#slab, this.#listAt, BLOCK_BYTES) + FIRST_SLOT;
    const length = addressBytes(ipVersion);
    for (let slot = slotOf(view, at, length);; slot = (slot + 1) & (SLOT_COUNT - 1)) {
      const entry = slotsAt + slot * SLOT_BYTES;
      const version = view.getUint8(entry);
      if (version === 0) return false;
      if (version !== ipVersion || !isSame(view, entry + ADDRESS, at, length)) continue;
      const word = (this.#timesAt >> 3) + view.getUint8(entry + NUMBER);
      const before = f64[word];
      f64[word] = nowMs;
      return nowMs - before >= NOTICE_INTERVAL_MS;
    }
  }
}

function isSame(view: DataView, at: number, otherAt: number, bytes: number): boolean {
  for (let i = 0; i < bytes; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(otherAt + i)) return false;
  }
  return true;
}

interface Watched {
  readonly address: Uint8Array;
  readonly number: number;
  readonly onActivity: (lastMs: number) => void;
  toldMs: number;
}

/** Main's end, for all lanes. */
export class ActivityWatch {
  readonly #slab: Slab;
  readonly #published: PublishedBlock;
  readonly #timesAt: readonly number[];
  readonly #watched = new Set<Watched>();

  constructor(slab: Slab, listAt: number, timesAt: readonly number[], epochs: RetireEpochs) {
    this.#slab = slab;
    this.#published = new PublishedBlock(slab, listAt, BLOCK_BYTES, epochs);
    this.#timesAt = timesAt;
  }

  /**
   * Calls `onActivity` with the time of the last packet when there was one, soon after the first and
   * then about once a second; the result ends it. Throws RangeError when `WATCHED_MAX` are watched.
   */
  watch(address: Uint8Array, onActivity: (lastMs: number) => void): () => void {
    const taken = new Set([...this.#watched].map(({ number }) => number));
    let number = 0;
    while (taken.has(number)) number++;
    if (number >= WATCHED_MAX) {
      throw new RangeError(`Cannot watch another address: ${WATCHED_MAX} are watched`);
    }
    for (const at of this.#timesAt) this.#slab.f64[(at >> 3) + number] = -Infinity;
    const watched = { address, number, onActivity, toldMs: -Infinity };
    this.#watched.add(watched);
    this.#publish();
    return () => {
      if (this.#watched.delete(watched)) this.#publish();
    };
  }

  /** The time of the last packet from or to a watched address; -Infinity for none. */
  lastMs(address: Uint8Array): number {
    const watched = [...this.#watched].filter((other) => isEqualAddress(other.address, address));
    return Math.max(-Infinity, ...watched.map((other) => this.#lastOf(other)));
  }

  /** Whether a list waits for lanes. */
  get isPending(): boolean {
    return this.#published.isPending;
  }

  /** Publishes what had to wait for lanes. */
  retry(): void {
    this.#published.retry();
  }

  /** Calls those whose address has been active; call it when a lane has said so. */
  deliver(): void {
    for (const watched of [...this.#watched]) {
      const lastMs = this.#lastOf(watched);
      if (lastMs <= watched.toldMs) continue;
      watched.toldMs = lastMs;
      watched.onActivity(lastMs);
    }
  }

  #lastOf({ number }: Watched): number {
    return Math.max(...this.#timesAt.map((at) => this.#slab.f64[(at >> 3) + number]));
  }

  #publish(): void {
    this.#published.publish((blockAt) => {
      const { i32, u8, view } = this.#slab;
      i32[blockAt >> 2] = this.#watched.size;
      for (const { address, number } of this.#watched) {
        const entryAt = this.#freeSlot(blockAt, address);
        view.setUint8(entryAt, address.length === 4 ? 4 : 6);
        view.setUint8(entryAt + NUMBER, number);
        u8.set(address, entryAt + ADDRESS);
      }
    });
  }

  #freeSlot(blockAt: number, address: Uint8Array): number {
    const copy = new DataView(address.slice().buffer);
    let slot = slotOf(copy, 0, address.length);
    const placeOf = () => blockAt + FIRST_SLOT + slot * SLOT_BYTES;
    while (this.#slab.u8[placeOf()] !== 0) slot = (slot + 1) & (SLOT_COUNT - 1);
    return placeOf();
  }
}

function isEqualAddress(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
