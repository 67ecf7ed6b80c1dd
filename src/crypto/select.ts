/** Chooses the implementations of this machine: of the packet AEAD and of the handshake. */
import type { Kernels } from "../kernels/kernels.ts";
import type { Slab } from "../memory/slab.ts";
import { openNativeCrypto } from "./native.ts";
import { selectNativePacketAead } from "./native_select.ts";
import { NobleCrypto } from "./noble.ts";
import { NoblePacketAead } from "./noble_packet_aead.ts";
import type { NoiseCrypto } from "./noise_crypto.ts";
import type { PacketAead } from "./packet_aead.ts";

/** What status and logs show of the choice. */
export interface PacketAeadSelection {
  readonly aead: PacketAead;
  /** Why this one: that it passed its test, or what is wrong with the faster ones. */
  readonly reason: string;
}

/**
 * The fastest AEAD that works on this machine: `openssl-composed`, `openssl-evp`, or `noble`.
 * `scratchAt` is the place of PACKET_AEAD_SCRATCH_BYTES (`aead_scratch.ts`) in the slab, at a multiple
 * of 64, that only this worker uses. Takes some milliseconds for the start-up test.
 */
export function selectPacketAead(
  slab: Slab,
  kernels: Kernels | null,
  scratchAt: number,
): PacketAeadSelection {
  const native = selectNativePacketAead(slab, kernels, scratchAt);
  if (native.aead !== null) return native;
  return { aead: new NoblePacketAead(slab), reason: native.reason };
}

/** The handshake's primitives: libcrypto's, else those in TypeScript; `reason` as above. */
export function selectNoiseCrypto(): { crypto: NoiseCrypto; reason: string } {
  const native = openNativeCrypto();
  return native.crypto !== null ? native : { crypto: new NobleCrypto(), reason: native.reason };
}
