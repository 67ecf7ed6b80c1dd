/**
 * A forwarded UDP flow: one address and port of a peer, one port of ours, and a connected socket of
 * the host. Datagrams keep their bounds both ways. The host's refusal ends the flow; the next
 * datagram of the peer makes a new one and is then answered by "port unreachable".
 */
import { Errno } from "../base/errno.ts";
import type { IcmpErrorKind, Pieces } from "../netstack/inbound.ts";
import { IcmpErrorKind as Kind } from "../netstack/inbound.ts";
import type { UdpDatagram, UdpHandler, UdpSocket } from "../netstack/udp_socket.ts";
import type { HostFlow } from "./flow_slots.ts";
import { HostEvent, type HostSockets } from "./host_sockets.ts";
import { UDP_IDLE_MS, UDP_QUERY_IDLE_MS } from "./limits.ts";

/** What a flow needs of the forwarder that it belongs to. */
export interface UdpFlowOwner {
  readonly host: HostSockets;
  /** Time of the lane's turn. */
  readonly nowMs: number;
  /** Where datagrams of the host are read to, 65,535 bytes. */
  readonly datagramAt: number;
  /** The host has datagrams for the peer: `readHost` is called when the flow's turn comes. */
  enqueue(flow: UdpForward): void;
  /** Datagrams that the host had no room for. */
  onDropped(datagrams: number): void;
  /** The flow has moved something. */
  onActive(flow: UdpForward): void;
  /** The flow is over and its sockets closed. */
  onFlowEnd(flow: UdpForward): void;
}

const DATAGRAM_BYTES_MAX = 65_535;
const ERROR_EVENTS = HostEvent.Error | HostEvent.HungUp;

/** One flow; see the module's text. */
export class UdpForward implements UdpHandler, HostFlow {
  /** Whether the flow waits in the owner's queue. */
  isQueued = false;
  /** When it was last moved to the end of its client's list. */
  listedMs = 0;
  readonly #owner: UdpFlowOwner;
  readonly #hostSocket: number;
  #socket: UdpSocket | null = null;
  /** Whether the datagram that made the flow has gone to the host already. */
  #isFirstSent = true;
  #isReadable = false;
  #isReplied = false;
  /** Whether the peer has sent again after an answer: more than one question. */
  #isConversation = false;
  #isOver = false;
  #activeMs: number;

  /** `hostSocket` has taken the first datagram; the flow closes it. */
  constructor(
    owner: UdpFlowOwner,
    readonly slot: number,
    readonly client: string,
    hostSocket: number,
  ) {
    this.#owner = owner;
    this.#hostSocket = hostSocket;
    this.#activeMs = this.listedMs = owner.nowMs;
  }

  onDatagram(socket: UdpSocket, datagram: UdpDatagram): void {
    this.#socket = socket;
    if (this.#isFirstSent) this.#isFirstSent = false;
    else this.#toHost(datagram.at, datagram.bytes);
  }

  onRun(socket: UdpSocket, _datagram: UdpDatagram, payloads: Pieces): void {
    this.#socket = socket;
    const first = this.#isFirstSent ? 1 : 0;
    this.#isFirstSent = false;
    for (let i = first; i < payloads.count && !this.#isOver; i++) {
      this.#toHost(payloads.at[i], payloads.bytes[i]);
    }
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
      const bytes = host.read(this.#hostSocket, datagramAt, DATAGRAM_BYTES_MAX);
      if (bytes < 0) {
        this.#isReadable = false;
        if (bytes !== -Errno.EAGAIN) this.end();
        break;
      }
      moved++;
      this.#isReplied = true;
      // What the link has no room for is counted there.
      this.#socket?.send(datagramAt, bytes);
    }
    if (this.#isOver) return moved;
    if (moved > 0) this.#noteActive();
    if (this.#isReadable) this.#owner.enqueue(this);
    return moved;
  }

  onSweep(nowMs: number): number {
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

  #toHost(at: number, bytes: number): void {
    const result = this.#owner.host.write(this.#hostSocket, at, bytes);
    this.#isConversation ||= this.#isReplied;
    this.#noteActive();
    if (result >= 0) return;
    this.#owner.onDropped(1);
    // Too long for the host, or no room there: this datagram only.
    const isFull = result === -Errno.EAGAIN || result === -Errno.ENOBUFS;
    if (!isFull && result !== -Errno.EMSGSIZE) this.end();
  }

  #noteActive(): void {
    this.#activeMs = this.#owner.nowMs;
    this.#owner.onActive(this);
  }
}
