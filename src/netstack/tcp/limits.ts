/** Sizes and times of TCP, with what they rest on. */

/** What one `TcpLayer` may use. Times in ms. */
export interface TcpLimits {
  /** Connections in any state but TIME-WAIT. */
  readonly connectionsMax: number;
  /** Half-open connections: SYNs that wait for a decision or for the end of the handshake. */
  readonly halfOpenMax: number;
  /** The same for one remote address, so that hung dials of one client do not starve the others. */
  readonly halfOpenPerRemoteMax: number;
  /** How long a SYN may wait for the decision of its acceptor. */
  readonly pendingMs: number;
  /** The window that a new connection offers; the receive buffer grows from there. */
  readonly receiveBytesFirst: number;
  /** The largest window that autotuning reaches. */
  readonly receiveBytesMax: number;
  /** The largest send buffer that autotuning reaches. */
  readonly sendBytesMax: number;
  /** 2 MSL. RFC 9293 has 4 minutes; one is what kernels use. */
  readonly timeWaitMs: number;
  /** Connections in TIME-WAIT; the oldest gives way. */
  readonly timeWaitMax: number;
  /** How long a connection whose application has closed it waits for the other end's FIN. */
  readonly finWait2Ms: number;
  /** R2 for SYN. RFC 9293 MUST-23: "at least 3 minutes". */
  readonly synTimeoutMs: number;
  /** How often a SYN-ACK is sent again: after 1, 2, 4, 8 and 16 s. */
  readonly synAckRetries: number;
  /**
   * R2 for data (RFC 9293 SHLD-11: "at least 100 seconds"): how long nothing may be acknowledged. A
   * machine that sleeps or roams comes back after minutes; kernels wait as long.
   */
  readonly dataTimeoutMs: number;
  /** The same for a connection that its application has closed. */
  readonly detachedTimeoutMs: number;
  /** Longest delay of an acknowledgment. RFC 9293 MUST-40: "less than 0.5 seconds". */
  readonly delayedAckMs: number;
  /** Time between keepalive probes that are not answered, and how many of them end a connection. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveProbes: number;
  /** Least time between two answers to segments that do not fit (RFC 5961), per connection. */
  readonly challengeAckMs: number;
  /** How long empty buffers are kept. */
  readonly idleBufferMs: number;
  /** Whether our SYNs ask for ECN; SYNs of others that ask for it get it anyway. */
  readonly requestsEcn: boolean;
  /** Records of sent segments that one connection may have. */
  readonly sentSegmentsMax: number;
}

export const DEFAULT_TCP_LIMITS: TcpLimits = {
  connectionsMax: 16_384,
  halfOpenMax: 1024,
  halfOpenPerRemoteMax: 256,
  pendingMs: 60_000,
  receiveBytesFirst: 512 << 10,
  receiveBytesMax: (8 << 20) - (64 << 10),
  sendBytesMax: 8 << 20,
  timeWaitMs: 60_000,
  timeWaitMax: 4096,
  finWait2Ms: 60_000,
  synTimeoutMs: 180_000,
  synAckRetries: 5,
  dataTimeoutMs: 900_000,
  detachedTimeoutMs: 120_000,
  delayedAckMs: 40,
  keepaliveIntervalMs: 75_000,
  keepaliveProbes: 9,
  challengeAckMs: 500,
  idleBufferMs: 1000,
  requestsEcn: false,
  sentSegmentsMax: 16_384,
};

/** RFC 9293 MUST-15: what the other end's MSS is when it sends none. */
export const MSS_DEFAULT_V4 = 536;
/** The same for IPv6. */
export const MSS_DEFAULT_V6 = 1220;
/** A smaller MSS of the other end is raised to this: less would be an attack (CVE-2019-11479). */
export const MSS_MIN = 48;
/** RFC 7323 section 2.3: a larger shift is used as this. */
export const WINDOW_SCALE_MAX = 14;
/** The longest segment, with its IP header. */
export const SEGMENT_BYTES_MAX = 65_535;
