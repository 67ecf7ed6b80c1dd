/**
 * Keys as text: base64 for people and files, lower-case hex for the UAPI socket. Nothing here puts a
 * key into an error, a caller says only that it was wrong.
 */

/** Bytes of every WireGuard key: private, public and preshared. */
export const KEY_BYTES = 32;

/** Characters of a key in base64. */
export const KEY_TEXT_LENGTH = 44;
const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX = "0123456789abcdef";

/**
 * The key of 44 base64 characters, null when it is anything else. The two bits that the last digit
 * has to spare must be zero, so that a key has one spelling.
 */
export function parseKeyBase64(text: string): Uint8Array | null {
  if (text.length !== KEY_TEXT_LENGTH || text[KEY_TEXT_LENGTH - 1] !== "=") return null;
  const key = new Uint8Array(KEY_BYTES + 1);
  let bits = 0, bitCount = 0, at = 0;
  for (let i = 0; i < KEY_TEXT_LENGTH - 1; i++) {
    const digit = BASE64.indexOf(text[i]);
    if (digit < 0) return null;
    bits = bits << 6 | digit;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      key[at++] = bits >> bitCount;
      bits &= (1 << bitCount) - 1;
    }
  }
  return bits === 0 ? key.slice(0, KEY_BYTES) : null;
}

/** A key in base64, 44 characters. */
export function formatKeyBase64(key: Uint8Array): string {
  let text = "";
  for (let i = 0; i < KEY_BYTES; i += 3) {
    const bits = key[i] << 16 | (key[i + 1] ?? 0) << 8 | (key[i + 2] ?? 0);
    text += BASE64[bits >> 18] + BASE64[bits >> 12 & 63] + BASE64[bits >> 6 & 63];
    text += i + 2 < KEY_BYTES ? BASE64[bits & 63] : "=";
  }
  return text;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}

/**
 * The key in the ASCII bytes `from .. to - 1`, 64 hex digits of either case; null when it is
 * anything else. It works on bytes so that no copy of a secret is left behind in a string.
 */
export function parseKeyHex(ascii: Uint8Array, from = 0, to = ascii.length): Uint8Array | null {
  if (to - from !== KEY_BYTES * 2) return null;
  const key = new Uint8Array(KEY_BYTES);
  for (let i = 0; i < KEY_BYTES; i++) {
    const high = hexDigit(ascii[from + i * 2]), low = hexDigit(ascii[from + i * 2 + 1]);
    if (high < 0 || low < 0) return null;
    key[i] = high << 4 | low;
  }
  return key;
}

/** Writes a key as 64 lower-case hex digits to `ascii` at `at`. */
export function writeKeyHex(key: Uint8Array, ascii: Uint8Array, at: number): void {
  for (let i = 0; i < KEY_BYTES; i++) {
    ascii[at + i * 2] = HEX.charCodeAt(key[i] >> 4);
    ascii[at + i * 2 + 1] = HEX.charCodeAt(key[i] & 15);
  }
}

/** A peer as logs name it: `peer(AbCd...WxYz)`, from the ends of its public key. */
export function peerName(publicKey: Uint8Array): string {
  const text = formatKeyBase64(publicKey);
  return `peer(${text.slice(0, 4)}...${text.slice(39, 43)})`;
}
