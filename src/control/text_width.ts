/**
 * How many columns a text takes on a terminal. Letters of East Asia and emoji take two, marks that
 * combine take none (Unicode Standard Annex 11, as far as names of peers need it).
 */

const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f" +
    "\\uff00-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}]|\\p{Emoji_Presentation}",
  "u",
);
/** Marks, joiners and variation selectors. */
const NARROWEST = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** The columns of a text. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** A text with blanks behind it, up to a width. */
export function padText(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - textWidth(text)));
}

/** A text in exactly so many columns: with blanks, or cut with an ellipsis. */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return padText(text, width);
  let kept = "", left = width - 1;
  for (const character of text) {
    left -= characterWidth(character);
    if (left < 0) break;
    kept += character;
  }
  return padText(`${kept}…`, width);
}

function characterWidth(character: string): number {
  if (character <= "\x7e") return 1;
  if (NARROWEST.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}
