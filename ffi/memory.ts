/**
 * Memory that the kernel reads and writes: addresses of places in a slab, and small buffers of our
 * own for structures.
 */

/** Views over one buffer, all from byte 0; a slab of `src/memory/` is one. */
export interface MemoryViews {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
}

const CACHE_ENTRIES = 1024;
const CACHE_SHIFT = 32 - 10;

/**
 * A slab with its address. Places are byte offsets ("at"); the buffer must never move or grow, as
 * is so for a fixed WebAssembly memory and for an ArrayBuffer that is not resizable.
 */
export class FfiMemory {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  /** Address of byte 0. */
  readonly address: bigint;
  /** The same as a number; user addresses have 47 or 48 bits, so it is exact. */
  readonly addressNumber: number;

  readonly #low: number;
  readonly #high: number;
  readonly #cachedAt = new Int32Array(CACHE_ENTRIES).fill(-1);
  readonly #cachedAddress: bigint[] = new Array(CACHE_ENTRIES).fill(0n);

  constructor(views: MemoryViews) {
    this.u8 = views.u8;
    this.i32 = views.i32;
    this.u32 = views.u32;
    this.view = views.view;
    this.address = addressOfBytes(views.u8);
    this.addressNumber = Number(this.address);
    this.#low = this.addressNumber % 4294967296;
    this.#high = Math.floor(this.addressNumber / 4294967296);
  }

  /**
   * The address of a place, for a `u64` parameter. A direct-mapped cache makes the places that are
   * used again and again (batches, message headers) free of allocation.
   */
  addressOf(at: number): bigint {
    const slot = Math.imul(at, 0x9e3779b1) >>> CACHE_SHIFT;
    if (this.#cachedAt[slot] === at) return this.#cachedAddress[slot];
    const address = BigInt(this.addressNumber + at);
    this.#cachedAt[slot] = at;
    this.#cachedAddress[slot] = address;
    return address;
  }

  /** Writes the address of `target` as a pointer at `at` (a multiple of 4), without a BigInt. */
  writeAddress(at: number, target: number): void {
    const low = this.#low + target;
    const word = at >> 2;
    this.u32[word] = low;
    this.u32[word + 1] = low >= 4294967296 ? this.#high + 1 : this.#high;
  }

  /**
   * Writes a `struct iovec { void *iov_base; size_t iov_len; }` at `at` (a multiple of 4) for
   * `length` bytes at `target`.
   */
  writeIovec(at: number, target: number, length: number): void {
    const low = this.#low + target;
    const word = at >> 2;
    const u32 = this.u32;
    u32[word] = low;
    u32[word + 1] = low >= 4294967296 ? this.#high + 1 : this.#high;
    u32[word + 2] = length;
    u32[word + 3] = 0;
  }
}

/** Views and address over `byteLength` fresh zero bytes outside any slab. */
export function createFfiMemory(byteLength: number): FfiMemory {
  const buffer = new ArrayBuffer((byteLength + 7) & ~7);
  return new FfiMemory({
    u8: new Uint8Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    view: new DataView(buffer),
  });
}

/**
 * A byte array that the garbage collector will not move. `new Uint8Array(8)` may live inside the
 * JavaScript heap; one over an explicit ArrayBuffer never does.
 */
export function fixedBytes(byteLength: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(byteLength));
}

/** The address of the first byte of an array made by `fixedBytes`, or of a slab. */
export function addressOfBytes(bytes: Uint8Array): bigint {
  const pointer = Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>);
  return BigInt(Deno.UnsafePointer.value(pointer));
}

const encoder = new TextEncoder();

/** A text as C wants it, zero byte included. Throws TypeError for a text with a zero byte in it. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError("Cannot pass a text with a zero byte to the system");
  const bytes = fixedBytes(encoder.encode(text).length + 1);
  encoder.encodeInto(text, bytes);
  return bytes;
}
