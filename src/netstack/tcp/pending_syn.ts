/** A SYN for which nobody has decided yet: what it said, and nothing else. */
import { type IpPath, Unreachable } from "../output.ts";
import type { Connection } from "./connection.ts";
import { ECN_SETUP } from "./ecn.ts";
import type { SynFacts } from "./handshake.ts";
import type { TcpSegment } from "./segment.ts";
import type { PendingTcp, TcpAcceptor, TcpConnection, TcpFlow, TcpHandler } from "./tcp_socket.ts";

/** What is done about a pending SYN. */
export interface PendingHost {
  acceptPending(pending: PendingSyn, handler: TcpHandler): Connection;
  refusePending(pending: PendingSyn): void;
  rejectPending(pending: PendingSyn, reason: Unreachable): void;
  dropPending(pending: PendingSyn): void;
}

/** The layer makes them; a retransmission of the SYN finds this and is absorbed. */
export class PendingSyn implements PendingTcp, SynFacts {
  isDecided = false;
  /** IRS. */
  readonly seq: number;
  readonly window: number;
  readonly mss: number;
  readonly windowScale: number;
  readonly hasSackPermitted: boolean;
  /** Whether it asks for ECN. */
  readonly hasEcn: boolean;
  readonly hasTimestamps: boolean;
  readonly tsVal: number;

  /** `cookie` is our ISS when a SYN cookie has completed the handshake, and `hasCookie` says so. */
  constructor(
    readonly id: number,
    readonly host: PendingHost,
    readonly acceptor: TcpAcceptor,
    readonly flow: TcpFlow,
    readonly path: IpPath,
    segment: TcpSegment,
    readonly hasCookie = false,
    readonly cookie = 0,
  ) {
    this.seq = segment.seq;
    this.window = segment.window;
    this.mss = segment.mss;
    this.windowScale = segment.windowScale;
    this.hasSackPermitted = segment.hasSackPermitted;
    this.hasEcn = !hasCookie && (segment.flags & ECN_SETUP) === ECN_SETUP;
    this.hasTimestamps = segment.hasTimestamps;
    this.tsVal = segment.tsVal;
  }

  accept(handler: TcpHandler): TcpConnection | null {
    return this.isDecided ? null : this.host.acceptPending(this, handler);
  }

  refuse(): void {
    if (!this.isDecided) this.host.refusePending(this);
  }

  unreachable(reason: Unreachable = Unreachable.Host): void {
    if (!this.isDecided) this.host.rejectPending(this, reason);
  }

  drop(): void {
    if (!this.isDecided) this.host.dropPending(this);
  }
}
