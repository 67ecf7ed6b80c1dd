/**
 * The way out: from a packet that was read, or the oldest segment on the stack's link, into the batches
 * of its peer. A packet whose peer belongs to another lane is handed over to that.
 *
 * A packet is routed once. It may then have to wait in two places: *in hand*, when no batch is free
 * for all of its segments, and *staged*, when its peer has no session. While a packet is in hand, or
 * staged ones are being sent, neither the TUN nor the link is read. A segment in hand stays where it
 * is, at the front of the link, which so fills up and stops the stack's senders.
 */
import { DropReason } from "../base/drop_reason.ts";
import { describeStackSegment, parseSuperPacket, SuperPacket } from "../offload/super_packet.ts";
import { lookupV4, lookupV6 } from "../tables/allowed_ips.ts";
import { KeypairWord } from "../tables/keypair_table.ts";
import { PeerCommand, PeerWord } from "../tables/peer_table.ts";
import { outerTos } from "../wire/ecn.ts";
import { IpProtocol } from "../wire/ip.ts";
import { UDP_HEADER_BYTES } from "../wire/udp.ts";
import { VNET_HEADER_BYTES, VNET_NEEDS_CSUM, writeVnetHeader } from "../wire/virtio_net.ts";
import { DATA_HEADER_BYTES, dataReceiver, MessageType } from "../wire/wireguard.ts";
import { LaneCounter } from "./counters.ts";
import type { Handover } from "./handover.ts";
import type { InboundSink } from "./inbound_sink.ts";
import type { LaneContext } from "./lane_context.ts";
import type { PacketPolicy } from "./packet_policy.ts";
import type { LinkPort } from "./ports.ts";
import type { SendBatches } from "./send_batches.ts";
import { LANE_SCRATCH_ICMP, type LanePlan } from "./shared_state.ts";
import { StagingStore } from "./staging.ts";
import type { Transmitter } from "./transmit.ts";
import { Unreachables } from "./unreachables.ts";

/** Routes the packets of one lane; see the module's text. */
export class Outbound {
  readonly #context: LaneContext;
  readonly #send: SendBatches;
  readonly #transmitter: Transmitter;
  readonly #staging: StagingStore;
  readonly #unreachables: Unreachables;
  readonly #policy: PacketPolicy;
  readonly #packet = new SuperPacket();
  readonly #allowedIpsAt: number;
  /** Where staged packets, and segments to be staged, are put together. */
  readonly #packetAt: number;
  /** The other lanes, null where there are none. */
  readonly #handover: Handover | null;
  /** Where the packet in `#packet` stands, vnet header first; not for a segment of the link. */
  #vnetAt = 0;
  /** The link whose oldest segment is in `#packet`, null for a packet that was read. */
  #link: LinkPort | null = null;
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
    sink: InboundSink,
    policy: PacketPolicy,
    plan: LanePlan,
    handover: Handover | null,
  ) {
    this.#context = context;
    this.#send = send;
    this.#transmitter = transmitter;
    this.#staging = new StagingStore(context.slab, plan.stagingAt);
    this.#unreachables = new Unreachables(
      context,
      sink,
      plan.scratchAt + LANE_SCRATCH_ICMP,
      plan.tunReadAt,
    );
    this.#policy = policy;
    this.#allowedIpsAt = context.tables.plan.allowedIpsAt;
    this.#packetAt = plan.tunReadAt;
    this.#handover = handover;
  }

  /** Whether the read buffer may be filled again, and another segment looked at. */
  get isFree(): boolean {
    return this.#handPeer < 0 && this.#unstaging < 0;
  }

  /** Goes on with the packet in hand and with staged ones; false when something has to wait. */
  proceed(): boolean {
    return this.placeInHand() && this.#continueUnstaging();
  }

  /**
   * Decides once for the packet of `bytes` bytes, vnet header included, that was read from the TUN to
   * `vnetAt` where it goes; then `proceed`. Returns how many packets it becomes.
   */
  route(vnetAt: number, bytes: number): number {
    if (!this.#parse(vnetAt, bytes)) return 1;
    const packets = this.#packet.segmentCount;
    this.#context.channels.counters.add(LaneCounter.TunReadPackets, packets);
    if (this.#policy.mayLeave(this.#packet)) this.#routePacket();
    return packets;
  }

  /** The same for a packet that another lane has read, which has asked the filter. */
  routeHandedOver(vnetAt: number, bytes: number): void {
    if (this.#parse(vnetAt, bytes)) this.#routePacket();
  }

  /** Reads the packet at `vnetAt`; false, and counted, when it is none. */
  #parse(vnetAt: number, bytes: number): boolean {
    this.#link = null;
    this.#vnetAt = vnetAt;
    const reason = parseSuperPacket(this.#context.slab, vnetAt, bytes, this.#packet);
    if (reason !== DropReason.None) this.#context.channels.counters.drop(reason);
    return reason === DropReason.None;
  }

  /**
   * The same for the oldest segment of `link`, which is taken away as soon as it has its place; the
   * filter does not see it. Returns how many packets it becomes.
   */
  routeSegment(link: LinkPort): number {
    const packet = this.#packet;
    const counters = this.#context.channels.counters;
    const reason = describeStackSegment(
      this.#context.slab,
      link.frontHeaderAt,
      link.frontHeaderBytes,
      link.frontPayloadAt,
      link.frontPayloadBytes,
      link.frontGso,
      packet,
    );
    if (reason !== DropReason.None) {
      counters.drop(reason);
      link.pop();
      return 1;
    }
    counters.add(LaneCounter.StackSegments, 1);
    counters.add(LaneCounter.StackSegmentPackets, packet.segmentCount);
    counters.add(LaneCounter.StackSegmentBytes, packet.bytes);
    this.#link = link;
    this.#routePacket();
    // What the error about it set off may have closed the link, which empties it.
    if (this.#handPeer < 0 && !link.isEmpty) link.pop();
    return packet.segmentCount;
  }

  /** Decides for the packet in `#packet`: afterwards it is in hand, or staged, or dropped. */
  #routePacket(): void {
    const packet = this.#packet;
    const counters = this.#context.channels.counters;
    const peer = this.#destinationOwner();
    if (this.#isForeign(peer)) return this.#handOver(peer);
    if (peer < 0 || !this.#transmitter.hasEndpoint(peer)) {
      counters.drop(peer < 0 ? DropReason.NoRoute : DropReason.NoEndpoint, packet.segmentCount);
      this.#unreachables.answer(packet);
      return;
    }
    const keypair = this.#context.sendingKeypair(peer);
    // A packet that comes between a new session and main's request to flush overtakes nobody.
    const isLate = this.#unstaging < 0 && this.#staging.count(peer) > 0;
    if (keypair < 0 || isLate) {
      if (this.#link !== null) this.#gatherPacket();
      const dropped = this.#staging.push(peer, this.#vnetAt, VNET_HEADER_BYTES + packet.bytes);
      if (dropped > 0) counters.drop(DropReason.StagedOverflow, dropped);
      if (keypair >= 0) this.#unstaging = peer;
      return;
    }
    if (this.#isOwnMessage(keypair)) {
      counters.drop(DropReason.RoutingLoop, packet.segmentCount);
      return;
    }
    this.#policy.leaves(packet, peer);
    this.#handPeer = peer;
    this.#handKeypair = keypair;
    this.#handNext = 0;
  }

  /** Whether a peer belongs to another lane. */
  #isForeign(peer: number): boolean {
    if (this.#handover === null || peer < 0) return false;
    return this.#context.peers.word(peer, PeerWord.Lane) !== this.#context.lane;
  }

  /** Gives the packet that was just read away; one that has been here longer has no way to go. */
  #handOver(peer: number): void {
    const { counters } = this.#context.channels;
    const { bytes, segmentCount } = this.#packet;
    if (this.#link !== null || this.#vnetAt !== this.#handover!.readAt) {
      counters.drop(DropReason.LaneChanged, segmentCount);
      return;
    }
    const lane = this.#context.peers.word(peer, PeerWord.Lane);
    this.#handover!.pass(lane, VNET_HEADER_BYTES + bytes);
    counters.add(LaneCounter.HandedOver, 1);
  }

  /** Puts a segment of the stack together as a TUN would give it. */
  #gatherPacket(): void {
    const { at, headerBytes, payloadAt, payloadBytes, gso } = this.#packet;
    const { u8, view } = this.#context.slab;
    const vnetAt = this.#vnetAt = this.#packetAt;
    const ipAt = vnetAt + VNET_HEADER_BYTES;
    writeVnetHeader(
      view,
      vnetAt,
      gso.needsCsum ? VNET_NEEDS_CSUM : 0,
      gso.type,
      gso.hdrLen,
      gso.gsoSize,
      gso.csumStart,
      gso.csumOffset,
    );
    u8.copyWithin(ipAt, at, at + headerBytes);
    u8.copyWithin(ipAt + headerBytes, payloadAt, payloadAt + payloadBytes);
  }

  /**
   * Whether the packet in `#packet` is a data message that was sealed with this very keypair: the way
   * to the peer's endpoint leads into the tunnel, and every packet would go round for ever, two of
   * them as soon as it is long enough to be fragmented. Messages of a tunnel within this one have
   * another index.
   */
  #isOwnMessage(keypair: number): boolean {
    const packet = this.#packet;
    const { bytes, portsAt, protocol, transportOffset } = packet;
    if (protocol !== IpProtocol.Udp || portsAt === 0) return false;
    if (transportOffset + UDP_HEADER_BYTES + DATA_HEADER_BYTES > bytes) return false;
    const messageAt = packet.placeOf(transportOffset + UDP_HEADER_BYTES);
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
    if (this.#link !== null && this.#link.isEmpty) return this.#dropFromClosedLink();
    const peer = this.#destinationOwner();
    const isForeign = this.#isForeign(peer);
    const keypair = peer < 0 || isForeign ? -1 : this.#context.sendingKeypair(peer);
    this.#handPeer = keypair < 0 ? -1 : peer;
    this.#handKeypair = keypair;
    if (keypair >= 0) return;
    this.#link?.pop();
    const reason = peer < 0
      ? DropReason.NoRoute
      : isForeign
      ? DropReason.LaneChanged
      : DropReason.NoKeypair;
    this.#context.channels.counters.drop(reason, this.#packet.segmentCount - this.#handNext);
  }

  /** Places what is left of the packet in hand; false when no batch is free for all of it. */
  placeInHand(): boolean {
    if (this.#handPeer < 0) return true;
    const packet = this.#packet;
    if (this.#link !== null && this.#link.isEmpty) {
      this.#dropFromClosedLink();
      return true;
    }
    const first = this.#handNext;
    this.#handNext = this.#send.append(
      packet,
      this.#handPeer,
      this.#handKeypair,
      outerTos(this.#context.slab.view, packet.at),
      first,
    );
    const { counters } = this.#context.channels;
    counters.add(LaneCounter.PacketsOut, this.#handNext - first);
    if (this.#handNext < packet.segmentCount) return false;
    this.#handPeer = -1;
    this.#link?.pop();
    return true;
  }

  /** The link was closed while its oldest segment was in hand: what is left of it is gone. */
  #dropFromClosedLink(): void {
    const left = this.#packet.segmentCount - this.#handNext;
    this.#context.channels.counters.drop(DropReason.LinkClosed, left);
    this.#handPeer = -1;
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
      const bytes = this.#staging.shift(peer, this.#packetAt);
      if (bytes < 0) {
        this.#unstaging = -1;
        break;
      }
      // It has passed the filter before it was staged.
      if (this.#parse(this.#packetAt, bytes)) this.#routePacket();
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
