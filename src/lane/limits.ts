/** Sizes and times of the data plane, with what they rest on. */
import {
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_TIME_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME_MS,
  REKEY_ON_RECEIVE_AFTER_MS,
} from "../wireguard/constants.ts";

/** Most datagrams in one send: what every kernel with UDP_SEGMENT accepts (UDP_MAX_SEGMENTS). */
export const SEND_MESSAGES_MAX = 64;
/** Most payload bytes of one UDP send over IPv4: 65,535 - 20 - 8; IPv6 would allow 20 more. */
export const SEND_BYTES_MAX = 65_507;
/** Most datagrams that one receive may hold; the kernel's UDP_GRO stops at 64. */
export const RECEIVE_MESSAGES_MAX = 128;
/** Room for the largest TUN read: a vnet header and an IP packet of 65,535 bytes. */
export const TUN_READ_BYTES = 65_536 + 64;
/** Packets that the read loop takes from the stack before it looks at the TUN again. */
export const UNIT_PACKETS = 128;
/** Staged packets that one peer may have waiting for a handshake; then the oldest goes. */
export const STAGED_PACKETS_MAX = 128;

/**
 * The limits of a session. They are parameters so that tests can run many rekeys on real traffic
 * within seconds; the defaults are the protocol's (WireGuard paper, section 6.1).
 */
export interface SessionLimits {
  /** The initiator asks for a new handshake when it sends on a key older than this. */
  readonly rekeyAfterMs: number;
  /** A key older than this neither seals nor opens. */
  readonly rejectAfterMs: number;
  /** The initiator asks, once, for a new handshake when it receives on a key older than this. */
  readonly rekeyOnReceiveAfterMs: number;
  readonly rekeyAfterMessages: number;
  /** Lower than the protocol's 2^64 - 2^13 - 1, so that a counter is exact in a double. */
  readonly rejectAfterMessages: number;
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  rekeyAfterMs: REKEY_AFTER_TIME_MS,
  rejectAfterMs: REJECT_AFTER_TIME_MS,
  rekeyOnReceiveAfterMs: REKEY_ON_RECEIVE_AFTER_MS,
  rekeyAfterMessages: REKEY_AFTER_MESSAGES,
  rejectAfterMessages: REJECT_AFTER_MESSAGES,
};
