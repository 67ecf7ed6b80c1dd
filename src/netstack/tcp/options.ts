/** Writing the options of our own segments: the layouts that every other stack reads fastest. */
import { TcpOption } from "../../wire/tcp.ts";

/** Bytes of a timestamps option with the two no-operations that align it. */
export const TIMESTAMPS_BYTES = 12;

const NOP = TcpOption.NoOperation;

/** Timestamps: NOP, NOP, kind, length as one word, then TSval and TSecr. */
export function writeTimestamps(view: DataView, at: number, tsVal: number, tsEcr: number): void {
  view.setInt32(at, NOP << 24 | NOP << 16 | TcpOption.Timestamps << 8 | 10);
  view.setInt32(at + 4, tsVal);
  view.setInt32(at + 8, tsEcr);
}

/** SACK blocks `0 .. count - 1` of `blocks`; returns how many bytes that took. */
export function writeSack(view: DataView, at: number, blocks: Int32Array, count: number): number {
  view.setInt32(at, NOP << 24 | NOP << 16 | TcpOption.Sack << 8 | (2 + 8 * count));
  for (let i = 0; i < 2 * count; i++) view.setInt32(at + 4 + 4 * i, blocks[i]);
  return 4 + 8 * count;
}

/**
 * The options of a SYN or SYN-ACK: MSS always; window scale for `scale` >= 0, SACK permitted and
 * timestamps where wanted. Returns how many bytes that took, a multiple of 4.
 */
export function writeSynOptions(
  view: DataView,
  at: number,
  mss: number,
  scale: number,
  sackPermitted: boolean,
  hasTimestamps: boolean,
  tsVal: number,
  tsEcr: number,
): number {
  view.setInt32(at, TcpOption.MaximumSegmentSize << 24 | 4 << 16 | mss);
  let bytes = 4;
  if (hasTimestamps) {
    writeTimestamps(view, at + bytes, tsVal, tsEcr);
    // SACK permitted takes the place of the two no-operations.
    if (sackPermitted) view.setInt16(at + bytes, TcpOption.SackPermitted << 8 | 2);
    bytes += TIMESTAMPS_BYTES;
  } else if (sackPermitted) {
    view.setInt32(at + bytes, NOP << 24 | NOP << 16 | TcpOption.SackPermitted << 8 | 2);
    bytes += 4;
  }
  if (scale >= 0) {
    view.setInt32(at + bytes, NOP << 24 | TcpOption.WindowScale << 16 | 3 << 8 | scale);
    bytes += 4;
  }
  return bytes;
}
