import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Libcrypto, openLibcryptoFrom } from "../../ffi/libcrypto.ts";
import {
  SELF_TEST_SCRATCH_AT,
  SELF_TEST_SLAB_BYTES,
  testPacketAead,
} from "../../src/crypto/aead_self_test.ts";
import { openNativeCrypto } from "../../src/crypto/native.ts";
import { ComposedPacketAead } from "../../src/crypto/native_composed_aead.ts";
import { selectNativePacketAead } from "../../src/crypto/native_select.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import type { PacketAead } from "../../src/crypto/packet_aead.ts";
import { selectNoiseCrypto, selectPacketAead } from "../../src/crypto/select.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { libcrypto, libcryptoWith, SCRATCH_AT } from "./implementations.ts";

function damaged(replacement: Record<string, unknown>): { library: Libcrypto; reason: null } {
  return { library: libcryptoWith(replacement), reason: null };
}

/** noble, except for what `fault` overrides. */
function faulty(slab: Slab, fault: (noble: PacketAead) => Partial<PacketAead>): PacketAead {
  const noble = new NoblePacketAead(slab);
  return {
    name: "faulty",
    seal: noble.seal.bind(noble),
    open: noble.open.bind(noble),
    forgetKeys() {},
    close() {},
    ...fault(noble),
  };
}

Deno.test("selectPacketAead takes the composed AEAD on this machine and says on which library", () => {
  const slab = createSlab(65_536);
  const { aead, reason } = selectPacketAead(slab, instantiateKernels(slab.memory), SCRATCH_AT);
  assertEquals(aead.name, "openssl-composed");
  assertMatch(reason, /passed its test on OpenSSL/);
});

Deno.test("selectNoiseCrypto takes libcrypto on this machine", () => {
  assertEquals(selectNoiseCrypto().crypto.name, "openssl");
});

Deno.test("without kernels OpenSSL's own AEAD is taken", () => {
  const { aead, reason } = selectPacketAead(createSlab(65_536), null, SCRATCH_AT);
  assertEquals(aead.name, "openssl-evp");
  assertMatch(reason, /no kernels/);
});

Deno.test("without libcrypto there is no native AEAD, and the reason names what was looked for", () => {
  const absent = openLibcryptoFrom(["liblonghaul-absent.so.3"]);
  const selection = selectNativePacketAead(createSlab(65_536), null, SCRATCH_AT, absent);
  assertEquals(selection.aead, null);
  assertMatch(selection.reason, /liblonghaul-absent/);
  assertEquals(openNativeCrypto(absent).crypto, null);
});

Deno.test("a composed AEAD that fails its test gives way to OpenSSL's", () => {
  const library = damaged({ EVP_MAC_update: () => 1 });
  const slab = createSlab(65_536);
  const kernels = instantiateKernels(slab.memory);
  const { aead, reason } = selectNativePacketAead(slab, kernels, SCRATCH_AT, library);
  assertEquals(aead?.name, "openssl-evp");
  assertMatch(reason, /sealing is wrong at 0 bytes/);
});

Deno.test("a libcrypto without the algorithms gives the reason", () => {
  const none = () => 0n;
  const library = damaged({ EVP_CIPHER_fetch: none, EVP_MAC_fetch: none, EVP_MD_fetch: none });
  const slab = createSlab(65_536);
  const kernels = instantiateKernels(slab.memory);
  const { aead, reason } = selectNativePacketAead(slab, kernels, SCRATCH_AT, library);
  assertEquals(aead, null);
  assertMatch(reason, /Cannot use POLY1305: .* does not provide it/);
  const native = openNativeCrypto(library);
  assertEquals(native.crypto, null);
  assertMatch(native.reason, /does not provide it/);
});

const faults: Record<string, [RegExp, (slab: Slab, noble: PacketAead) => Partial<PacketAead>]> = {
  "does not encrypt": [/RFC 8439/, () => ({ seal() {} })],
  "writes past the tag": [
    /sealing is wrong/,
    (slab, noble) => ({
      seal(keyAt, counter, at, length) {
        noble.seal(keyAt, counter, at, length);
        slab.u8[at + length + 16] ^= 1;
      },
    }),
  ],
  "writes before the message": [
    /sealing is wrong/,
    (slab, noble) => ({
      seal(keyAt, counter, at, length) {
        noble.seal(keyAt, counter, at, length);
        slab.u8[at - 64] ^= 1;
      },
    }),
  ],
  "accepts every tag": [
    /wrong tag is accepted/,
    (_, noble) => ({
      open(keyAt, counter, at, length, outAt) {
        noble.open(keyAt, counter, at, length, outAt);
        return true;
      },
    }),
  ],
  "refuses every tag": [/right tag is refused/, () => ({ open: () => false })],
  "does not write its output": [
    /opening is wrong at 1 /,
    (_, noble) => ({
      open: (keyAt, counter, at, length) => noble.open(keyAt, counter, at, length, 8),
    }),
  ],
  "leaves the output of a refused message": [
    /leaves plaintext/,
    (slab, noble) => ({
      open(keyAt, counter, at, length, outAt) {
        const right = noble.open(keyAt, counter, at, length, outAt);
        if (!right && length > 0) slab.u8[outAt] = 1;
        return right;
      },
    }),
  ],
  "fails above 64 KB": [
    /sealing is wrong at 65000 bytes/,
    (slab, noble) => ({
      seal(keyAt, counter, at, length) {
        noble.seal(keyAt, counter, at, length);
        if (length > 60_000) slab.u8[at + length - 1] ^= 1;
      },
    }),
  ],
};

for (const [what, [expected, fault]] of Object.entries(faults)) {
  Deno.test(`the start-up test finds an AEAD that ${what}`, () => {
    const slab = createSlab(SELF_TEST_SLAB_BYTES);
    const aead = faulty(slab, (noble) => fault(slab, noble));
    const failure = testPacketAead(aead, new NoblePacketAead(slab), slab);
    assert(failure !== null);
    assertMatch(failure, expected);
  });
}

Deno.test("the start-up test accepts the composed AEAD beside noble", () => {
  const slab = createSlab(SELF_TEST_SLAB_BYTES);
  const kernels = instantiateKernels(slab.memory);
  const aead = new ComposedPacketAead(libcrypto(), slab, kernels, SELF_TEST_SCRATCH_AT);
  assertEquals(testPacketAead(aead, new NoblePacketAead(slab), slab), null);
  aead.close();
});
