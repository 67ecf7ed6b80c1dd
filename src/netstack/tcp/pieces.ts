/** Cutting and copying lists of pieces. */
import type { Pieces } from "../inbound.ts";

/** Takes `bytes` bytes away in front; there are at least so many. */
export function dropFront(pieces: Pieces, bytes: number): void {
  if (bytes <= 0) return;
  let left = bytes;
  let index = 0;
  while (index < pieces.count && pieces.bytes[index] <= left) left -= pieces.bytes[index++];
  if (index > 0) {
    pieces.at.copyWithin(0, index, pieces.count);
    pieces.bytes.copyWithin(0, index, pieces.count);
    pieces.count -= index;
  }
  if (left > 0) {
    pieces.at[0] += left;
    pieces.bytes[0] -= left;
  }
  pieces.totalBytes -= bytes;
}

/** Takes `bytes` bytes away at the end; there are at least so many. */
export function dropBack(pieces: Pieces, bytes: number): void {
  let left = bytes;
  pieces.totalBytes -= left;
  while (left > 0) {
    const last = pieces.count - 1;
    if (pieces.bytes[last] > left) {
      pieces.bytes[last] -= left;
      return;
    }
    left -= pieces.bytes[last];
    pieces.count--;
  }
}
