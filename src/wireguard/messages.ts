/**
 * The three handshake messages on the wire (WireGuard paper, sections 5.4.2, 5.4.3 and 5.4.7). All
 * integers are little-endian; the type is a byte followed by three zero bytes, read as one word.
 *
 * ```
 * initiation, 148 bytes        response, 92 bytes           cookie reply, 64 bytes
 *   0  type 1                    0  type 2                    0  type 3
 *   4  sender index              4  sender index              4  receiver index
 *   8  ephemeral, 32             8  receiver index            8  nonce, 24
 *  40  static, sealed, 48       12  ephemeral, 32            32  cookie, sealed, 32
 *  88  timestamp, sealed, 28    44  nothing, sealed, 16
 * 116  mac1, 16                 60  mac1, 16
 * 132  mac2, 16                 76  mac2, 16
 * ```
 */

import {
  COOKIE_REPLY_BYTES,
  HANDSHAKE_SENDER,
  INITIATION_BYTES,
  MessageType,
  RESPONSE_BYTES,
  RESPONSE_RECEIVER,
} from "../wire/wireguard.ts";

/** The little-endian word at `at`, signed as indexes are everywhere in the tables. */
export function readWord(message: Uint8Array, at: number): number {
  return message[at] | (message[at + 1] << 8) | (message[at + 2] << 16) | (message[at + 3] << 24);
}

/** Writes `value` as a little-endian word. */
export function writeWord(message: Uint8Array, at: number, value: number): void {
  message[at] = value;
  message[at + 1] = value >> 8;
  message[at + 2] = value >> 16;
  message[at + 3] = value >> 24;
}

/** A zeroed message with its type and first index filled in. */
function createMessage(byteLength: number, type: number, firstIndex: number): Uint8Array {
  const message = new Uint8Array(byteLength);
  writeWord(message, 0, type);
  writeWord(message, HANDSHAKE_SENDER, firstIndex);
  return message;
}

/** An initiation with nothing but its type and sender index. */
export function createInitiation(senderIndex: number): Uint8Array {
  return createMessage(INITIATION_BYTES, MessageType.Initiation, senderIndex);
}

/** A response with nothing but its type and indexes. */
export function createResponse(senderIndex: number, receiverIndex: number): Uint8Array {
  const message = createMessage(RESPONSE_BYTES, MessageType.Response, senderIndex);
  writeWord(message, RESPONSE_RECEIVER, receiverIndex);
  return message;
}

/** A cookie reply with nothing but its type and receiver index. */
export function createCookieReply(receiverIndex: number): Uint8Array {
  return createMessage(COOKIE_REPLY_BYTES, MessageType.CookieReply, receiverIndex);
}

/** The type of a handshake message whose length is the one of its type, 0 for anything else. */
export function handshakeMessageType(bytes: Uint8Array): number {
  const type = bytes.length >= 4 ? readWord(bytes, 0) : 0;
  switch (bytes.length) {
    case INITIATION_BYTES:
      return type === MessageType.Initiation ? type : 0;
    case RESPONSE_BYTES:
      return type === MessageType.Response ? type : 0;
    case COOKIE_REPLY_BYTES:
      return type === MessageType.CookieReply ? type : 0;
    default:
      return 0;
  }
}
