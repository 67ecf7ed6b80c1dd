/** Hexadecimal text to bytes and back, for vectors. White space in the text is skipped. */

/** The bytes that `text` spells. */
export function hex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replace(/\s+/g, "").match(/../g) ?? [];
  return Uint8Array.from(digits, (pair) => parseInt(pair, 16));
}

/** The bytes as lower-case text; "null" for null. */
export function toHex(bytes: Uint8Array | null): string {
  if (bytes === null) return "null";
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
