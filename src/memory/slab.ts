/**
 * The slab: one shared WebAssembly memory that holds everything workers have in common, from packet
 * buffers to session tables. Places in it are plain byte offsets ("at"), so a hot loop passes
 * integers around and allocates nothing.
 *
 * Pages are committed by the kernel when they are first touched: a generous size costs address
 * space, not memory. The memory never grows, so every view stays valid for the life of the process.
 */
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import { invariant } from "../base/invariant.ts";

const WASM_PAGE_BYTES = 65_536;

/** The long-lived views of one worker over the shared memory. All start at byte 0. */
export interface Slab {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly view: DataView;
}

/** Makes a slab of at least `byteLength` bytes, all zero. */
export function createSlab(byteLength: number): Slab {
  const pages = Math.ceil(byteLength / WASM_PAGE_BYTES);
  return attachSlab(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
}

/** Builds this worker's views over a slab made by another worker. */
export function attachSlab(memory: WebAssembly.Memory): Slab {
  const buffer = memory.buffer;
  return {
    memory,
    u8: new Uint8Array(buffer),
    u16: new Uint16Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    f64: new Float64Array(buffer),
    view: new DataView(buffer),
  };
}

/** Hands out regions while the memory plan is made; nothing is ever given back. */
export class RegionAllocator {
  #nextAt: number;

  /** `firstAt`: what comes before belongs to others. */
  constructor(firstAt = 64) {
    this.#nextAt = firstAt;
  }

  /** Reserves `byteLength` bytes at a multiple of `alignment` (a power of two) and returns `at`. */
  reserve(byteLength: number, alignment = CACHE_LINE_BYTES): number {
    invariant(byteLength >= 0, "a region cannot have a negative size");
    const at = alignUp(this.#nextAt, alignment);
    this.#nextAt = at + byteLength;
    invariant(this.#nextAt < 2 ** 31, "the memory plan exceeds 2 GiB");
    return at;
  }

  /** The bytes needed for all that was reserved. */
  get byteLength(): number {
    return this.#nextAt;
  }
}
