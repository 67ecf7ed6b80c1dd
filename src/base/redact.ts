/**
 * The last net under everything that is logged: what looks like a key is not written, whoever let it
 * slip into a text. Logs name peers by the ends of their public keys, so nothing is missed.
 */

const HIDDEN = "(key hidden)";
/** 32 bytes in base64, unless it is said to be a public key. */
const BASE64_KEY = /(?<!public key:? )(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42}[A-Za-z0-9+/]=/g;
/** 32 bytes in hexadecimal. */
const HEX_KEY = /(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])/g;

/** A key as far as it can be told in a word that was typed: cut, or with something beside it. */
const KEY_LIKE = /[A-Za-z0-9+/=]{40,}/g;

/** A text about a command line: what may be a key, or most of one, is replaced. */
export function withoutKeyLike(text: string): string {
  return text.replace(KEY_LIKE, HIDDEN);
}

/** A text with every key in it replaced. */
export function withoutKeys(text: string): string {
  return text.replace(BASE64_KEY, HIDDEN).replace(HEX_KEY, HIDDEN);
}
