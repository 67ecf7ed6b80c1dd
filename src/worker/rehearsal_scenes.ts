/**
 * What happens to a lane beside packets that come and go: main's requests, new sessions, handshakes,
 * messages that nobody can open. V8 compiles for what it has seen, and discards code that comes to
 * something else. Without these scenes the first packet of a real peer, which waits for its handshake,
 * would undo the rehearsal, and so would each new session after it.
 *
 * A scene is set, one packet is played, and what it has left behind is taken away.
 */
import { EventFd } from "../../ffi/eventfd.ts";
import type { FfiMemory } from "../../ffi/memory.ts";
import { UDP_SCRATCH_BYTES, UdpSocketPair } from "../../ffi/udp.ts";
import type { UdpSockets } from "../../ffi/udp_open.ts";
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import type { SessionLimits } from "../lane/limits.ts";
import { LaneChannels, LaneCommand, type SharedPlan } from "../lane/shared_state.ts";
import { Doorbell } from "../memory/doorbell.ts";
import type { Slab } from "../memory/slab.ts";
import { PeerCommand } from "../tables/peer_table.ts";
import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  KEEPALIVE_BYTES,
  MessageType,
  RESPONSE_BYTES,
  writeDataHeader,
} from "../wire/wireguard.ts";
import { REHEARSAL_PEER, type RehearsalPeer } from "./rehearsal_peer.ts";

const MESSAGE = alignUp(UDP_SCRATCH_BYTES, CACHE_LINE_BYTES);
/** Bytes of slab that the scenes need. */
export const REHEARSAL_SCENES_BYTES = MESSAGE + alignUp(INITIATION_BYTES, CACHE_LINE_BYTES);

/** One scene: what comes before a packet, and what after it. */
interface Scene {
  readonly begin: () => void;
  readonly end?: () => void;
}

/** What the scenes need. */
export interface SceneOptions {
  readonly slab: Slab;
  readonly memory: FfiMemory;
  readonly plan: SharedPlan;
  readonly limits: SessionLimits;
  readonly peer: RehearsalPeer;
  readonly udp: UdpSockets;
  /** Ends the sleep of the rehearsed loop. */
  readonly bellFd: number;
  /** `REHEARSAL_SCENES_BYTES` in the slab. */
  readonly scratchAt: number;
  /** Has the TUN bring a packet that no peer takes. */
  readonly sendStray: () => void;
}

/** The scenes, one after the other, again and again. */
export class RehearsalScenes {
  readonly #slab: Slab;
  readonly #peer: RehearsalPeer;
  readonly #limits: SessionLimits;
  readonly #channels: LaneChannels;
  readonly #mainBell: Doorbell;
  readonly #bell: EventFd;
  readonly #port: UdpSocketPair;
  readonly #messageAt: number;
  readonly #scenes: readonly Scene[];
  #next = 0;

  constructor(options: SceneOptions) {
    const { slab, memory, plan, limits, peer, udp, bellFd, scratchAt, sendStray } = options;
    this.#slab = slab;
    this.#peer = peer;
    this.#limits = limits;
    this.#channels = new LaneChannels(slab, plan, plan.lanes[0]);
    this.#bell = new EventFd(bellFd);
    this.#mainBell = new Doorbell(slab, plan.mainBellAt, this.#bell);
    this.#port = new UdpSocketPair(memory, scratchAt, udp);
    this.#messageAt = scratchAt + MESSAGE;
    this.#scenes = this.#makeScenes(sendStray);
  }

  /** Sets the next scene; play one packet. */
  begin(): void {
    this.#mainBell.willSleep();
    this.#scenes[this.#next].begin();
  }

  /** Takes it away again. */
  end(): void {
    this.#scenes[this.#next].end?.();
    this.#next = (this.#next + 1) % this.#scenes.length;
    this.#takeMail();
  }

  #makeScenes(sendStray: () => void): Scene[] {
    const peer = this.#peer;
    const { rekeyAfterMs } = this.#limits;
    return [
      { begin: () => peer.hasSession(false), end: () => this.#endWaiting() },
      { begin: () => peer.beginSession(), end: () => peer.confirmSession() },
      { begin: () => peer.wantTimers(), end: () => peer.ignoreTimers() },
      { begin: () => this.#ask(LaneCommand.Beat) },
      { begin: () => this.#askForPeer(PeerCommand.SendKeepalive) },
      { begin: () => this.#sendHandshake(MessageType.Initiation, INITIATION_BYTES) },
      { begin: () => this.#sendHandshake(MessageType.Response, RESPONSE_BYTES) },
      { begin: () => this.#sendHandshake(MessageType.CookieReply, COOKIE_REPLY_BYTES) },
      { begin: () => peer.writeEndpoint() },
      { begin: sendStray },
      { begin: () => peer.setAge(rekeyAfterMs + 1), end: () => peer.setAge(0) },
      { begin: () => this.#sendForged(peer.index) },
      { begin: () => this.#sendForged(0) },
      { begin: () => this.#ask(LaneCommand.ForgetKeys | LaneCommand.Sockets | LaneCommand.Flows) },
    ];
  }

  /** The handshake that a packet waits for is complete. */
  #endWaiting(): void {
    this.#peer.hasSession(true);
    this.#askForPeer(PeerCommand.SendStagedOrKeepalive);
  }

  #ask(bits: number): void {
    this.#channels.request(bits);
    this.#bell.signal();
  }

  #askForPeer(bits: number): void {
    this.#channels.commands.post(REHEARSAL_PEER, bits);
    this.#bell.signal();
  }

  /** What only main can judge. */
  #sendHandshake(type: number, bytes: number): void {
    this.#slab.u8.fill(0, this.#messageAt, this.#messageAt + bytes);
    this.#slab.view.setUint32(this.#messageAt, type, true);
    this.#send(bytes);
  }

  /** A data message that no key opens. */
  #sendForged(index: number): void {
    this.#slab.u8.fill(0, this.#messageAt, this.#messageAt + KEEPALIVE_BYTES);
    writeDataHeader(this.#slab.view, this.#messageAt, index, 0);
    this.#send(KEEPALIVE_BYTES);
  }

  #send(bytes: number): void {
    this.#port.send(this.#messageAt, bytes, bytes, this.#peer.endpointAt, 0);
  }

  /** Takes what the lane has for main, which is nobody here. */
  #takeMail(): void {
    const { events, handshakes } = this.#channels;
    while (events.take() >= 0);
    while (handshakes.peek() >= 0) handshakes.release();
  }
}
