/**
 * The numbers of WireGuard: first those that the paper (section 5.4 and 6.1) prescribes, then those
 * that implementations have settled on.
 */

// Specification.

/** The Noise construction; its hash is the first chaining key. */
export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/** The Noise prologue. */
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
export const LABEL_MAC1 = "mac1----";
export const LABEL_COOKIE = "cookie--";

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const TIMESTAMP_BYTES = 12;

/** An initiator makes a new session when it sends on a key older than this. */
export const REKEY_AFTER_TIME_MS = 120_000;
/** A key older than this neither seals nor opens. */
export const REJECT_AFTER_TIME_MS = 180_000;
/** How long a handshake is retried. */
export const REKEY_ATTEMPT_TIME_MS = 90_000;
/** The least time between two handshake messages to one peer. */
export const REKEY_TIMEOUT_MS = 5_000;
/** How long after data came in an empty answer goes out, if nothing else does. */
export const KEEPALIVE_TIMEOUT_MS = 10_000;
/** The age at which a cookie and the secret behind it are replaced. */
export const COOKIE_REFRESH_TIME_MS = 120_000;
/**
 * The paper says 2^60 and 2^64 - 2^13 - 1. Both are lowered, which a peer cannot notice but by a
 * rekey after 2^52 messages, so that a counter is always exact in a double.
 */
export const REKEY_AFTER_MESSAGES = 2 ** 52;
export const REJECT_AFTER_MESSAGES = 2 ** 53 - 2 ** 13 - 1;

// Implementations.

/** Jitter of the handshake timers: 0 to this, inclusive. */
export const REKEY_TIMEOUT_JITTER_MAX_MS = 333;
/** A handshake is given up when more than this many retries have gone unanswered. */
export const HANDSHAKE_RETRIES_MAX = REKEY_ATTEMPT_TIME_MS / REKEY_TIMEOUT_MS;
/** Keys are wiped this long after the last handshake. */
export const ZERO_KEYS_AFTER_MS = 3 * REJECT_AFTER_TIME_MS;
/** An initiator that receives on a key older than this makes, once, a new session. */
export const REKEY_ON_RECEIVE_AFTER_MS = REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS -
  REKEY_TIMEOUT_MS;
/** The least time between two initiations of one peer that are answered (50 a second). */
export const INITIATION_INTERVAL_MS = 20;
/** A cookie is not used in the last seconds of its secret's life: the answer may come too late. */
export const COOKIE_LATENCY_MS = 5_000;
/** How long the device counts as under load after its queue was last seen filling. */
export const UNDER_LOAD_AFTER_MS = 1_000;

/** Handshake messages that one address may send under load, per second and at once. */
export const LIMITER_MESSAGES_PER_SECOND = 20;
export const LIMITER_BURST = 5;
/** Addresses that the limiter remembers; further ones are refused until old ones are forgotten. */
export const LIMITER_ENTRIES_MAX = 65_536;
/** How often it forgets, and how old an entry then has to be. */
export const LIMITER_SWEEP_MS = 1_000;
