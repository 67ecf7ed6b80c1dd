/** Randomness of the kernel. */
import { Errno } from "../src/base/errno.ts";
import type { RandomSource } from "../src/base/random.ts";
import { SystemCallError } from "./error.ts";
import { checked, libc } from "./libc.ts";

// getrandom never returns fewer bytes than asked for up to this many (man 2 getrandom).
const CHUNK_BYTES = 256;

/** `getrandom(2)`: waits until the kernel's pool is seeded, never returns short or weak bytes. */
export const systemRandom: RandomSource = {
  fill(target: Uint8Array): Uint8Array {
    const chunk = new Uint8Array(new ArrayBuffer(CHUNK_BYTES));
    let at = 0;
    while (at < target.length) {
      const wanted = Math.min(CHUNK_BYTES, target.length - at);
      const got = checked(libc().getrandom(chunk, wanted, 0));
      if (got === -Errno.EINTR) continue;
      if (got < 0) throw new SystemCallError("getrandom", -got);
      target.set(got === CHUNK_BYTES ? chunk : chunk.subarray(0, got), at);
      at += got;
    }
    chunk.fill(0);
    return target;
  },
};
