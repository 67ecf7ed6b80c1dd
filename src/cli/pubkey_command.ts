/** `longhaul pubkey`: the public key of the private key on standard input, as `wg pubkey`. */
import { readToEnd } from "../../ffi/files.ts";
import { formatKeyBase64, KEY_TEXT_LENGTH, parseKeyBase64 } from "../control/key_text.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { printText } from "../daemon/terminal.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { CommandSpec } from "./command_spec.ts";

const STANDARD_INPUT = 0;
const INPUT_BYTES_MAX = 65_536;

export const pubkeyCommand: CommandSpec = {
  name: "pubkey",
  summary: "tell the public key of a private key on standard input",
  words: "",
  count: { min: 0, max: 0, rule: "pubkey takes no arguments; the key comes on standard input" },
  flags: [],
  examples: [["pubkey < private.key", "the public key of a key in a file"]],
  run: runPubkey,
};

function runPubkey(): number {
  const input = readToEnd(STANDARD_INPUT, INPUT_BYTES_MAX, "read(standard input)");
  const text = new TextDecoder().decode(input);
  wipe(input);
  const key = parseKeyBase64(text.slice(0, KEY_TEXT_LENGTH));
  if (key === null) {
    throw new SetupError("Key is not the correct length or format: 44 characters of base64");
  }
  if (text.slice(KEY_TEXT_LENGTH).trim() !== "") {
    throw new SetupError("Trailing characters found after key");
  }
  const publicKey = selectNoiseCrypto().crypto.x25519PublicKey(key);
  wipe(key);
  printText(`${formatKeyBase64(publicKey)}\n`);
  return 0;
}
