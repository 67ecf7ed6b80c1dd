/** Handing over the config of another end: to standard output, as a QR code, or to a file. */
import { writeFileAtomic } from "../../ffi/files.ts";
import { withoutComments } from "../config/other_end.ts";
import { qrText } from "../control/qr_text.ts";
import { hasColour, isScreen, printText, STDOUT_FD } from "../daemon/terminal.ts";

const FILE_MODE = 0o600;

/**
 * Writes the config to the file `output`; without one prints it, with its QR code on a terminal, or
 * the code alone. What is to be known beside goes to standard error.
 */
export function deliver(text: string, output: string | undefined, qrAlone: boolean): void {
  if (output !== undefined) {
    writeFileAtomic(output, text, FILE_MODE);
    console.error(`longhaul: ${output} is the config of the other end; it holds its private key`);
    return;
  }
  if (!qrAlone) printText(text);
  if (!qrAlone && !isScreen(STDOUT_FD)) return;
  const code = qrText(withoutComments(text), { colour: hasColour(STDOUT_FD) });
  if (code !== null) {
    printText((qrAlone ? "" : "\n") + code);
    return;
  }
  console.error(
    "longhaul: the config is too long for a QR code: too many prefixes lead to this end",
  );
  if (qrAlone) printText(text);
}
