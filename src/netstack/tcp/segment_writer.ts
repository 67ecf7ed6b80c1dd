/**
 * Writes the segments of one connection straight into slots of the link endpoint. What every segment
 * carries is here: ports, options that were agreed on, and what the other end last told us of its
 * clock.
 */
import type { Slab } from "../../memory/slab.ts";
import { TCP_HEADER_BYTES, TcpFlag, writeTcpHeader } from "../../wire/tcp.ts";
import type { IpOutput, IpPath } from "../output.ts";
import { SEGMENT_BYTES_MAX } from "./limits.ts";
import { TIMESTAMPS_BYTES, writeSack, writeSynOptions, writeTimestamps } from "./options.ts";

/** The way out of one connection. */
export class SegmentWriter {
  /** Whether both ends use timestamps; before the handshake is complete, whether we offer them. */
  hasTimestamps = true;
  hasSack = true;
  /** What TSval has beyond milliseconds: unpredictable, so that it tells nothing of the machine. */
  stampOffset = 0;
  /** TS.Recent: the timestamp to be echoed (RFC 7323 section 4.3). */
  tsRecent = 0;
  /** Payload bytes of a full segment, after options: the effective send MSS. */
  mss = 536;
  /** The other end's MSS option, or the default. */
  peerMss = 536;
  /** A limit of our own, found when full segments vanished (path MTU black hole). */
  mssLimit = SEGMENT_BYTES_MAX;

  constructor(
    readonly slab: Slab,
    readonly output: IpOutput,
    readonly path: IpPath,
    readonly localPort: number,
    readonly remotePort: number,
  ) {}

  /** TSval at `nowMs`: steps of 1 ms. */
  stamp(nowMs: number): number {
    return (Math.floor(nowMs) + this.stampOffset) | 0;
  }

  /** Length of the IP header without options. */
  get ipHeaderBytes(): number {
    return this.path.ipVersion === 4 ? 20 : 40;
  }

  /** What we tell the other end as our MSS: options are not counted (RFC 6691). */
  get ownMss(): number {
    return Math.min(this.path.mtu - this.ipHeaderBytes - TCP_HEADER_BYTES, 0xffff);
  }

  /** Length of a header of a segment with data. */
  get headerBytes(): number {
    return TCP_HEADER_BYTES + (this.hasTimestamps ? TIMESTAMPS_BYTES : 0);
  }

  /** Finds `mss` anew, after the handshake or when the path MTU has changed; true when it differs. */
  updateMss(): boolean {
    const { mss } = this;
    const full = Math.min(this.peerMss, this.ownMss, this.mssLimit);
    this.mss = Math.max(full - (this.headerBytes - TCP_HEADER_BYTES), 1);
    return this.mss !== mss;
  }

  /** The most payload of one segment: many MSS when the link cuts them, else one. */
  get payloadBytesMax(): number {
    if (!this.output.gso) return this.mss;
    const room = SEGMENT_BYTES_MAX - this.ipHeaderBytes - this.headerBytes;
    return Math.max(Math.floor(room / this.mss), 1) * this.mss;
  }

  /**
   * Sends a segment with data or without, and the first `sackCount` of `sackBlocks`; false when the
   * link is full.
   */
  send(
    seq: number,
    ack: number,
    flags: number,
    window: number,
    payloadAt: number,
    payloadBytes: number,
    block: number,
    sackBlocks: Int32Array,
    sackCount: number,
    nowMs: number,
  ): boolean {
    const { output, path, slab: { view } } = this;
    const at = output.begin(path);
    if (at < 0) return false;
    let headerBytes = TCP_HEADER_BYTES;
    if (this.hasTimestamps) {
      writeTimestamps(view, at + headerBytes, this.stamp(nowMs), this.tsRecent);
      headerBytes += TIMESTAMPS_BYTES;
    }
    if (sackCount > 0) headerBytes += writeSack(view, at + headerBytes, sackBlocks, sackCount);
    writeTcpHeader(
      view,
      at,
      this.localPort,
      this.remotePort,
      seq,
      ack,
      headerBytes,
      flags,
      window,
    );
    output.commitTcp(path, headerBytes, payloadAt, payloadBytes, this.mss, block);
    return true;
  }

  /** Sends SYN or SYN-ACK; `scale` -1 leaves window scaling out. */
  sendSyn(
    seq: number,
    ack: number,
    flags: number,
    window: number,
    scale: number,
    nowMs: number,
  ): boolean {
    const { output, path, slab: { view } } = this;
    const at = output.begin(path);
    if (at < 0) return false;
    const echo = (flags & TcpFlag.Ack) !== 0 ? this.tsRecent : 0;
    const headerBytes = TCP_HEADER_BYTES + writeSynOptions(
      view,
      at + TCP_HEADER_BYTES,
      this.ownMss,
      scale,
      this.hasSack,
      this.hasTimestamps,
      this.stamp(nowMs),
      echo,
    );
    writeTcpHeader(
      view,
      at,
      this.localPort,
      this.remotePort,
      seq,
      ack,
      headerBytes,
      flags,
      window,
    );
    output.commitTcp(path, headerBytes, 0, 0, this.mss, 0);
    return true;
  }
}
