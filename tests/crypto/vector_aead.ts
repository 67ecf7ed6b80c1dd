/**
 * Puts published vectors, which have associated data and arbitrary nonces, through the composed
 * packet AEAD, which knows neither: its kernels and its libcrypto are wrapped so that the nonce of
 * the vector takes the place of the counter's, and the associated data goes into Poly1305 before the
 * ciphertext. Everything else is the code that packets run through.
 */
import { Libcrypto, type LibcryptoSymbols } from "../../ffi/libcrypto.ts";
import { addressOfBytes } from "../../ffi/memory.ts";
import { AEAD_AREA_BYTES, AeadArea } from "../../src/crypto/aead_scratch.ts";
import { ComposedPacketAead } from "../../src/crypto/native_composed_aead.ts";
import { instantiateKernels, type Kernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { libcrypto, SCRATCH_AT } from "./implementations.ts";

const KEY_AT = 4096;
const MESSAGE_AT = 8192;
const OPENED_AT = 65_536;

/** The composed AEAD with the signature of an ordinary one. */
export class VectorAead {
  readonly #slab = createSlab(2 * 65_536);
  readonly #aead: ComposedPacketAead;
  #nonce: Uint8Array = new Uint8Array(12);
  #ad: Uint8Array = new Uint8Array(0);

  constructor() {
    const library = libcrypto();
    const wrapped = new Libcrypto(this.#wrapSymbols(library.symbols), library.path);
    const kernels = this.#wrapKernels(instantiateKernels(this.#slab.memory));
    this.#aead = new ComposedPacketAead(wrapped, this.#slab, kernels, SCRATCH_AT);
  }

  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    this.#nonce = nonce;
    this.#ad = ad;
    this.#slab.u8.set(key, KEY_AT);
    this.#slab.u8.set(plaintext, MESSAGE_AT);
    this.#aead.seal(KEY_AT, 0, MESSAGE_AT, plaintext.length);
    return this.#slab.u8.slice(MESSAGE_AT, MESSAGE_AT + plaintext.length + 16);
  }

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    ad: Uint8Array,
  ): Uint8Array | null {
    this.#nonce = nonce;
    this.#ad = ad;
    this.#slab.u8.set(key, KEY_AT);
    this.#slab.u8.set(sealed, MESSAGE_AT);
    const length = sealed.length - 16;
    const right = this.#aead.open(KEY_AT, 0, MESSAGE_AT, length, OPENED_AT);
    return right ? this.#slab.u8.slice(OPENED_AT, OPENED_AT + length) : null;
  }

  #wrapKernels(kernels: Kernels): Kernels {
    const setNonce = (area: number) => this.#slab.u8.set(this.#nonce, area + AeadArea.Iv + 4);
    return {
      ...kernels,
      aeadSealBegin: (area, keyAt, counter, at, length) => {
        kernels.aeadSealBegin(area, keyAt, counter, at, length);
        setNonce(area);
      },
      aeadOpenBegin: (area, keyAt, counter, at, length, outAt) => {
        kernels.aeadOpenBegin(area, keyAt, counter, at, length, outAt);
        if (area !== SCRATCH_AT + AEAD_AREA_BYTES) throw new Error("not the area for opening");
        setNonce(area);
      },
    };
  }

  #wrapSymbols(symbols: LibcryptoSymbols): LibcryptoSymbols {
    const base = addressOfBytes(this.#slab.u8);
    const update = (context: bigint, data: bigint, length: number): number => {
      const padded = new Uint8Array((this.#ad.length + 15) & ~15);
      padded.set(this.#ad);
      const lengthsAt = Number(data - base) + length - 16;
      this.#slab.view.setUint32(lengthsAt, this.#ad.length, true);
      symbols.EVP_MAC_update_buffer(context, padded, padded.length);
      return symbols.EVP_MAC_update(context, data, length);
    };
    return { ...symbols, EVP_MAC_update: update } as LibcryptoSymbols;
  }
}
