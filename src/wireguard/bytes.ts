/** Small operations on the byte arrays of the control plane. */

/** Whether `length` bytes are equal; the time taken does not depend on their values. */
export function equalBytes(
  a: Uint8Array,
  aAt: number,
  b: Uint8Array,
  bAt: number,
  length: number,
): boolean {
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= a[aAt + i] ^ b[bAt + i];
  return difference === 0;
}

/** Whether all bytes are zero; the time taken does not depend on their values. */
export function isZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (let i = 0; i < bytes.length; i++) any |= bytes[i];
  return any === 0;
}

/** Orders two arrays of equal length as big-endian numbers: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return 0;
}

/** Overwrites secrets with zeros. */
export function wipe(...secrets: Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Lower-case hexadecimal digits; the key of maps by public key. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += hexOfByte[bytes[i]];
  return text;
}
