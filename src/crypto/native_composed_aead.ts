/**
 * ChaCha20-Poly1305 composed from OpenSSL's ChaCha20 and Poly1305 as RFC 8439 section 2.8 describes.
 * It does what OpenSSL's own AEAD does without most of its cost per message: ChaCha20's state is in the
 * scratch area (`native_chacha20.ts`), so two algorithms take four calls.
 *
 * ```
 *                     64          length         up to 63
 * ChaCha20, one call  [zeros     ][message      ][whatever ]   from block 0, whole blocks
 *                     [key block ][ciphertext   ][garbage  ]
 * Poly1305, one call              [ciphertext   ][pad][0, length]
 * ```
 *
 * Block 0 of the key stream is the Poly1305 key, so one call yields it along with the ciphertext.
 * Whole blocks are what ChaCha20's vector code is fast at: 1,484 bytes cost 120 ns more than 1,536.
 * Both calls reach over the message's ends, so the bytes around it are saved and put back. Copying
 * the message to a fixed place with room around it instead is slower from the first byte on.
 */
import type { Libcrypto, LibcryptoSymbols } from "../../ffi/libcrypto.ts";
import { addressOfBytes } from "../../ffi/memory.ts";
import { invariant } from "../base/invariant.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { Slab } from "../memory/slab.ts";
import {
  AEAD_ADDRESSES,
  AEAD_AREA_BYTES,
  AEAD_SECRET_BYTES,
  AeadAddress as A,
  AeadArea,
  PACKET_AEAD_SCRATCH_BYTES,
} from "./aead_scratch.ts";
import { type NativeChaCha20, openChaCha20 } from "./native_chacha20.ts";
import type { PacketAead } from "./packet_aead.ts";

const KEY_BLOCK_BYTES = 64;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NULL = 0n;

/** One direction: an area of the slab, and the addresses in it, which are `AeadAddress`. */
interface Direction {
  readonly area: number;
  readonly addresses: BigUint64Array;
  readonly chacha20: NativeChaCha20;
}

/** The composed AEAD over a slab; `close` frees its contexts. */
export class ComposedPacketAead implements PacketAead {
  readonly name = "openssl-composed";

  readonly #evp: LibcryptoSymbols;
  readonly #kernels: Kernels;
  /** Whether ChaCha20's state is the start of an area, where the kernels write it. */
  readonly #isStateOurs: boolean;
  readonly #sealing: Direction;
  readonly #opening: Direction;

  /**
   * `scratchAt` is the place of PACKET_AEAD_SCRATCH_BYTES in the slab that nothing else uses. Throws
   * when libcrypto lacks one of the two algorithms.
   */
  constructor(library: Libcrypto, slab: Slab, kernels: Kernels, scratchAt: number) {
    invariant(scratchAt % 64 === 0, "the scratch area must be aligned to 64");
    this.#evp = library.symbols;
    this.#kernels = kernels;
    kernels.wipe(scratchAt, PACKET_AEAD_SCRATCH_BYTES);
    this.#sealing = openDirection(library, slab, scratchAt);
    this.#opening = openDirection(library, slab, scratchAt + AEAD_AREA_BYTES);
    this.#isStateOurs = this.#sealing.chacha20.isStateOurs && this.#opening.chacha20.isStateOurs;
  }

  seal(keyAt: number, counter: number, at: number, length: number): void {
    const { area, addresses } = this.#sealing;
    const kernels = this.#kernels;

    kernels.aeadSealBegin(area, keyAt, counter, at, length);
    let done = this.#encrypt(addresses, (length + KEY_BLOCK_BYTES + 63) & ~63);
    kernels.aeadSealLengths(area, at, length);
    done &= this.#authenticate(addresses, ((length + 15) & ~15) + TAG_BYTES);
    kernels.aeadSealEnd(area, at, length);
    invariant(done === 1, "OpenSSL refused to seal a packet");
  }

  open(keyAt: number, counter: number, at: number, length: number, outAt: number): boolean {
    const { area, addresses } = this.#opening;
    const kernels = this.#kernels;
    const total = (length + KEY_BLOCK_BYTES + 63) & ~63;

    kernels.aeadOpenBegin(area, keyAt, counter, at, length, outAt);
    let done = this.#encrypt(addresses, total);
    kernels.aeadOpenLengths(area, at, length, outAt);
    done &= this.#authenticate(addresses, ((length + 15) & ~15) + TAG_BYTES);
    const equal = kernels.aeadOpenEnd(area, at, length, outAt, total - KEY_BLOCK_BYTES);
    invariant(done === 1, "OpenSSL refused to open a packet");
    return equal === 1;
  }

  forgetKeys(): void {
    for (const { area, addresses: a } of [this.#sealing, this.#opening]) {
      this.#kernels.wipe(area, AEAD_SECRET_BYTES);
      // OpenSSL's own copies: both are of zeros afterwards.
      if (!this.#isStateOurs) this.#setKey(a);
      this.#evp.EVP_MAC_init(a[A.Mac], a[A.PolyKey], KEY_BYTES, NULL);
    }
  }

  /** Wipes the keys and frees the contexts; the object is of no use afterwards. */
  close(): void {
    this.forgetKeys();
    for (const { addresses, chacha20 } of [this.#sealing, this.#opening]) {
      chacha20.close();
      this.#evp.EVP_MAC_CTX_free(addresses[A.Mac]);
    }
  }

  /** ChaCha20 over whole blocks; 1 when it has succeeded. */
  #encrypt(a: BigUint64Array, bytes: number): number {
    const evp = this.#evp;
    if (this.#isStateOurs) return evp.EVP_Cipher(a[A.Cipher], a[A.OutHead], a[A.Head], bytes);
    return this.#setKey(a) &
      evp.EVP_EncryptUpdate(a[A.Cipher], a[A.OutHead], a[A.OutLength], a[A.Head], bytes);
  }

  #setKey(a: BigUint64Array): number {
    return this.#evp.EVP_EncryptInit_ex2(a[A.Cipher], NULL, a[A.Key], a[A.Iv], NULL);
  }

  /** Poly1305 over `bytes` bytes of the message; 1 when it has succeeded. */
  #authenticate(a: BigUint64Array, bytes: number): number {
    const evp = this.#evp;
    return evp.EVP_MAC_init(a[A.Mac], a[A.PolyKey], KEY_BYTES, NULL) &
      evp.EVP_MAC_update(a[A.Mac], a[A.Message], bytes) &
      evp.EVP_MAC_final(a[A.Mac], a[A.Tag], a[A.OutLength], TAG_BYTES);
  }
}

function openDirection(library: Libcrypto, slab: Slab, area: number): Direction {
  const base = addressOfBytes(slab.u8);
  const address = (offset: number) => base + BigInt(area + offset);
  const poly1305 = library.fetchMac("POLY1305");
  const chacha20 = openChaCha20(library, slab, area + AeadArea.Key, address(AeadArea.Key));
  const a = new BigUint64Array(slab.memory.buffer, area + AEAD_SECRET_BYTES, AEAD_ADDRESSES);
  a[A.Slab] = base;
  a[A.Cipher] = chacha20.context;
  a[A.Mac] = library.symbols.EVP_MAC_CTX_new(poly1305);
  a[A.Key] = address(AeadArea.Key);
  a[A.Iv] = address(AeadArea.Iv);
  a[A.Tag] = address(AeadArea.Tag);
  a[A.PolyKey] = address(AeadArea.PolyKey);
  a[A.OutLength] = address(AeadArea.OutLength);
  // The context holds a reference of its own.
  library.symbols.EVP_MAC_free(poly1305);
  return { area, addresses: a, chacha20 };
}
