/** The packet AEADs that stand on libcrypto: the fastest one that passes its start-up test. */
import { type Libcrypto, type LibcryptoResult, openLibcrypto } from "../../ffi/libcrypto.ts";
import { instantiateKernels, type Kernels } from "../kernels/kernels.ts";
import { createSlab, type Slab } from "../memory/slab.ts";
import { SELF_TEST_SCRATCH_AT, SELF_TEST_SLAB_BYTES, testPacketAead } from "./aead_self_test.ts";
import { ComposedPacketAead } from "./native_composed_aead.ts";
import { EvpPacketAead } from "./native_evp_aead.ts";
import { NoblePacketAead } from "./noble_packet_aead.ts";
import type { PacketAead } from "./packet_aead.ts";

/** A chosen AEAD and why it was chosen, or why there is none. */
export type NativeSelection =
  | { readonly aead: PacketAead; readonly reason: string }
  | { readonly aead: null; readonly reason: string };

/** The composed AEAD, else OpenSSL's, else null with the reason; arguments as `selectPacketAead`. */
export function selectNativePacketAead(
  slab: Slab,
  kernels: Kernels | null,
  scratchAt: number,
  libcrypto: LibcryptoResult = openLibcrypto(),
): NativeSelection {
  const { library } = libcrypto;
  if (library === null) return { aead: null, reason: libcrypto.reason };
  const refused = kernels === null ? "there are no kernels" : refusalOfComposed(library);
  if (kernels !== null && refused === null) {
    const aead = new ComposedPacketAead(library, slab, kernels, scratchAt);
    return { aead, reason: `passed its test on ${library.version}` };
  }
  const refusedEvp = refusalOfEvp(library);
  if (refusedEvp === null) {
    const aead = new EvpPacketAead(library, slab);
    return { aead, reason: `openssl-composed: ${refused} (${library.version})` };
  }
  return { aead: null, reason: `${library.version}: ${refused}; ${refusedEvp}` };
}

/** Tests the composed AEAD against OpenSSL's own, on a slab of the test's. */
function refusalOfComposed(library: Libcrypto): string | null {
  return refusal((slab) => [
    new ComposedPacketAead(library, slab, instantiateKernels(slab.memory), SELF_TEST_SCRATCH_AT),
    new EvpPacketAead(library, slab),
  ]);
}

/** Tests OpenSSL's AEAD against the one in TypeScript. */
function refusalOfEvp(library: Libcrypto): string | null {
  return refusal((slab) => [new EvpPacketAead(library, slab), new NoblePacketAead(slab)]);
}

function refusal(make: (slab: Slab) => [PacketAead, PacketAead]): string | null {
  const slab = createSlab(SELF_TEST_SLAB_BYTES);
  try {
    const [aead, reference] = make(slab);
    const failure = testPacketAead(aead, reference, slab);
    aead.close();
    reference.close();
    return failure;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
