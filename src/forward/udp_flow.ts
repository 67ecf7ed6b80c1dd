/**
 * A forwarded UDP flow: one address and port of a peer, one address and port that it sends to, and a
 * connected socket of the host. Datagrams keep their bounds both ways. The host's refusal ends the
 * flow, and the peer is told.
 *
 * Of a routed flow, whose destination the peer has named itself, this node is a hop on the way: what
 * it sends has the peer's hop limit less one, is fragmented only where the peer's datagram might have
 * been, and what routers and the destination say of it by ICMP is passed on.
 */
import { Errno } from "../base/errno.ts";
import type { IcmpErrorKind, Pieces } from "../netstack/inbound.ts";
import { IcmpErrorKind as Kind } from "../netstack/inbound.ts";
import type { FlowError } from "../netstack/flow_errors.ts";
import type { UdpDatagram, UdpFlow, UdpHandler, UdpSocket } from "../netstack/udp_socket.ts";
import type { HostFlow } from "./flow_slots.ts";
import { type FlowFacts, FlowKind, FlowState } from "./flow_snapshot.ts";
import {
  HostError,
  HostEvent,
  type HostSockets,
  RUN_BYTES_MAX,
  RUN_DATAGRAMS_MAX,
} from "./host_sockets.ts";
import type { UdpMapping } from "./udp_mapping.ts";
import { passedError, tooBig } from "./passed_errors.ts";
import { RESOLVER_SILENCE_MS, UDP_IDLE_MS, UDP_QUERY_IDLE_MS } from "./limits.ts";

/** What a flow needs of the forwarder that it belongs to. */
export interface UdpFlowOwner {
  readonly host: HostSockets;
  /** Time of the lane's turn. */
  readonly nowMs: number;
  /** Where datagrams of the host are read to, 65,535 bytes. */
  readonly datagramAt: number;
  /** Sends the peer an ICMP error about a datagram with that many bytes of payload. */
  sendError(flow: UdpFlow, payloadBytes: number, error: FlowError): void;
  /** The host has datagrams for the peer: `readHost` is called when the flow's turn comes. */
  enqueue(flow: UdpForward): void;
  /** Datagrams that the host had no room for. */
  onDropped(datagrams: number): void;
  /** A name server has not answered in time. */
  onSilent(flow: UdpForward): void;
  /** The flow has moved something. */
  onActive(flow: UdpForward): void;
  /** The flow is over and its sockets closed. */
  onFlowEnd(flow: UdpForward): void;
}

const DATAGRAM_BYTES_MAX = 65_535;
/** IP and UDP headers of a datagram without options. */
const HEADER_BYTES_V4 = 28;
const HEADER_BYTES_V6 = 48;
const ERROR_EVENTS = HostEvent.Error | HostEvent.HungUp;

/** Where a flow leads. */
export interface UdpTarget {
  readonly address: Uint8Array;
  readonly port: number;
  /** Whether it is a name server, one of several perhaps. */
  readonly isResolver?: boolean;
}

/** One flow; see the module's text. */
export class UdpForward implements UdpHandler, HostFlow {
  /** Whether the flow waits in the owner's queue. */
  isQueued = false;
  /** When it was last moved to the end of its client's list. */
  listedMs = 0;
  /** The host's port that it shares with other flows from the peer's port; null for a service's. */
  mapping: UdpMapping | null = null;
  readonly #owner: UdpFlowOwner;
  readonly #hostSocket: number;
  /** What the peer calls the flow. */
  readonly #flow: UdpFlow;
  readonly #isRouted: boolean;
  readonly #error = new HostError();
  #hopLimit = -1;
  #socket: UdpSocket | null = null;
  /** Whether the datagram that made the flow has gone to the host already. */
  #isFirstSent = false;
  /** Whether the owner knows that a name server does not answer. */
  #isSilenceTold = false;
  /** The kernel or the path does not take runs of datagrams. */
  #isRunRefused = false;
  #isReadable = false;
  #isReplied = false;
  /** Whether the peer has sent again after an answer: more than one question. */
  #isConversation = false;
  #isOver = false;
  #activeMs: number;
  readonly #startedMs: number;
  #toHostBytes = 0;
  #toPeerBytes = 0;

  /** `hostSocket` is connected; the flow closes it. */
  constructor(
    owner: UdpFlowOwner,
    readonly slot: number,
    readonly client: string,
    flow: UdpFlow,
    hostSocket: number,
    isRouted: boolean,
    readonly target: UdpTarget,
  ) {
    this.#owner = owner;
    this.#flow = flow;
    this.#hostSocket = hostSocket;
    this.#isRouted = isRouted;
    this.#activeMs = this.listedMs = this.#startedMs = owner.nowMs;
  }

  /** The flow as status shows it. */
  facts(nowMs: number): FlowFacts {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#flow;
    return {
      kind: FlowKind.Udp,
      state: FlowState.Open,
      client: remoteAddress,
      clientPort: remotePort,
      destination: localAddress,
      destinationPort: localPort,
      target: { address: this.target.address, port: this.target.port },
      ageMs: nowMs - this.#startedMs,
      toHostBytes: this.#toHostBytes,
      toPeerBytes: this.#toPeerBytes,
    };
  }

  /** Whether the flow is over. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends the datagram that makes the flow, which is delivered once more when the socket is there. */
  begin(datagram: UdpDatagram): void {
    this.#toHost(datagram, datagram.at, datagram.bytes);
    this.#isFirstSent = true;
  }

  onDatagram(socket: UdpSocket, datagram: UdpDatagram): void {
    this.#socket = socket;
    if (this.#isFirstSent) this.#isFirstSent = false;
    else this.#toHost(datagram, datagram.at, datagram.bytes);
  }

  onRun(socket: UdpSocket, datagram: UdpDatagram, payloads: Pieces): void {
    this.#socket = socket;
    let next = this.#isFirstSent ? 1 : 0;
    this.#isFirstSent = false;
    while (next < payloads.count && !this.#isOver) {
      const sent = this.#runToHost(datagram, payloads, next);
      if (sent === 0 && !this.#isOver) {
        this.#toHost(datagram, payloads.at[next], payloads.bytes[next]);
      }
      next += Math.max(1, sent);
    }
  }

  /** Sends as many datagrams of a run as one call takes; how many, 0 to send the next one alone. */
  #runToHost(datagram: UdpDatagram, payloads: Pieces, first: number): number {
    const segmentBytes = payloads.bytes[first];
    const count = this.#isRunRefused || segmentBytes === 0 ? 0 : Math.min(
      payloads.count - first,
      RUN_DATAGRAMS_MAX,
      Math.floor(RUN_BYTES_MAX / segmentBytes),
    );
    if (count < 2) return 0;
    if (this.#isRouted) this.#setHopLimit(datagram.hopLimit - 1);
    const { host } = this.#owner;
    const result = host.writeRun(this.#hostSocket, payloads, first, count, segmentBytes);
    if (result >= 0) {
      this.#toHostBytes += result;
      this.#isConversation ||= this.#isReplied;
      this.#noteActive();
      return count;
    }
    if (result === -Errno.EAGAIN || result === -Errno.ENOBUFS) {
      this.#owner.onDropped(count);
      return count;
    }
    // Not this run, and for what speaks against runs, no other: one by one says what it is.
    this.#isRunRefused = result === -Errno.EIO || result === -Errno.EINVAL ||
      result === -Errno.EMSGSIZE;
    if (!this.#isRunRefused) this.#hostFailed(result);
    return 0;
  }

  onError(_socket: UdpSocket, kind: IcmpErrorKind): void {
    if (kind === Kind.PortUnreachable) this.end();
  }

  onHostEvents(events: number): void {
    if ((events & (HostEvent.Readable | ERROR_EVENTS)) === 0) return;
    this.#isReadable = true;
    this.#owner.enqueue(this);
  }

  /** Sends what the host has for the peer, up to so many datagrams; how many those were. */
  readHost(datagramsMax: number): number {
    const { host, datagramAt } = this.#owner;
    let moved = 0;
    while (this.#isReadable && !this.#isOver && moved < datagramsMax) {
      const bytes = host.readRun(this.#hostSocket, datagramAt, DATAGRAM_BYTES_MAX);
      if (bytes === -Errno.EAGAIN) {
        this.#isReadable = false;
        break;
      }
      if (bytes < 0) {
        // The read has taken the error away: behind it there may be datagrams.
        this.#hostFailed(bytes);
        moved++;
        continue;
      }
      this.#isReplied = true;
      this.#toPeerBytes += bytes;
      moved += this.#toPeer(bytes, host.segmentBytes);
    }
    if (this.#isOver) return moved;
    if (moved > 0) this.#noteActive();
    if (this.#isReadable) this.#owner.enqueue(this);
    return moved;
  }

  /** Sends the peer what was read, datagram by datagram; how many those were. */
  #toPeer(bytes: number, segmentBytes: number): number {
    const { datagramAt } = this.#owner;
    let count = 0;
    let from = 0;
    do {
      const length = Math.min(segmentBytes, bytes - from);
      // What the link has no room for is counted there.
      this.#socket?.send(datagramAt + from, length);
      from += length;
      count++;
    } while (from < bytes);
    return count;
  }

  onSweep(nowMs: number): number {
    if (this.target.isResolver && !this.#isReplied && !this.#isSilenceTold) {
      const silentMs = this.#startedMs + RESOLVER_SILENCE_MS;
      if (nowMs < silentMs) return silentMs;
      this.#isSilenceTold = true;
      this.#owner.onSilent(this);
    }
    const idleMs = this.#isConversation ? UDP_IDLE_MS : UDP_QUERY_IDLE_MS;
    const dueMs = this.#activeMs + idleMs;
    if (nowMs < dueMs) return dueMs;
    this.end();
    return Infinity;
  }

  /** Ends the flow. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.host.close(this.#hostSocket);
    this.#socket?.close();
    this.#owner.onFlowEnd(this);
  }

  #toHost(datagram: UdpDatagram, at: number, bytes: number): void {
    const { host } = this.#owner;
    if (this.#isRouted) this.#setHopLimit(datagram.hopLimit - 1);
    let result = host.write(this.#hostSocket, at, bytes);
    this.#isConversation ||= this.#isReplied;
    this.#noteActive();
    if (result < 0 && !isAboutThis(result)) {
      // What an earlier datagram has come to: this one has not been sent.
      this.#hostFailed(result);
      if (this.#isOver) return this.#owner.onDropped(1);
      result = host.write(this.#hostSocket, at, bytes);
    }
    if (result === -Errno.EMSGSIZE && this.#isRouted) result = this.#sendLong(datagram, at, bytes);
    if (result < 0) this.#owner.onDropped(1);
    else this.#toHostBytes += bytes;
  }

  #setHopLimit(hopLimit: number): void {
    if (hopLimit === this.#hopLimit) return;
    this.#hopLimit = hopLimit;
    this.#owner.host.setHopLimit(this.#hostSocket, this.#flow.ipVersion, hopLimit);
  }

  /** A datagram that is longer than the path's MTU: cut, or the peer is told what fits. */
  #sendLong(datagram: UdpDatagram, at: number, bytes: number): number {
    const { host } = this.#owner;
    const { ipVersion } = this.#flow;
    if (datagram.mayBeFragmented) {
      return host.writeFragmenting(this.#hostSocket, ipVersion, at, bytes);
    }
    const mtu = host.pathMtu(this.#hostSocket, ipVersion);
    const headerBytes = ipVersion === 4 ? HEADER_BYTES_V4 : HEADER_BYTES_V6;
    if (mtu > 0 && mtu < headerBytes + bytes) {
      this.#owner.sendError(this.#flow, bytes, { ...tooBig(ipVersion, mtu), from: null });
    }
    return -Errno.EMSGSIZE;
  }

  /** The host has answered with an error. Its own refusals end the flow, those on the way do not. */
  #hostFailed(result: number): void {
    const isRefused = result === -Errno.ECONNREFUSED;
    if (this.#isRouted) this.#passErrors();
    if (isRefused || !this.#isRouted) this.end();
  }

  /** Tells the peer what routers and the destination have said. */
  #passErrors(): void {
    const error = this.#error;
    while (this.#owner.host.readError(this.#hostSocket, error)) {
      const told = passedError(this.#flow.ipVersion, error);
      if (told !== null) this.#owner.sendError(this.#flow, 0, told);
    }
  }

  #noteActive(): void {
    this.#activeMs = this.#owner.nowMs;
    this.#owner.onActive(this);
  }
}

/** Whether an errno says something about the datagram that was to be sent, and not about the flow. */
function isAboutThis(result: number): boolean {
  return result === -Errno.EAGAIN || result === -Errno.ENOBUFS || result === -Errno.EMSGSIZE ||
    result === -Errno.EPERM;
}
