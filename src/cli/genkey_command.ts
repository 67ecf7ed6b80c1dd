/** `longhaul genkey`: a new private key, as `wg genkey` makes it. */
import { systemRandom } from "../../ffi/random.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import { clampPrivateKey } from "../wireguard/noise.ts";
import type { CommandSpec } from "./command_spec.ts";
import { printSecretKey } from "./key_output.ts";

export const genkeyCommand: CommandSpec = {
  name: "genkey",
  summary: "make a private key",
  words: "",
  count: { min: 0, max: 0, rule: "genkey takes no arguments" },
  flags: [],
  examples: [
    ["genkey > private.key", "a private key, in a file (umask 077 first)"],
    ["genkey | tee private.key | longhaul pubkey", "a private key in a file, its public key shown"],
  ],
  run: () => printSecretKey(clampPrivateKey(systemRandom.fill(new Uint8Array(KEY_BYTES)))),
};
