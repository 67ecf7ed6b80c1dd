/** Rates as text and as small curves. */

const UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
const BLOCKS = "▁▂▃▄▅▆▇█";

/** A rate given in bytes per second: `0 bit/s`, `12.3 kbit/s`, `6.20 Gbit/s`; three digits count. */
export function formatRate(bytesPerSecond: number): string {
  let value = bytesPerSecond * 8, unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  if (unit === 0) return `${Math.round(value)} ${UNITS[0]}`;
  return `${value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)} ${UNITS[unit]}`;
}

/**
 * The last `width` values as a curve of blocks, the highest of them at full height; blanks stand
 * before the first value. A value of 0 is the lowest block, anything above at least the next.
 */
export function sparkline(values: readonly number[], width: number): string {
  const shown = width <= 0 ? [] : values.slice(-width);
  const top = Math.max(...shown, 0);
  const curve = shown.map((value) => {
    if (value <= 0 || top <= 0) return BLOCKS[0];
    return BLOCKS[Math.max(1, Math.round(value / top * (BLOCKS.length - 1)))];
  });
  return " ".repeat(Math.max(0, width - shown.length)) + curve.join("");
}
