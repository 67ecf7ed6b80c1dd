/**
 * Two TCP layers joined without an IP layer, copies or cryptography: a stream between them costs what
 * TCP itself does.
 */
import { SeededRandom } from "../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../src/memory/slab.ts";
import { BufferPool } from "../src/netstack/buffer_pool.ts";
import { InboundDatagram } from "../src/netstack/inbound.ts";
import type { IpOutput, IpPath } from "../src/netstack/output.ts";
import { TcpLayer } from "../src/netstack/tcp/tcp_layer.ts";
import type { TcpConnection } from "../src/netstack/tcp/tcp_socket.ts";
import { ScalarChecksumKernel } from "../src/wire/checksum.ts";

const SLOTS = 512;
const HEADER_BYTES = 128;
const POOL_BYTES = 64 << 20;
const WARM_UP_BYTES = 64 << 20;

/** One end with a queue of slots, as a link endpoint has it. */
class End implements IpOutput {
  readonly tcp: TcpLayer;
  count = 0;
  readonly headerAt: number;
  readonly headerBytes = new Int32Array(SLOTS);
  readonly payloadAt = new Int32Array(SLOTS);
  readonly payloadBytes = new Int32Array(SLOTS);
  mss = 1;

  constructor(
    readonly slab: Slab,
    regions: RegionAllocator,
    readonly address: Uint8Array,
    readonly gso: boolean,
  ) {
    this.headerAt = regions.reserve(SLOTS * HEADER_BYTES);
    const pool = new BufferPool(regions.reserve(POOL_BYTES, 4096), POOL_BYTES);
    this.tcp = new TcpLayer({
      slab,
      kernel: new ScalarChecksumKernel(slab),
      pool,
      output: this,
      random: new SeededRandom(1),
      counters: { drop: () => {} },
    });
  }

  get isFull(): boolean {
    return this.count >= SLOTS;
  }

  makePath(remote: Uint8Array): IpPath {
    return { ipVersion: 4, local: this.address, remote, hopLimit: 64, tos: 0, mtu: 1280 };
  }

  answerPath(datagram: InboundDatagram): IpPath {
    return this.makePath(this.slab.u8.slice(datagram.sourceAt, datagram.sourceAt + 4));
  }

  begin(): number {
    return this.isFull ? -1 : this.headerAt + this.count * HEADER_BYTES;
  }

  commitTcp(_path: IpPath, headerBytes: number, at: number, bytes: number, mss: number): void {
    this.headerBytes[this.count] = headerBytes;
    this.payloadAt[this.count] = at;
    this.payloadBytes[this.count++] = bytes;
    this.mss = mss;
  }

  sendUnreachable(): void {}
}

/** Two ends and a stream between them; `merges`: packets reach the other end as runs. */
export class TcpPair {
  readonly a: End;
  readonly b: End;
  received = 0;
  nowMs = 1000;
  readonly #slab = createSlab(2 * POOL_BYTES + (1 << 20));
  readonly #datagram = new InboundDatagram();
  readonly #addressAt: number;

  constructor(gso: boolean, readonly merges: boolean) {
    const regions = new RegionAllocator();
    this.#addressAt = regions.reserve(8);
    this.a = new End(this.#slab, regions, Uint8Array.of(10, 0, 0, 1), gso);
    this.b = new End(this.#slab, regions, Uint8Array.of(10, 0, 0, 2), gso);
    const ignore = { onReadable: () => {}, onEnd: () => {} };
    this.b.tcp.listen(null, 80, {
      onSyn: (pending) => {
        pending.accept({
          ...ignore,
          onWritable: () => {},
          takePieces: (_connection, pieces) => {
            this.received += pieces.totalBytes;
            return pieces.totalBytes;
          },
        });
      },
      onPendingGone: () => {},
    });
    const write = (connection: TcpConnection) => {
      for (let room = 1; room > 0;) {
        room = connection.writeSpan(1 << 18);
        connection.commitWrite(room);
      }
    };
    const handler = { ...ignore, onConnected: write, onWritable: write };
    this.a.tcp.connect(this.b.address, 80, handler, this.nowMs);
    this.stream(WARM_UP_BYTES);
  }

  /** Carries so many bytes. */
  stream(bytes: number): void {
    const until = this.received + bytes;
    while (this.received < until) {
      this.a.tcp.flush(this.nowMs);
      this.#carry(this.a, this.b);
      this.b.tcp.flush(this.nowMs);
      this.nowMs += 0.5;
      this.#carry(this.b, this.a);
      for (const { tcp } of [this.a, this.b]) {
        if (tcp.nextTimeoutMs() <= this.nowMs) tcp.onTimeout(this.nowMs);
      }
    }
  }

  #carry(from: End, to: End): void {
    const datagram = this.#datagram;
    this.#slab.u8.set(from.address, this.#addressAt);
    this.#slab.u8.set(to.address, this.#addressAt + 4);
    datagram.sourceAt = this.#addressAt;
    datagram.destinationAt = this.#addressAt + 4;
    datagram.isVerified = true;
    for (let i = 0; i < from.count;) {
      const first = i++;
      const { pieces } = datagram;
      pieces.clear();
      pieces.add(from.headerAt + first * HEADER_BYTES, from.headerBytes[first]);
      addPieces(datagram, from, first);
      while (
        this.merges && !from.gso && i < from.count && pieces.count < 50 && from.payloadBytes[i] > 0
      ) addPieces(datagram, from, i++);
      datagram.packetCount = Math.max(1, pieces.count - 1);
      datagram.bytes = pieces.totalBytes;
      to.tcp.onDatagram(datagram, this.nowMs);
    }
    from.count = 0;
  }
}

function addPieces(datagram: InboundDatagram, from: End, slot: number): void {
  const bytes = from.payloadBytes[slot];
  for (let done = 0; done < bytes; done += from.mss) {
    datagram.pieces.add(from.payloadAt[slot] + done, Math.min(from.mss, bytes - done));
  }
}
