/** `longhaul genpsk`: a new preshared key, as `wg genpsk` makes it. */
import { systemRandom } from "../../ffi/random.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import type { CommandSpec } from "./command_spec.ts";
import { printSecretKey } from "./key_output.ts";

export const genpskCommand: CommandSpec = {
  name: "genpsk",
  summary: "make a preshared key",
  words: "",
  count: { min: 0, max: 0, rule: "genpsk takes no arguments" },
  flags: [],
  examples: [["genpsk > preshared.key", "a preshared key, in a file (umask 077 first)"]],
  run: () => printSecretKey(systemRandom.fill(new Uint8Array(KEY_BYTES))),
};
