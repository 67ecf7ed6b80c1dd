/** The implementations that the tests of this folder run side by side. They all must be there. */
import { Libcrypto, openLibcrypto } from "../../ffi/libcrypto.ts";
import { NativeCrypto } from "../../src/crypto/native.ts";
import { ComposedPacketAead } from "../../src/crypto/native_composed_aead.ts";
import { EvpPacketAead } from "../../src/crypto/native_evp_aead.ts";
import { NobleCrypto } from "../../src/crypto/noble.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import type { NoiseCrypto } from "../../src/crypto/noise_crypto.ts";
import type { PacketAead } from "../../src/crypto/packet_aead.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import type { Slab } from "../../src/memory/slab.ts";

/** Where the tests' slabs keep the composed AEAD's scratch. */
export const SCRATCH_AT = 1024;

/** This machine's libcrypto; throws when there is none. */
export function libcrypto(): Libcrypto {
  const { library, reason } = openLibcrypto();
  if (library === null) throw new Error(reason);
  return library;
}

/** This machine's libcrypto with some functions replaced. */
export function libcryptoWith(replacement: Record<string, unknown>): Libcrypto {
  const { symbols, path } = libcrypto();
  return new Libcrypto({ ...symbols, ...replacement }, path);
}

/** One that has no ciphers but those of providers, as OpenSSL 4. */
export const withoutMethods = () => libcryptoWith({ EVP_CIPHER_meth_dup: null });

/** Every packet AEAD by its name. */
export const packetAeads: Record<string, (slab: Slab) => PacketAead> = {
  "openssl-composed": (slab) =>
    new ComposedPacketAead(libcrypto(), slab, instantiateKernels(slab.memory), SCRATCH_AT),
  "openssl-composed of providers' ciphers": (slab) =>
    new ComposedPacketAead(withoutMethods(), slab, instantiateKernels(slab.memory), SCRATCH_AT),
  "openssl-evp": (slab) => new EvpPacketAead(libcrypto(), slab),
  "noble": (slab) => new NoblePacketAead(slab),
};

/** Every set of handshake primitives by its name. */
export const noiseCryptos: Record<string, () => NoiseCrypto> = {
  "openssl": () => new NativeCrypto(libcrypto()),
  "noble": () => new NobleCrypto(),
};
