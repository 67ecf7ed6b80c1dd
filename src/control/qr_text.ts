/**
 * QR codes for terminals: two rows of modules in a line of text, made of half blocks, with the quiet
 * zone of four modules that readers need (ISO/IEC 18004).
 *
 * In colour the code is black on white whatever the terminal's colours are. Without colour its light
 * modules are drawn, so it is right on a dark terminal, and inverted, which phones read as well, on a
 * light one.
 */
import { encode } from "uqr";

const QUIET_MODULES = 4;
/** What a code of version 40 with the least error correction holds. */
const QR_BYTES_MAX = 2953;

/** Black on white, in the fixed part of the 256-colour table: themes leave that alone. */
const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const RESET = "\x1b[0m";

/** The lines of a QR code, each ended; null when the text is too long for one. */
export function qrText(text: string, options: { readonly colour: boolean }): string | null {
  if (new TextEncoder().encode(text).length > QR_BYTES_MAX) return null;
  const { data } = encode(text, { ecc: "L", border: QUIET_MODULES });
  const lines: string[] = [];
  for (let y = 0; y < data.length; y += 2) {
    const line = data[y].map((isDark, x) => halfBlock(isDark, data[y + 1]?.[x] ?? false, options));
    lines.push(options.colour ? `${BLACK_ON_WHITE}${line.join("")}${RESET}` : line.join(""));
  }
  return lines.map((line) => line + "\n").join("");
}

/** One character for two modules, one above the other. In colour ink is dark, else ink is light. */
function halfBlock(
  isUpperDark: boolean,
  isLowerDark: boolean,
  { colour }: { readonly colour: boolean },
): string {
  const [upper, lower] = [isUpperDark === colour, isLowerDark === colour];
  if (upper && lower) return "█";
  return upper ? "▀" : lower ? "▄" : " ";
}
