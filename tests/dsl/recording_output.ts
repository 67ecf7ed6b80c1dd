/** An IP layer that keeps what TCP sends, and holds what must be true of every segment. */
import { assert } from "@std/assert";
import type { Slab } from "../../src/memory/slab.ts";
import type { InboundDatagram } from "../../src/netstack/inbound.ts";
import type { IpOutput, IpPath, Unreachable } from "../../src/netstack/output.ts";
import { tcpFlags, tcpHeaderBytes, tcpSequence } from "../../src/wire/tcp.ts";

/** A segment that was sent, as a copy. */
export interface SentSegment {
  readonly atMs: number;
  /** TCP header and payload. */
  readonly view: DataView;
  readonly headerBytes: number;
  readonly payloadBytes: number;
  /** How it is to be cut; 0 for a segment without payload. */
  readonly mss: number;
  readonly path: IpPath;
}

/** What the recording output needs of its rig. */
export interface RecordingOptions {
  readonly slab: Slab;
  /** 64 bytes for a header. */
  readonly headerAt: number;
  readonly gso: boolean;
  readonly linkMtu: number;
  readonly local: Uint8Array;
  readonly nowMs: () => number;
  readonly onSent: (segment: SentSegment) => void;
}

/** See the module's text. */
export class RecordingOutput implements IpOutput {
  readonly gso: boolean;
  isFull = false;
  readonly unreachables: Unreachable[] = [];
  readonly #options: RecordingOptions;
  #claimed: IpPath | null = null;

  constructor(options: RecordingOptions) {
    this.#options = options;
    this.gso = options.gso;
  }

  makePath(remote: Uint8Array, local?: Uint8Array): IpPath {
    const version = remote.length === 4 ? 4 : 6;
    const from = (local ?? this.#options.local).slice();
    const mtu = this.#options.linkMtu;
    return { ipVersion: version, local: from, remote: remote.slice(), hopLimit: 64, tos: 0, mtu };
  }

  answerPath(datagram: InboundDatagram): IpPath {
    const { u8 } = this.#options.slab;
    const bytes = datagram.ipVersion === 4 ? 4 : 16;
    const { sourceAt, destinationAt } = datagram;
    return this.makePath(
      u8.slice(sourceAt, sourceAt + bytes),
      u8.slice(destinationAt, destinationAt + bytes),
    );
  }

  begin(path: IpPath): number {
    if (this.isFull) return -1;
    this.#claimed = path;
    return this.#options.headerAt;
  }

  commitTcp(
    path: IpPath,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    mss: number,
    _block: number,
  ): void {
    assert(this.#claimed === path, "a segment is committed on the path that it was begun with");
    this.#claimed = null;
    const { slab, headerAt } = this.#options;
    assert(tcpHeaderBytes(slab.view, headerAt) === headerBytes, "the header says its length");
    this.#checkLength(path, headerBytes, payloadBytes, mss);
    const bytes = new Uint8Array(headerBytes + payloadBytes);
    bytes.set(slab.u8.subarray(headerAt, headerAt + headerBytes));
    bytes.set(slab.u8.subarray(payloadAt, payloadAt + payloadBytes), headerBytes);
    const view = new DataView(bytes.buffer);
    const atMs = this.#options.nowMs();
    this.#options.onSent({ atMs, view, headerBytes, payloadBytes, mss, path });
  }

  #checkLength(path: IpPath, headerBytes: number, payloadBytes: number, mss: number): void {
    const ipBytes = path.ipVersion === 4 ? 20 : 40;
    const totalBytes = ipBytes + headerBytes + payloadBytes;
    const { view } = this.#options.slab;
    const what = `${payloadBytes} bytes at ${tcpSequence(view, this.#options.headerAt)}, ` +
      `flags ${tcpFlags(view, this.#options.headerAt)}, MSS ${mss}, MTU ${path.mtu}`;
    assert(totalBytes <= 65_535, `a segment has at most 65,535 bytes: ${what}`);
    if (payloadBytes === 0) return;
    assert(mss > 0, `a segment with payload has an MSS: ${what}`);
    assert(this.gso || payloadBytes <= mss, `without GSO nothing is to be cut: ${what}`);
    const packetBytes = ipBytes + headerBytes + Math.min(mss, payloadBytes);
    assert(packetBytes <= path.mtu, `no packet is longer than the path takes: ${what}`);
  }

  sendUnreachable(_datagram: InboundDatagram, reason: Unreachable): void {
    this.unreachables.push(reason);
  }
}
