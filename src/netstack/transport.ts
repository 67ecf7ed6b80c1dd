/** What the IP layer asks of the protocols above it. */
import type { InboundDatagram, InboundError } from "./inbound.ts";

/** TCP, UDP and their like, seen from below. */
export interface Transport {
  /** Takes a datagram; it and its bytes are valid during the call. */
  onDatagram(datagram: InboundDatagram, nowMs: number): void;
  /** Takes an ICMP error about a packet of ours; whether it belongs to a flow that exists. */
  onIcmpError(error: InboundError, nowMs: number): boolean;
}
