/** A bar that fills up. */

const WIDTH = 24;
/** A cell that is filled by 1/8, 2/8 and so on. */
const EIGHTHS = " ▏▎▍▌▋▊▉";

/** A bar of which `part` (0 to 1) is full. */
export function progressBar(part: number, width = WIDTH): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part || 0)) * width * 8);
  const full = eighths >> 3;
  const rest = full === width ? "" : EIGHTHS[eighths & 7] + " ".repeat(width - full - 1);
  return "█".repeat(full) + rest;
}
