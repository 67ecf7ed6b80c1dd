/**
 * Which item of the current flush a flow's packets went to last: a small open-addressed hash table
 * over typed arrays. It holds no keys; a flow's key is read from the first packet of its item.
 *
 * Emptying it is one increment: every slot carries the number of the flush that filled it.
 */

const SLOT_COUNT = 512;
const SLOT_MASK = SLOT_COUNT - 1;
const FLUSH_MAX = 0x7fffffff;

/** Two packets are of one flow when version, protocol, addresses and ports are the same. */
function isSameFlow(
  view: DataView,
  at: number,
  transport: number,
  otherAt: number,
  otherTransport: number,
): boolean {
  if (view.getInt32(at + transport) !== view.getInt32(otherAt + otherTransport)) return false;
  const version = view.getUint8(at) >>> 4;
  if (version !== view.getUint8(otherAt) >>> 4) return false;
  if (version === 4) {
    return view.getInt32(at + 12) === view.getInt32(otherAt + 12) &&
      view.getInt32(at + 16) === view.getInt32(otherAt + 16) &&
      view.getUint8(at + 9) === view.getUint8(otherAt + 9);
  }
  for (let i = 8; i < 40; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(otherAt + i)) return false;
  }
  return view.getUint8(at + 6) === view.getUint8(otherAt + 6);
}

/** A hash of what `isSameFlow` compares, but for version and protocol. */
function flowHash(view: DataView, at: number, transport: number): number {
  let hash = view.getInt32(at + transport);
  if (view.getUint8(at) >>> 4 === 4) {
    hash = Math.imul(hash ^ view.getInt32(at + 12), 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at + 16), 0x85ebca6b);
  } else {
    for (let i = 8; i < 40; i += 4) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at + i), 0x85ebca6b);
    }
  }
  return hash ^ (hash >>> 16);
}

/** Maps flows to items. At most `SLOT_COUNT / 2` flows enter between two calls of `clear`. */
export class GroFlowTable {
  readonly #slotItem = new Int32Array(SLOT_COUNT);
  readonly #slotFlush = new Int32Array(SLOT_COUNT);
  #flush = 1;

  /** Forgets all flows. */
  clear(): void {
    this.#flush++;
    if (this.#flush < FLUSH_MAX) return;
    this.#slotFlush.fill(0);
    this.#flush = 1;
  }

  /**
   * The slot of the flow of the packet at `at`. `itemAt` and `itemTransport` tell of each item where
   * its packet stands and how long the IP header of that is. `itemOf(slot)` is -1 for a new flow.
   */
  find(
    view: DataView,
    at: number,
    transport: number,
    itemAt: Int32Array,
    itemTransport: Uint8Array,
  ): number {
    const slotItem = this.#slotItem;
    const slotFlush = this.#slotFlush;
    let slot = flowHash(view, at, transport) & SLOT_MASK;
    while (slotFlush[slot] === this.#flush) {
      const item = slotItem[slot];
      if (isSameFlow(view, at, transport, itemAt[item], itemTransport[item])) break;
      slot = (slot + 1) & SLOT_MASK;
    }
    return slot;
  }

  /** The item that stands in a slot, or -1. */
  itemOf(slot: number): number {
    return this.#slotFlush[slot] === this.#flush ? this.#slotItem[slot] : -1;
  }

  /** Makes `item` the last one of the flow in `slot`. */
  set(slot: number, item: number): void {
    this.#slotFlush[slot] = this.#flush;
    this.#slotItem[slot] = item;
  }
}
