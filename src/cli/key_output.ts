/** Printing a secret key to standard output, with the warning that `wg` gives. */
import { writeAllFd } from "../../ffi/descriptor.ts";
import { orThrow } from "../../ffi/error.ts";
import { descriptorStatus } from "../../ffi/files.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { wipe } from "../wireguard/bytes.ts";

const STANDARD_OUTPUT = 1;
const OTHERS = 0o007;

/** Prints a key in base64 and wipes it; the exit code. */
export function printSecretKey(key: Uint8Array): number {
  const status = descriptorStatus(STANDARD_OUTPUT);
  if (status?.kind === "file" && (status.mode & OTHERS) !== 0) {
    console.error(
      "Warning: writing to world accessible file.\n" +
        "Consider setting the umask to 077 and trying again.",
    );
  }
  const line = new TextEncoder().encode(`${formatKeyBase64(key)}\n`);
  wipe(key);
  orThrow(writeAllFd(STANDARD_OUTPUT, line), "write(standard output)");
  wipe(line);
  return 0;
}
