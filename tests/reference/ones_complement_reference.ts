/** The one's-complement sum as RFC 1071 defines it, word by word, with little-endian words. */

/** The sum of `bytes` plus `initial`, with end-around carry after each step, in 16 bits. */
export function onesComplementSum(bytes: Uint8Array, initial: number): number {
  let sum = fold(initial);
  for (let i = 0; i < bytes.length; i += 2) {
    const word = bytes[i] + (i + 1 < bytes.length ? bytes[i + 1] * 256 : 0);
    sum = fold(sum + word);
  }
  return sum;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum % 65_536) + Math.floor(sum / 65_536);
  return sum;
}
