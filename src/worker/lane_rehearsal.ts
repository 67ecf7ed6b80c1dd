/**
 * A lane's rehearsal. V8 compiles what runs often, and a node that has little to do never gets there:
 * a packet then costs a wake-up of 200 us instead of 10. So a lane that has nothing to do after its
 * start plays through its work with packets of its own making, until its code is compiled.
 *
 * What plays is the real loop, over private tables in the same slab: a socket pair takes the TUN's
 * place, and the one peer's endpoint is the lane's own socket on the loopback address, so that every
 * packet goes the whole way out and comes in again. The key is made for the rehearsal; afterwards
 * tables, key and sockets are gone, and no counter that a user sees has moved.
 *
 * ```
 * far end ──▶ TUN ─▶ seal ─▶ 127.0.0.1 ─▶ open ─▶ TUN ──▶ far end
 * ```
 */
import { systemClock } from "../../ffi/clock.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { openEventFd } from "../../ffi/eventfd.ts";
import type { FfiMemory } from "../../ffi/memory.ts";
import { releasePages } from "../../ffi/pages.ts";
import { TunQueue } from "../../ffi/tun.ts";
import { closeUdpSockets, openUdpSockets, type UdpSockets } from "../../ffi/udp_open.ts";
import { openDatagramPair } from "../../ffi/unix_datagram.ts";
import { TUN_READ_BYTES } from "../lane/limits.ts";
import { LaneChannels, LaneWord, type SharedPlan } from "../lane/shared_state.ts";
import type { Slab } from "../memory/slab.ts";
import { ticketQueueBytes } from "../memory/ticket_queue.ts";
import { AF_INET, ENDPOINT_BYTES } from "../tables/endpoint.ts";
import type { LaneStart } from "./messages.ts";
import { type RehearsalPackets, writeRehearsalPackets } from "./rehearsal_packets.ts";
import { RehearsalPeer } from "./rehearsal_peer.ts";
import { REHEARSAL_SCENES_BYTES, RehearsalScenes } from "./rehearsal_scenes.ts";

/**
 * Packets after which V8 has optimised what they go through. It counts some 3,000 calls of each
 * function, and those of a small one only when its callers, which contain its code until then, have
 * been optimised without it.
 */
const PACKETS = 36_000;
/**
 * The rehearsal takes at most this long, and ends when nothing has come back for so long: encryptors
 * may begin to run after their lane.
 */
const TOTAL_MS = 4000;
const STALL_MS = 500;
/** Packets that are in the tunnel at most: encryptors beside the lane work while it plays on. */
const IN_TUNNEL_MAX = 8;
/** A scene comes with every so many packets, and several packets at once. */
const SCENE_PACKETS = 31;
const BURST_PACKETS = 43;
/** How long the lane is away from its ports at a time: what a packet waits for it, on its way twice. */
const SLICE_MS = 0.05;
const MTU = 1420;
const SOCKET_BUFFER_BYTES = 512 * 1024;

/** A lane's loop, as the rehearsal drives it. */
export interface RehearsedLoop {
  /** Waits for at most `waitMsMax` and goes on until it would sleep. */
  work(waitMsMax: number): void;
  /** Whether no batch is in the hands of encryptors. */
  readonly isIdle: boolean;
  /** Closes what the loop itself has opened. */
  close(): void;
}

/** One rehearsal; see the module's text. */
export class LaneRehearsal {
  /** Whether there is nothing more to play. */
  isOver = false;
  /** Whether encryptors have to do something first; they ring the bell of the real lane. */
  isWaiting = false;
  /** Packets that were played so far, and that have come out of the tunnel again. */
  sent = 0;
  heard = 0;
  readonly #memory: FfiMemory;
  readonly #plan: SharedPlan;
  readonly #loop: RehearsedLoop;
  readonly #scenes: RehearsalScenes;
  /** What has to be closed again. */
  readonly #opened: DisposableStack;
  readonly #farEnd: TunQueue;
  readonly #packets: RehearsalPackets;
  readonly #startedMs = systemClock.nowMs();
  #heardMs = this.#startedMs;
  /** Nothing more is played, but encryptors still have what was. */
  #isEnding = false;

  /** Throws `SystemCallError` where descriptors or the loopback interface are missing. */
  constructor(
    start: LaneStart,
    slab: Slab,
    memory: FfiMemory,
    makeLoop: (start: LaneStart) => RehearsedLoop,
  ) {
    const plan = this.#plan = start.rehearsal;
    const { vnetHeaders } = start.tunOffload;
    this.#memory = memory;
    using opened = new DisposableStack();
    const udp = openUdpSockets({
      port: 0,
      bufferBytes: SOCKET_BUFFER_BYTES,
      families: [AF_INET],
      loopback: true,
    });
    opened.defer(() => closeUdpSockets(udp));
    const [tunFd, farFd] = openDatagramPair();
    opened.adopt(tunFd, closeFd);
    opened.adopt(farFd, closeFd);
    const bellFd = opened.adopt(openEventFd(), closeFd);
    this.#farEnd = new TunQueue(memory, farFd, vnetHeaders);
    const endpointAt = plan.mainScratchAt;
    const peer = new RehearsalPeer(slab, plan, endpointAt, udp.port);
    writeLaneBlock(slab, plan, udp);
    const scratchAt = endpointAt + ENDPOINT_BYTES;
    const { limits } = start;
    this.#scenes = new RehearsalScenes({
      slab,
      memory,
      plan,
      limits,
      peer,
      udp,
      bellFd,
      scratchAt,
      sendStray: () => this.#farEnd.writev(this.#packets.stray, 1),
    });
    this.#packets = writeRehearsalPackets(
      slab,
      scratchAt + REHEARSAL_SCENES_BYTES,
      memory.addressNumber,
    );
    this.#loop = makeLoop({
      ...start,
      lane: 0,
      plan,
      tunFds: [tunFd],
      laneBellFds: [bellFd],
      mainBellFd: bellFd,
    });
    this.#opened = opened.move();
  }

  /** Plays for a while. */
  play(): void {
    const beganMs = systemClock.nowMs();
    let nowMs = beganMs;
    while (!this.isOver && nowMs - beganMs < SLICE_MS) {
      const heardBefore = this.heard;
      const maySend = !this.#isEnding && this.sent - this.heard < IN_TUNNEL_MAX;
      if (maySend) this.#send();
      else this.#loop.work(0);
      nowMs = systemClock.nowMs();
      this.#hear(nowMs);
      const playedMs = nowMs - this.#startedMs;
      this.#isEnding ||= this.sent >= PACKETS || playedMs > TOTAL_MS ||
        nowMs - this.#heardMs > STALL_MS;
      this.isOver = this.#isEnding && (this.#loop.isIdle || playedMs > TOTAL_MS + STALL_MS);
      this.isWaiting = !maySend && this.heard === heardBefore;
      if (this.isWaiting) return;
    }
  }

  /** Plays a packet, now and then several at once, and now and then within a scene. */
  #send(): void {
    const { sent } = this;
    const hasScene = sent % SCENE_PACKETS === 0;
    if (hasScene) this.#scenes.begin();
    this.#sendOne();
    if (sent % BURST_PACKETS === 0) {
      while (this.sent - this.heard < IN_TUNNEL_MAX) {
        this.#sendOne();
      }
    }
    this.#loop.work(0);
    if (hasScene) this.#scenes.end();
  }

  #sendOne(): void {
    const { routed } = this.#packets;
    this.#farEnd.writev(routed[this.sent++ % routed.length], 1);
  }

  /** Takes what has come out of the tunnel. */
  #hear(nowMs: number): void {
    const { tunReadAt } = this.#plan.lanes[0];
    while (this.#farEnd.read(tunReadAt, TUN_READ_BYTES) >= 0) {
      this.heard++;
      this.#heardMs = nowMs;
    }
  }

  /** Leaves nothing behind. */
  close(): void {
    this.isOver = true;
    this.#loop.close();
    this.#opened.dispose();
    const { peersAt, keypairsAt, epochsAt, byteLength, lanes, batchSlots } = this.#plan;
    // Also where pages are not given back.
    this.#memory.u8.fill(0, keypairsAt, epochsAt);
    // An encryptor that was stopped in the middle of a batch must find it as it was.
    if (!this.#loop.isIdle) return;
    const { encryptors, ticketsAt } = lanes[0];
    // A queue stays: an encryptor that comes late must not find its counters half gone.
    const queueBytes = encryptors.length === 0 ? 0 : ticketQueueBytes(batchSlots);
    const queueAt = encryptors.length === 0 ? byteLength : ticketsAt;
    releasePages(this.#memory, peersAt, queueAt - peersAt);
    const behindAt = queueAt + queueBytes;
    releasePages(this.#memory, behindAt, byteLength - behindAt);
  }
}

/** What main tells a lane at its start. */
function writeLaneBlock(slab: Slab, plan: SharedPlan, udp: UdpSockets): void {
  const channels = new LaneChannels(slab, plan, plan.lanes[0]);
  channels.setWord(LaneWord.Mtu, MTU);
  channels.setWord(LaneWord.Udp4Fd, udp.v4);
  channels.setWord(LaneWord.Udp6Fd, -1);
}

/** The rehearsal of a lane, or null where this system does not let it. */
export function beginRehearsal(
  ...parts: ConstructorParameters<typeof LaneRehearsal>
): LaneRehearsal | null {
  try {
    return new LaneRehearsal(...parts);
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}
