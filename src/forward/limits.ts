/** How much forwarding may take, and how long it waits. */

/** Bounds of the flows of one lane. */
export interface ForwardLimits {
  /** TCP flows, those that are being connected included. */
  readonly tcpFlowsMax: number;
  /** Of these, flows of one peer: the rest stays for others. */
  readonly tcpFlowsPerClientMax: number;
  /** Connections to the host that are being made. */
  readonly dialsMax: number;
  readonly dialsPerClientMax: number;
  /** Of these, dials to one address: a host that does not answer leaves room for others. */
  readonly dialsPerTargetMax: number;
  readonly udpFlowsMax: number;
  readonly udpFlowsPerClientMax: number;
  /** Flows of echo requests: one for each program and destination. */
  readonly echoFlowsMax: number;
  readonly echoFlowsPerClientMax: number;
  /** Flows of all kinds that one client may begin in a second, and how many at once. */
  readonly newFlowsPerSecond: number;
  readonly newFlowsBurst: number;
}

export const DEFAULT_FORWARD_LIMITS: ForwardLimits = {
  tcpFlowsMax: 16_384,
  tcpFlowsPerClientMax: 12_288,
  dialsMax: 1024,
  dialsPerClientMax: 256,
  dialsPerTargetMax: 128,
  udpFlowsMax: 8192,
  udpFlowsPerClientMax: 4096,
  echoFlowsMax: 512,
  echoFlowsPerClientMax: 128,
  newFlowsPerSecond: 1000,
  newFlowsBurst: 1000,
};

/** A connection to the host that is not made within this time is given up. */
export const DIAL_TIMEOUT_MS = 10_000;
/**
 * Flows of which one direction has ended, or whose data nobody takes, end after this time without
 * progress. RFC 5382 (REQ-5) asks for at least 4 minutes for the former.
 */
export const STALLED_TIMEOUT_MS = 5 * 60_000;
/** The other end of an idle flow is probed after this time; RFC 9293 asks for at least 2 hours. */
export const KEEPALIVE_IDLE_MS = 2 * 60 * 60_000;
/** A UDP flow ends after this time, once both sides have sent; RFC 4787 (REQ-5): at least 2 min. */
export const UDP_IDLE_MS = 2 * 60_000;
/** The same for a flow that was one question, with an answer or without. */
export const UDP_QUERY_IDLE_MS = 30_000;
/** A name server that has not answered within this time gives way to the next one. */
export const RESOLVER_SILENCE_MS = 2000;
/** A flow of echo requests ends after this time; RFC 5508 (REQ-1): at least 60 seconds. */
export const ECHO_IDLE_MS = 60_000;
/** How often timeouts are looked at; they may be late by this much. */
export const SWEEP_INTERVAL_MS = 1000;

/** Bytes of one read from a host socket: from 64 to 256 KB it is about equally fast. */
export const HOST_READ_BYTES_MAX = 256 * 1024;
/** Bytes that one flow may read from the host before the others get their turn. */
export const FLOW_TURN_BYTES = 256 * 1024;
/** Bytes that all flows may read in one turn of the lane. */
export const TURN_BYTES = 1024 * 1024;
