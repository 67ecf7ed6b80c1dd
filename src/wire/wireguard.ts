/**
 * The four messages of WireGuard (paper, section 5.4) as sizes and places, and the accessors that the
 * data path needs. All integers are little-endian.
 */

/** The first byte of a message; the three bytes behind it are zero. */
export const MessageType = {
  Initiation: 1,
  Response: 2,
  CookieReply: 3,
  Data: 4,
} as const;

/** Length of a handshake initiation. */
export const INITIATION_BYTES = 148;
/** Length of a handshake response. */
export const RESPONSE_BYTES = 92;
/** Length of a cookie reply. */
export const COOKIE_REPLY_BYTES = 64;
/** Length of a data message's header. */
export const DATA_HEADER_BYTES = 16;
/** Length of the Poly1305 tag that ends a data message. */
export const DATA_TAG_BYTES = 16;
/** What a data message adds to the packet inside. */
export const DATA_OVERHEAD_BYTES = DATA_HEADER_BYTES + DATA_TAG_BYTES;
/** Length of the shortest data message: a keepalive. */
export const KEEPALIVE_BYTES = DATA_OVERHEAD_BYTES;
/** The packet inside is padded with zeros to a multiple of this, as far as the MTU allows. */
export const PADDING_BYTES = 16;

/** Length of a MAC in a handshake message. */
export const MAC_BYTES = 16;
/** mac1 and mac2 are what initiations and responses end with. */
export const MACS_BYTES = 2 * MAC_BYTES;

// Places of the fields, counted from the message.
/** In initiations and responses: the index that answers to them must name. */
export const HANDSHAKE_SENDER = 4;

export const INITIATION_EPHEMERAL = 8;
export const INITIATION_STATIC = 40;
export const INITIATION_TIMESTAMP = 88;

export const RESPONSE_RECEIVER = 8;
export const RESPONSE_EPHEMERAL = 12;
export const RESPONSE_EMPTY = 44;

export const COOKIE_REPLY_RECEIVER = 4;
export const COOKIE_REPLY_NONCE = 8;
export const COOKIE_REPLY_COOKIE = 32;

export const DATA_RECEIVER = 4;
export const DATA_COUNTER = 8;
export const DATA_PAYLOAD = 16;

const COUNTER_HIGH_UNIT = 4_294_967_296;

/**
 * The `MessageType` of the datagram of `bytes` bytes at `at`, or 0 when its type word is unknown or
 * its length is not right for it.
 */
export function messageType(view: DataView, at: number, bytes: number): number {
  if (bytes < KEEPALIVE_BYTES) return 0;
  const word = view.getUint32(at, true);
  if (word === MessageType.Data) return word;
  if (word === MessageType.Initiation) return bytes === INITIATION_BYTES ? word : 0;
  if (word === MessageType.Response) return bytes === RESPONSE_BYTES ? word : 0;
  if (word === MessageType.CookieReply) return bytes === COOKIE_REPLY_BYTES ? word : 0;
  return 0;
}

/** The receiver index of a data message, unsigned. */
export function dataReceiver(view: DataView, at: number): number {
  return view.getUint32(at + DATA_RECEIVER, true);
}

/** The counter of a data message; beyond 2^53 it loses its low bits but stays above 2^53. */
export function dataCounter(view: DataView, at: number): number {
  return view.getUint32(at + DATA_COUNTER + 4, true) * COUNTER_HIGH_UNIT +
    view.getUint32(at + DATA_COUNTER, true);
}

/** Writes the header of a data message. `counter` is an integer below 2^53. */
export function writeDataHeader(
  view: DataView,
  at: number,
  receiver: number,
  counter: number,
): void {
  view.setUint32(at, MessageType.Data, true);
  view.setUint32(at + DATA_RECEIVER, receiver, true);
  view.setUint32(at + DATA_COUNTER, counter % COUNTER_HIGH_UNIT, true);
  view.setUint32(at + DATA_COUNTER + 4, counter / COUNTER_HIGH_UNIT, true);
}
