/** Keys from files, as `wg set` takes them: one key in base64, or nothing to clear it. */
import { fileStatus, readFile } from "../../ffi/files.ts";
import { modeWarning } from "../config/file_name.ts";
import { parseKeyBase64 } from "../control/key_text.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { wipe } from "../wireguard/bytes.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";

const FILE_BYTES_MAX = 4096;

/** Warns on standard error when a file with keys is open to every user of the machine. */
export function warnIfOpen(path: string): void {
  const status = fileStatus(path);
  const warning = status?.kind === "file" ? modeWarning(path, status.mode) : null;
  if (warning !== null) console.error(`longhaul: warning: ${warning}`);
}

/**
 * Reads a key from a file, a pipe or /dev/stdin; all zero when it is empty, which clears the key.
 * Throws `SystemCallError` when it cannot be read, `SetupError` when it holds anything else; what it
 * holds is never repeated.
 */
export function readKeyFile(path: string): Uint8Array {
  warnIfOpen(path);
  const bytes = readFile(path, FILE_BYTES_MAX);
  const text = new TextDecoder().decode(bytes).trim();
  wipe(bytes);
  if (text === "") return new Uint8Array(KEY_BYTES);
  const key = parseKeyBase64(text);
  if (key !== null) return key;
  throw new SetupError(
    `Cannot use ${path}: expected one key of 44 characters of base64, found ${text.length}`,
  );
}
