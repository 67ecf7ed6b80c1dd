/** Sealing and opening of 45 packets with the AEAD of this machine, beside the plain TypeScript one. */
import { SeededRandom } from "../../src/base/random.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../../src/crypto/aead_scratch.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import type { PacketAead } from "../../src/crypto/packet_aead.ts";
import { selectPacketAead } from "../../src/crypto/select.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { stage } from "./stage.ts";

const PACKETS = 45;
const BYTES = 1420;
const SCRATCH_AT = 1024;
const KEY_AT = SCRATCH_AT + PACKET_AEAD_SCRATCH_BYTES;
const SEAL_AT = 1 << 16;
const OPEN_AT = 1 << 20;
const OUT_AT = (1 << 21) + 1040;
/** Messages to open stand apart: opening needs 64 bytes ahead intact. */
const APART = BYTES + 160;

const slab = createSlab(1 << 22);
new SeededRandom(1).fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
const naive = new NoblePacketAead(slab);
const { aead: ours } = selectPacketAead(slab, instantiateKernels(slab.memory), SCRATCH_AT);
for (let i = 0; i < PACKETS; i++) naive.seal(KEY_AT, i, OPEN_AT + i * APART, BYTES);

function seal(aead: PacketAead): void {
  for (let i = 0; i < PACKETS; i++) aead.seal(KEY_AT, i, SEAL_AT + i * (BYTES + 32), BYTES);
}

function open(aead: PacketAead): void {
  for (let i = 0; i < PACKETS; i++) {
    const isRight = aead.open(KEY_AT, i, OPEN_AT + i * APART, BYTES, OUT_AT + i * APART);
    if (!isRight) throw new Error("a right tag was refused");
  }
}

stage("seal", () => seal(naive), () => seal(ours));
stage("open", () => open(naive), () => open(ours));
