/**
 * Round trips through a tunnel over loopback: a node of this thread sends echo requests to the stack
 * of a node with workers, one at a time. Each is sealed, sent, opened, answered and comes back the
 * same way; the other node's lane sleeps between two of them.
 */
import { systemClock } from "../../ffi/clock.ts";
import { pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { FfiMemory } from "../../ffi/memory.ts";
import { systemRandom } from "../../ffi/random.ts";
import { closeUdpSockets, openUdpSockets, UdpSocketPair, type UdpSockets } from "../../ffi/udp.ts";
import { Errno } from "../base/errno.ts";
import type { Log } from "../base/log.ts";
import { selectNoiseCrypto, selectPacketAead } from "../crypto/select.ts";
import { SOCKET_BUFFER_BYTES } from "../daemon/daemon.ts";
import { startLoopbackNode } from "../daemon/loopback_node.ts";
import type { NodeProcess } from "../daemon/node_process.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { instantiateKernels } from "../kernels/kernels.ts";
import { Ready } from "../lane/lane.ts";
import type { TunPort, UdpPort } from "../lane/ports.ts";
import { LANE_SCRATCH_SYSCALLS } from "../lane/shared_state.ts";
import type { Slab } from "../memory/slab.ts";
import { InlineNode } from "../node/inline_node.ts";
import { checksumOf, sumWords } from "../wire/checksum.ts";
import { ICMP_CHECKSUM, ICMP_HEADER_BYTES, IcmpType } from "../wire/icmp.ts";
import { IpProtocol } from "../wire/ip.ts";
import { IPV4_HEADER_BYTES, setIpv4Checksum, writeIpv4Header } from "../wire/ipv4.ts";
import { VNET_HEADER_BYTES } from "../wire/virtio_net.ts";
import { quantile, type Sample, summarize } from "./measure.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const NEAR = Uint8Array.of(10, 77, 1, 1);
const FAR = Uint8Array.of(10, 77, 1, 2);
const MTU = 1420;
/** What `ping` sends: 56 bytes behind the ICMP header. */
const ECHO_BYTES = 56;
const PACKET_BYTES = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + ECHO_BYTES;
const HANDSHAKE_MS = 5000;
const ANSWER_MS = 1000;
/** Round trips that let the code be compiled, and the fewest that a window has. */
const WARM_UP_TRIPS = 2000;
const TRIPS_MIN = 100;
/** Where threads are placed changes the figure, so it is taken several times, with pauses between. */
const WINDOWS = 5;
const PAUSE_MS = 20;

/** Microseconds of one round trip, over the windows. */
export interface RoundTrips {
  readonly p50Us: Sample;
  readonly p99Us: Sample;
}

/** A TUN that gives one echo request when asked for, and counts what comes back. */
class EchoTun implements TunPort {
  isWanted = false;
  replies = 0;

  constructor(readonly slab: Slab) {}

  read(at: number): number {
    if (!this.isWanted) return -Errno.EAGAIN;
    this.isWanted = false;
    const { u8, view } = this.slab;
    const ip = at + VNET_HEADER_BYTES, icmp = ip + IPV4_HEADER_BYTES;
    u8.fill(0, at, ip + PACKET_BYTES);
    writeIpv4Header(view, ip, PACKET_BYTES, 0, 1, 0, 64, IpProtocol.Icmp);
    u8.set(NEAR, ip + 12);
    u8.set(FAR, ip + 16);
    setIpv4Checksum(view, ip, IPV4_HEADER_BYTES);
    view.setUint8(icmp, IcmpType.EchoRequest);
    const sum = checksumOf(sumWords(view, icmp, PACKET_BYTES - IPV4_HEADER_BYTES));
    view.setUint16(icmp + ICMP_CHECKSUM, sum, true);
    return VNET_HEADER_BYTES + PACKET_BYTES;
  }

  writev(): number {
    this.replies++;
    return VNET_HEADER_BYTES + PACKET_BYTES;
  }
}

/** Sockets whose scratch memory is known only when the node has its plan. */
class LateUdp implements UdpPort {
  pair: UdpSocketPair | null = null;

  get segmentBytes(): number {
    return this.pair!.segmentBytes;
  }

  get tos(): number {
    return this.pair!.tos;
  }

  get queuedMs(): number {
    return this.pair!.queuedMs;
  }

  receive(family: number, at: number, capacity: number, endpointAt: number): number {
    return this.pair!.receive(family, at, capacity, endpointAt);
  }

  send(at: number, length: number, segmentBytes: number, endpointAt: number, tos: number): number {
    return this.pair!.send(at, length, segmentBytes, endpointAt, tos);
  }
}

/** The node of this thread. */
class NearNode {
  readonly node: InlineNode;
  readonly sockets: UdpSockets;
  readonly #tun: EchoTun;

  constructor() {
    this.sockets = openUdpSockets({ port: 0, bufferBytes: SOCKET_BUFFER_BYTES });
    const udp = new LateUdp();
    let tun: EchoTun;
    this.node = new InlineNode({
      clock: systemClock,
      random: systemRandom,
      crypto: selectNoiseCrypto().crypto,
      makeKernel: (slab) => instantiateKernels(slab.memory),
      makeAead: (slab, at) => selectPacketAead(slab, instantiateKernels(slab.memory), at).aead,
      makeTun: (slab) => tun = new EchoTun(slab),
      makeUdp: () => udp,
    });
    this.#tun = tun!;
    const { slab, plan } = this.node;
    const scratchAt = plan.lanes[0].scratchAt + LANE_SCRATCH_SYSCALLS;
    udp.pair = new UdpSocketPair(new FfiMemory(slab), scratchAt, this.sockets);
  }

  /** Sends a request. */
  ask(): void {
    this.#tun.isWanted = true;
    this.node.lane.ready |= Ready.Tun;
    this.node.run();
  }

  /** Takes what has come in; whether a reply was there. */
  take(): boolean {
    const before = this.#tun.replies;
    this.node.lane.ready |= Ready.Udp4;
    this.node.run();
    return this.#tun.replies > before;
  }

  /** One round trip, blocking; false when no answer has come in time. */
  trip(): boolean {
    this.ask();
    do {
      if (pollFd(this.sockets.v4, POLLIN, ANSWER_MS) === 0) return false;
    } while (!this.take());
    return true;
  }
}

/** Measures round trips for `budgetMs`. Throws `SetupError` when answers fail to come. */
export async function measureRoundTrips(budgetMs: number, log: Log): Promise<RoundTrips> {
  let failure: string | null = null;
  const far = await startLoopbackNode({
    name: "echo",
    stack: { addresses: [{ address: FAR, bits: 24 }], mtu: MTU, gso: true, services: [] },
    encryptors: 0,
    udpGso: true,
    log,
    onEnd: (reason) => failure ??= reason,
  });
  const near = new NearNode();
  try {
    introduce(near, far);
    await untilAnswered(near, () => failure);
    for (let i = 0; i < WARM_UP_TRIPS; i++) mustTrip(near);
    const p50s: number[] = [], p99s: number[] = [];
    for (let i = 0; i < WINDOWS; i++) {
      const trips = oneWindow(near, budgetMs / WINDOWS);
      p50s.push(quantile(trips, 0.5) * 1000);
      p99s.push(quantile(trips, 0.99) * 1000);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return { p50Us: summarize(p50s, "less"), p99Us: summarize(p99s, "less") };
  } finally {
    await far.stop();
    closeUdpSockets(near.sockets);
  }
}

/** The milliseconds of all round trips of one window, sorted. */
function oneWindow(near: NearNode, budgetMs: number): number[] {
  const trips: number[] = [];
  const endMs = systemClock.nowMs() + budgetMs;
  while (trips.length < TRIPS_MIN || systemClock.nowMs() < endMs) trips.push(mustTrip(near));
  return trips.sort((a, b) => a - b);
}

function mustTrip(near: NearNode): number {
  const startMs = systemClock.nowMs();
  if (!near.trip()) throw new SetupError("The other end of the loopback tunnel does not answer");
  return systemClock.nowMs() - startMs;
}

/** The handshake needs this thread's event loop, so nothing blocks before it is done. */
async function untilAnswered(near: NearNode, failure: () => string | null): Promise<void> {
  const deadlineMs = systemClock.nowMs() + HANDSHAKE_MS;
  near.ask();
  while (!near.take()) {
    const reason = failure();
    if (reason !== null) throw new SetupError(reason);
    if (systemClock.nowMs() > deadlineMs) {
      throw new SetupError("No handshake over loopback: does the firewall let UDP through there?");
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function introduce(near: NearNode, far: NodeProcess): void {
  const { crypto } = selectNoiseCrypto();
  const [nearKey, farKey] = [0, 1].map(() => systemRandom.fill(new Uint8Array(32)));
  far.apply({ privateKey: farKey, peers: [] });
  const port = far.openSockets();
  const peer = (key: Uint8Array, address: Uint8Array, port: number | null) => ({
    publicKey: crypto.x25519PublicKey(key),
    allowedIps: [{ address, bits: 32, remove: false }],
    ...port === null ? {} : { endpoint: { address: LOOPBACK, port } },
  });
  far.apply({ peers: [peer(nearKey, NEAR, null)] });
  far.bringUp();
  near.node.control.apply({ privateKey: nearKey, peers: [peer(farKey, FAR, port)] });
  near.node.control.onInterfaceUp();
  near.node.run();
  nearKey.fill(0);
  farKey.fill(0);
}
