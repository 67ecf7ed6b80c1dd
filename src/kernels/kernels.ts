/**
 * The WebAssembly kernels over the slab (`kernels.wat`): the internet checksum's inner loops and the
 * byte work of the composed AEAD. A call costs about 5 ns, so they take a whole packet at a time.
 *
 * A `Kernels` object is a `ChecksumKernel` of `src/wire/`. It holds no state: any number of workers
 * may have one over the same slab.
 */
import { KERNELS_WASM_BASE64 } from "./kernels_wasm.ts";

/** The exported functions. All places are byte offsets into the slab, all lengths are bytes. */
export interface Kernels {
  /**
   * The one's-complement sum of the 16-bit little-endian words of `length` (at most 1 MiB) bytes at
   * `at`, plus `initial` (32 bits); an odd last byte counts as the low byte of a word. The result is
   * folded to 16 bits and is zero only when everything added was zero.
   */
  sum(at: number, length: number, initial: number): number;
  /**
   * Copies `length` bytes from `from` to `to` and returns their sum as `sum` does. When the two
   * ranges overlap, `to` must be the lower one.
   */
  copySum(to: number, from: number, length: number, initial: number): number;

  /** Wipes `length` bytes. */
  wipe(at: number, length: number): void;

  // What follows serves `native_composed_aead.ts`; `area` is a scratch area of `aead_scratch.ts`.

  /** Saves a message's neighbours, zeroes the 64 bytes before it, writes key, iv and addresses. */
  aeadSealBegin(
    area: number,
    keyAt: number,
    counter: number,
    at: number,
    length: number,
  ): void;
  /** Takes the Poly1305 key out, restores the bytes before, completes Poly1305's input behind. */
  aeadSealLengths(area: number, at: number, length: number): void;
  /** Writes the tag and restores the bytes behind it. */
  aeadSealEnd(area: number, at: number, length: number): void;
  /** Saves the tag and the 16 bytes behind it, zeroes the 64 bytes before, writes as for sealing. */
  aeadOpenBegin(
    area: number,
    keyAt: number,
    counter: number,
    at: number,
    length: number,
    outAt: number,
  ): void;
  /** Takes the Poly1305 key out of the output's key block, completes Poly1305's input behind. */
  aeadOpenLengths(area: number, at: number, length: number, outAt: number): void;
  /** Restores, compares tags, wipes `written` bytes of output unless they are equal; 1 if so. */
  aeadOpenEnd(
    area: number,
    at: number,
    length: number,
    outAt: number,
    written: number,
  ): number;
}

let compiled: WebAssembly.Module | undefined;

/**
 * Binds the kernels to a shared memory. Throws WebAssembly.CompileError where the processor lacks
 * 128-bit SIMD, and LinkError for a memory that is not shared.
 */
export function instantiateKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(decodeBase64(KERNELS_WASM_BASE64));
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  const exported = instance.exports as Record<string, CallableFunction>;
  return {
    sum: exported.sum,
    copySum: exported.copy_sum,
    wipe: exported.wipe,
    aeadSealBegin: exported.aead_seal_begin,
    aeadSealLengths: exported.aead_seal_lengths,
    aeadSealEnd: exported.aead_seal_end,
    aeadOpenBegin: exported.aead_open_begin,
    aeadOpenLengths: exported.aead_open_lengths,
    aeadOpenEnd: exported.aead_open_end,
  } as unknown as Kernels;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
