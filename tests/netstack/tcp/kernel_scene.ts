/**
 * A stack at one end of a TUN and the kernel's TCP at the other, in a namespace of its own. With
 * `offload` both hand over super-packets, as in a lane; without it every packet is whole, its checksum
 * is judged by the kernel, and packets can be lost.
 */
import { assert, assertEquals } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../../ffi/descriptor.ts";
import { FfiMemory } from "../../../ffi/memory.ts";
import { openNamespace, withNamespace } from "../../../ffi/netns.ts";
import { openTun, TunQueue } from "../../../ffi/tun.ts";
import { SeededRandom } from "../../../src/base/random.ts";
import { DropReason } from "../../../src/base/drop_reason.ts";
import { InboundItem } from "../../../src/netstack/inbound.ts";
import type { TcpLimits } from "../../../src/netstack/tcp/limits.ts";
import { plainGsoOptions, stackGsoToTunGso } from "../../../src/offload/gso_options.ts";
import { IovecWriter } from "../../../src/offload/iovec.ts";
import { parseSuperPacket, SuperPacket } from "../../../src/offload/super_packet.ts";
import {
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
  VnetGsoType,
  writeVnetHeader,
} from "../../../src/wire/virtio_net.ts";
import { run, type RunResult } from "../../netns/command.ts";
import { Net } from "../../netns/net.ts";
import { requires } from "../../requires.ts";
import { StackScene } from "../stack_scene.ts";
import { PEER4, PEER6 } from "../packets.ts";

const IOVEC_AT = 4096;
const VNET_AT = 8192;
const PLAIN_AT = 1 << 14;
const SUPER_AT = 1 << 19;
const CAPACITY = 66_000;
const MTU = 1420;

/** What can be chosen. */
export interface KernelOptions {
  readonly offload?: boolean;
  /** Every so manieth packet of either direction is lost. */
  readonly loseEvery?: number;
  /** The share of packets of either direction that is lost at random. */
  readonly lost?: number;
  readonly tcp?: Partial<TcpLimits>;
  /** Sysctls of the namespace below /proc/sys/net. */
  readonly sysctls?: Readonly<Record<string, string | number>>;
  readonly mtu?: number;
  /** The MTU of the kernel's end, when it is another. */
  readonly kernelMtu?: number;
}

/** See the module's text. */
export class TcpKernelScene extends StackScene {
  /** Called in each turn; applications do their work there. */
  onTurn: () => void = () => {};
  readonly #queue: TunQueue;
  readonly #iovecs: IovecWriter;
  readonly #item = new InboundItem();
  readonly #super = new SuperPacket();
  readonly #gso = plainGsoOptions();
  readonly #start = performance.now();
  readonly #losses = new SeededRandom(99);
  #packetCount = 0;

  constructor(readonly name: string, fd: number, readonly options: KernelOptions) {
    super({ mtu: options.mtu ?? MTU, gso: true, tcp: options.tcp, poolBytes: 64 << 20 });
    const memory = new FfiMemory(this.slab);
    this.#queue = new TunQueue(memory, fd, options.offload ?? false);
    this.#iovecs = new IovecWriter(this.slab, memory.addressNumber);
  }

  /** Carries packets both ways until `isDone`. */
  async pump(what: string, isDone: () => boolean, timeoutMs = 30_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    for (let turn = 0; !isDone(); turn++) {
      assert(performance.now() < endMs, `in time: ${what}`);
      this.nowMs = 1000 + performance.now() - this.#start;
      const hasRead = this.#readAll();
      if (this.stack.nextTimeoutMs() <= this.nowMs) this.stack.onTimeout(this.nowMs);
      this.onTurn();
      this.stack.flush(this.nowMs);
      this.#writeAll();
      if (!hasRead) pollFd(this.#queue.fd, POLLIN, 1);
      if (!hasRead || turn % 50 === 0) await new Promise((done) => setTimeout(done, 0));
    }
  }

  /** Starts a program at the kernel's end. */
  spawn(argv: string[], namespace = this.name): Promise<RunResult> {
    return run(argv, { namespace, mayFail: true, timeoutMs: 40_000 });
  }

  #isLost(): boolean {
    const { loseEvery, lost = 0 } = this.options;
    if (lost > 0 && this.#losses.nextUint32() < lost * 2 ** 32) return true;
    return loseEvery !== undefined && ++this.#packetCount % loseEvery === 0;
  }

  #readAll(): boolean {
    const at = this.options.offload ? SUPER_AT : PLAIN_AT;
    for (let count = 0; count < 64; count++) {
      const bytes = this.#queue.read(at, this.options.offload ? CAPACITY : 2000);
      if (bytes < 0) return count > 0;
      if (this.options.offload) this.#receiveSuper(at, bytes);
      else if (!this.#isLost()) {
        this.receive(this.slab.u8.slice(at + VNET_HEADER_BYTES, at + bytes));
      }
    }
    return true;
  }

  /** A super-packet is a run; its checksums were never made, as it comes from this machine. */
  #receiveSuper(at: number, bytes: number): void {
    const packet = this.#super;
    const item = this.#item;
    assertEquals(parseSuperPacket(this.slab, at, bytes, packet), DropReason.None);
    const isRun = packet.gso.type !== VnetGsoType.None && packet.segmentCount > 1;
    item.at = packet.at;
    item.bytes = packet.bytes;
    item.isVerified = true;
    item.packetCount = isRun ? packet.segmentCount : 1;
    item.headerBytes = isRun ? packet.headerBytes : 0;
    item.gsoSize = isRun ? packet.gsoSize : 0;
    item.pieces.clear();
    if (!isRun) item.pieces.add(packet.at, packet.bytes);
    for (let done = 0; isRun && done < packet.payloadBytes; done += packet.gsoSize) {
      const length = Math.min(packet.gsoSize, packet.payloadBytes - done);
      item.pieces.add(packet.at + packet.headerBytes + done, length);
    }
    this.stack.onItem(item, this.nowMs);
  }

  #writeAll(): void {
    if (this.options.offload) {
      while (!this.link.isEmpty) this.#writeSuper();
      return;
    }
    for (const packet of this.sent()) {
      if (this.#isLost()) continue;
      this.slab.u8.set(packet, PLAIN_AT + VNET_HEADER_BYTES);
      this.#write(PLAIN_AT, packet.length + VNET_HEADER_BYTES, 0, 0);
    }
  }

  #writeSuper(): void {
    const { link, slab } = this;
    const { frontHeaderAt, frontHeaderBytes, frontPayloadAt, frontPayloadBytes, frontGso } = link;
    const bytes = frontHeaderBytes + frontPayloadBytes;
    const gso = this.#gso;
    const reason = stackGsoToTunGso(slab.view, frontHeaderAt, bytes, frontGso, gso);
    assertEquals(reason, DropReason.None);
    const isCut = gso.gsoSize > 0 && frontPayloadBytes > gso.gsoSize;
    writeVnetHeader(
      slab.view,
      VNET_AT,
      gso.needsCsum ? VNET_NEEDS_CSUM : 0,
      isCut ? gso.type : VnetGsoType.None,
      gso.hdrLen,
      isCut ? gso.gsoSize : 0,
      gso.csumStart,
      gso.csumOffset,
    );
    slab.u8.copyWithin(
      VNET_AT + VNET_HEADER_BYTES,
      frontHeaderAt,
      frontHeaderAt + frontHeaderBytes,
    );
    this.#write(VNET_AT, VNET_HEADER_BYTES + frontHeaderBytes, frontPayloadAt, frontPayloadBytes);
    link.pop();
  }

  #write(at: number, bytes: number, payloadAt: number, payloadBytes: number): void {
    this.#iovecs.write(IOVEC_AT, at, bytes);
    this.#iovecs.write(IOVEC_AT + 16, payloadAt, payloadBytes);
    const result = this.#queue.writev(IOVEC_AT, payloadBytes > 0 ? 2 : 1);
    assertEquals(result, bytes + payloadBytes);
  }
}

const needs = requires("root", "tun", "ip", "nsenter", "ncat");

/** Registers a test with a scene whose kernel uses CUBIC. */
export function tcpKernelTest(
  name: string,
  options: KernelOptions,
  body: (scene: TcpKernelScene, net: Net) => Promise<void>,
): void {
  Deno.test({
    name: `with the kernel: ${name}`,
    ...needs,
    fn: async () => {
      await using net = new Net();
      const namespace = await net.namespace("tcp");
      const netnsFd = openNamespace(`/run/netns/${namespace}`);
      net.defer(() => void closeFd(netnsFd));
      const { fd } = withNamespace(
        netnsFd,
        () => openTun({ name: "tcp0", vnetHeader: options.offload ?? false }),
      );
      net.defer(() => void closeFd(fd));
      const mtu = options.kernelMtu ?? options.mtu ?? MTU;
      // The machine's default algorithm may be another one, and a namespace may not change it.
      const cubic = "dev tcp0 congctl lock cubic";
      await net.ip(namespace, [
        `link set tcp0 mtu ${mtu} up`,
        `address add ${PEER4}/24 dev tcp0`,
        `route change 10.0.0.0/24 ${cubic}`,
      ]);
      if (mtu >= 1280) {
        await net.ip(namespace, [
          `address add ${PEER6}/64 dev tcp0 nodad`,
          `route replace fd00::/64 metric 256 ${cubic}`,
        ]);
      }
      for (const [path, value] of Object.entries(options.sysctls ?? {})) {
        await net.sysctl(namespace, path, value);
      }
      await body(new TcpKernelScene(namespace, fd, options), net);
    },
  });
}
