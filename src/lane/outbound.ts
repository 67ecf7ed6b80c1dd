/**
 * The way out: from a packet in the lane's read buffer into the batches of its peer.
 *
 * A packet is routed once. It may then have to wait in two places: *in hand*, when no batch is free
 * for all of its segments, and *staged*, when its peer has no session. While a packet is in hand, or
 * staged ones are being sent, the TUN is not read.
 */
import { DropReason } from "../base/drop_reason.ts";
import { parseSuperPacket, SuperPacket } from "../offload/super_packet.ts";
import { lookupV4, lookupV6 } from "../tables/allowed_ips.ts";
import { KeypairWord } from "../tables/keypair_table.ts";
import { PeerCommand, PeerWord } from "../tables/peer_table.ts";
import { outerTos } from "../wire/ecn.ts";
import { IpProtocol } from "../wire/ip.ts";
import { UDP_HEADER_BYTES } from "../wire/udp.ts";
import { DATA_HEADER_BYTES, dataReceiver, MessageType } from "../wire/wireguard.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { SendBatches } from "./send_batches.ts";
import { LANE_SCRATCH_ICMP, type LanePlan } from "./shared_state.ts";
import { StagingStore } from "./staging.ts";
import type { Transmitter } from "./transmit.ts";
import type { TunOutput } from "./tun_output.ts";
import { Unreachables } from "./unreachables.ts";

/** Routes the packets of one lane; see the module's text. */
export class Outbound {
  readonly #context: LaneContext;
  readonly #send: SendBatches;
  readonly #transmitter: Transmitter;
  readonly #staging: StagingStore;
  readonly #unreachables: Unreachables;
  readonly #packet = new SuperPacket();
  readonly #allowedIpsAt: number;
  readonly #tunReadAt: number;
  /** The super-packet in hand: the peer and keypair it goes to, and its next segment. */
  #handPeer = -1;
  #handKeypair = -1;
  #handNext = 0;
  /** The peer whose staged packets are being sent, -1 for none. */
  #unstaging = -1;

  constructor(
    context: LaneContext,
    send: SendBatches,
    transmitter: Transmitter,
    output: TunOutput,
    plan: LanePlan,
  ) {
    this.#context = context;
    this.#send = send;
    this.#transmitter = transmitter;
    this.#staging = new StagingStore(context.slab, plan.stagingAt);
    this.#unreachables = new Unreachables(context, output, plan.scratchAt + LANE_SCRATCH_ICMP);
    this.#allowedIpsAt = context.tables.plan.allowedIpsAt;
    this.#tunReadAt = plan.tunReadAt;
  }

  /** Whether the read buffer may be filled again. */
  get isFree(): boolean {
    return this.#handPeer < 0 && this.#unstaging < 0;
  }

  /** Goes on with the packet in hand and with staged ones; false when something has to wait. */
  proceed(): boolean {
    return this.placeInHand() && this.#continueUnstaging();
  }

  /** Decides once for the packet of `bytes` bytes in the read buffer where it goes; then `proceed`. */
  route(bytes: number): void {
    const packet = this.#packet;
    const counters = this.#context.channels.counters;
    const reason = parseSuperPacket(this.#context.slab, this.#tunReadAt, bytes, packet);
    if (reason !== DropReason.None) {
      counters.drop(reason);
      return;
    }
    counters.add(LaneCounter.TunReadPackets, packet.segmentCount);
    const peer = this.#destinationOwner();
    if (peer < 0 || !this.#transmitter.hasEndpoint(peer)) {
      counters.drop(peer < 0 ? DropReason.NoRoute : DropReason.NoEndpoint, packet.segmentCount);
      this.#unreachables.answer(packet);
      return;
    }
    const keypair = this.#context.sendingKeypair(peer);
    // A packet that comes between a new session and main's request to flush overtakes nobody.
    const isLate = this.#unstaging < 0 && this.#staging.count(peer) > 0;
    if (keypair < 0 || isLate) {
      const dropped = this.#staging.push(peer, this.#tunReadAt, bytes);
      if (dropped > 0) counters.drop(DropReason.StagedOverflow, dropped);
      if (keypair >= 0) this.#unstaging = peer;
      return;
    }
    if (this.#isOwnMessage(keypair)) {
      counters.drop(DropReason.RoutingLoop, packet.segmentCount);
      return;
    }
    this.#handPeer = peer;
    this.#handKeypair = keypair;
    this.#handNext = 0;
  }

  /**
   * Whether the packet in `#packet` is a data message that was sealed with this very keypair: the way
   * to the peer's endpoint leads into the tunnel, and every packet would go round for ever, two of
   * them as soon as it is long enough to be fragmented. Messages of a tunnel within this one have
   * another index.
   */
  #isOwnMessage(keypair: number): boolean {
    const { at, bytes, portsAt, protocol } = this.#packet;
    const messageAt = portsAt + UDP_HEADER_BYTES;
    if (protocol !== IpProtocol.Udp || portsAt === 0) return false;
    if (messageAt + DATA_HEADER_BYTES > at + bytes) return false;
    const { view } = this.#context.slab;
    return view.getUint32(messageAt, true) === MessageType.Data &&
      (dataReceiver(view, messageAt) | 0) ===
        this.#context.keypairs.word(keypair, KeypairWord.RemoteIndex);
  }

  /** The peer that the packet in `#packet` goes to, -1 for none. */
  #destinationOwner(): number {
    const { ipVersion, destinationAt } = this.#packet;
    return ipVersion === 4
      ? lookupV4(this.#context.slab, this.#allowedIpsAt, destinationAt)
      : lookupV6(this.#context.slab, this.#allowedIpsAt, destinationAt);
  }

  /**
   * Routes the packet in hand once more: since the turn that began with it, its peer may have been
   * removed, and its keypair wiped and given to another session.
   */
  beginTurn(): void {
    if (this.#handPeer < 0) return;
    const peer = this.#destinationOwner();
    const keypair = peer < 0 ? -1 : this.#context.sendingKeypair(peer);
    this.#handPeer = keypair < 0 ? -1 : peer;
    this.#handKeypair = keypair;
    if (keypair >= 0) return;
    const left = this.#packet.segmentCount - this.#handNext;
    this.#context.channels.counters.drop(
      peer < 0 ? DropReason.NoRoute : DropReason.NoKeypair,
      left,
    );
  }

  /** Places what is left of the packet in hand; false when no batch is free for all of it. */
  placeInHand(): boolean {
    if (this.#handPeer < 0) return true;
    const packet = this.#packet;
    this.#handNext = this.#send.append(
      packet,
      this.#handPeer,
      this.#handKeypair,
      outerTos(this.#context.slab.view, packet.at),
      this.#handNext,
    );
    if (this.#handNext < packet.segmentCount) return false;
    this.#handPeer = -1;
    return true;
  }

  /** Routes the staged packets of a peer whose session is ready; false when it has to wait. */
  #continueUnstaging(): boolean {
    while (this.#unstaging >= 0) {
      if (this.#transmitter.isBlocked) return false;
      const peer = this.#unstaging;
      if (this.#context.sendingKeypair(peer) < 0) {
        this.#unstaging = -1;
        break;
      }
      const bytes = this.#staging.shift(peer, this.#tunReadAt);
      if (bytes < 0) {
        this.#unstaging = -1;
        break;
      }
      this.route(bytes);
      if (!this.placeInHand()) return false;
    }
    return true;
  }

  /** Does what main asks about a peer, as bits of `PeerCommand`. */
  obey(peer: number, bits: number): void {
    if ((bits & PeerCommand.DropStaged) !== 0) {
      const dropped = this.#staging.clear(peer);
      if (dropped > 0) this.#context.channels.counters.drop(DropReason.NoKeypair, dropped);
    }
    if (this.#context.peers.word(peer, PeerWord.InUse) === 0) return;
    const staged = this.#staging.count(peer);
    const sendsStaged = PeerCommand.SendStaged | PeerCommand.SendStagedOrKeepalive;
    if ((bits & sendsStaged) !== 0 && staged > 0) {
      this.#unstaging = peer;
    } else if ((bits & (PeerCommand.SendKeepalive | PeerCommand.SendStagedOrKeepalive)) !== 0) {
      this.#sendKeepalive(peer);
    }
  }

  #sendKeepalive(peer: number): void {
    if (!this.#transmitter.hasEndpoint(peer)) return;
    const keypair = this.#context.sendingKeypair(peer);
    if (keypair < 0) return;
    if (!this.#send.appendKeepalive(peer, keypair)) {
      this.#context.channels.counters.drop(DropReason.NoBuffer);
    }
  }
}
