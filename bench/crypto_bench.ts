/**
 * One message sealed or opened by each packet AEAD, beside the plain TypeScript one as baseline; and
 * the handshake's primitives. `deno bench -A bench/crypto_bench.ts`
 */
import { SeededRandom } from "../src/base/random.ts";
import { openLibcrypto } from "../ffi/libcrypto.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../src/crypto/aead_scratch.ts";
import { NativeCrypto } from "../src/crypto/native.ts";
import { ComposedPacketAead } from "../src/crypto/native_composed_aead.ts";
import { EvpPacketAead } from "../src/crypto/native_evp_aead.ts";
import { NobleCrypto } from "../src/crypto/noble.ts";
import { NoblePacketAead } from "../src/crypto/noble_packet_aead.ts";
import type { PacketAead } from "../src/crypto/packet_aead.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";

const RUN = 45;
const SCRATCH_AT = 1024;
const KEY_AT = SCRATCH_AT + PACKET_AEAD_SCRATCH_BYTES;
const SEAL_AT = 1 << 16;
const OPEN_AT = 1 << 20;
const OUT_AT = 1 << 21;

const { library, reason } = openLibcrypto();
if (library === null) throw new Error(reason);
const slab = createSlab(1 << 22);
const aeads: PacketAead[] = [
  new NoblePacketAead(slab),
  new EvpPacketAead(library, slab),
  new ComposedPacketAead(library, slab, instantiateKernels(slab.memory), SCRATCH_AT),
];
new SeededRandom(1).fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));

// Messages of a run stand behind each other as in a send; opening needs 64 bytes ahead intact, so
// the messages to open stand apart.
for (const length of [64, 576, 1420, 8920]) {
  const stride = length + 32, apart = length + 160;
  for (const aead of aeads) {
    const baseline = aead.name === "noble";
    let counter = 0;
    Deno.bench(`${aead.name}: seal ${length}`, { group: `seal ${length}`, baseline }, () => {
      counter++;
      aead.seal(KEY_AT, counter, SEAL_AT + (counter % RUN) * stride, length);
    });
    let sealedFor = 0;
    let index = 0;
    Deno.bench(`${aead.name}: open ${length}`, { group: `open ${length}`, baseline }, () => {
      if (sealedFor !== length) {
        for (let i = 0; i < RUN; i++) aead.seal(KEY_AT, i, OPEN_AT + i * apart, length);
        sealedFor = length;
      }
      index = (index + 1) % RUN;
      const right = aead.open(
        KEY_AT,
        index,
        OPEN_AT + index * apart,
        length,
        OUT_AT + index * apart,
      );
      if (!right) throw new Error("a right tag was refused");
    });
  }
}

const random = new SeededRandom(2);
const privateKey = random.fill(new Uint8Array(32));
const text = random.fill(new Uint8Array(148));
for (const crypto of [new NobleCrypto(), new NativeCrypto(library)]) {
  const baseline = crypto.name === "noble";
  const publicKey = crypto.x25519PublicKey(random.fill(new Uint8Array(32)));
  Deno.bench(`${crypto.name}: x25519`, { group: "x25519", baseline }, () => {
    crypto.x25519(privateKey, publicKey);
  });
  Deno.bench(`${crypto.name}: mac of 148 bytes`, { group: "mac", baseline }, () => {
    crypto.mac(privateKey, text);
  });
  Deno.bench(`${crypto.name}: hmac`, { group: "hmac", baseline }, () => {
    crypto.hmac(privateKey, text);
  });
}
