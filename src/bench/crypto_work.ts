/** Sealing and opening of single messages with the AEAD that this machine uses, and the checksums. */
import { SeededRandom } from "../base/random.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../crypto/aead_scratch.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { selectPacketAead } from "../crypto/select.ts";
import { instantiateKernels, type Kernels } from "../kernels/kernels.ts";
import { createSlab, type Slab } from "../memory/slab.ts";
import type { Work } from "./measure.ts";

/** Messages that take turns, as the messages of a send do. */
const MESSAGES = 32;
const MESSAGE_BYTES_MAX = 16_384;
/** Room around a message to open: 64 bytes ahead, 128 behind (`PacketAead`). */
const APART_BYTES = 192;
/** Header and tag between messages that are sealed in place. */
const BETWEEN_BYTES = 32;

const SCRATCH_AT = 1024;
const KEY_AT = SCRATCH_AT + PACKET_AEAD_SCRATCH_BYTES;
const AREA_BYTES = MESSAGES * (MESSAGE_BYTES_MAX + APART_BYTES) + 4096;
const SEAL_AT = 4096;
const OPEN_AT = SEAL_AT + AREA_BYTES;
// Not a multiple of 4096 away: loads would wait for stores to the same place in another page.
const OUT_AT = OPEN_AT + AREA_BYTES + 1040;

/** The memory and what works on it. */
export class CryptoBed {
  readonly aead: PacketAead;
  /** Why this AEAD. */
  readonly reason: string;
  readonly #slab: Slab;
  readonly #kernels: Kernels;
  #counter = 0;
  #sum = 0;

  constructor() {
    this.#slab = createSlab(OUT_AT + AREA_BYTES);
    this.#kernels = instantiateKernels(this.#slab.memory);
    const { aead, reason } = selectPacketAead(this.#slab, this.#kernels, SCRATCH_AT);
    this.aead = aead;
    this.reason = reason;
    new SeededRandom(1).fill(this.#slab.u8.subarray(KEY_AT, KEY_AT + 32));
  }

  /** Seals messages of `bytes` bytes in place. */
  seal(bytes: number): Work {
    const stride = bytes + BETWEEN_BYTES;
    return {
      operations: MESSAGES,
      run: () => {
        for (let i = 0; i < MESSAGES; i++) {
          this.aead.seal(KEY_AT, this.#counter++, SEAL_AT + i * stride, bytes);
        }
      },
    };
  }

  /** Opens messages of `bytes` bytes to a second place. */
  open(bytes: number): Work {
    const stride = bytes + APART_BYTES;
    for (let i = 0; i < MESSAGES; i++) this.aead.seal(KEY_AT, i, OPEN_AT + i * stride, bytes);
    return {
      operations: MESSAGES,
      run: () => {
        let opened = 0;
        for (let i = 0; i < MESSAGES; i++) {
          const at = OPEN_AT + i * stride;
          if (this.aead.open(KEY_AT, i, at, bytes, OUT_AT + i * stride)) opened++;
        }
        if (opened !== MESSAGES) throw new Error("A right tag was refused");
      },
    };
  }

  /** Sums packets of `bytes` bytes. */
  sum(bytes: number): Work {
    return {
      operations: MESSAGES,
      run: () => {
        for (let i = 0; i < MESSAGES; i++) {
          this.#sum ^= this.#kernels.sum(OPEN_AT + i * (bytes + BETWEEN_BYTES), bytes, 0);
        }
      },
    };
  }

  /** Copies packets of `bytes` bytes and sums them on the way. */
  copySum(bytes: number): Work {
    return {
      operations: MESSAGES,
      run: () => {
        for (let i = 0; i < MESSAGES; i++) {
          const place = i * (bytes + BETWEEN_BYTES);
          this.#sum ^= this.#kernels.copySum(OUT_AT + place, OPEN_AT + place, bytes, 0);
        }
      },
    };
  }

  close(): void {
    this.aead.close();
  }
}
