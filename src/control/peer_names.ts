/**
 * How logs and reports call a peer: by the friendly name of its config (`# friendly_name = phone`,
 * as exporters of metrics read it), else `peer(AbCd...WxYz)`.
 */
import { withoutKeyLike } from "../base/redact.ts";
import { toHex } from "../wireguard/bytes.ts";
import { peerName } from "./key_text.ts";

const NAME_LENGTH_MAX = 64;
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** Names by public key; they change when a config is loaded anew. */
export class PeerNames {
  #names: ReadonlyMap<string, string> = new Map();

  /** Takes the names of a config: public keys with the names that they have, if any. */
  replace(peers: Iterable<{ publicKey: Uint8Array; friendlyName?: string }>): void {
    const names = new Map<string, string>();
    for (const { publicKey, friendlyName } of peers) {
      const name = cleanName(friendlyName ?? "");
      if (name !== "") names.set(toHex(publicKey), name);
    }
    this.#names = names;
  }

  /** The friendly name of a public key in hexadecimal; empty for none. */
  friendly(keyText: string): string {
    return this.#names.get(keyText) ?? "";
  }

  /** The name that logs use. */
  of(publicKey: Uint8Array): string {
    return this.friendly(toHex(publicKey)) || peerName(publicKey);
  }
}

/**
 * A name as it may stand in a line of a log or on a terminal; empty for one that may be a key which
 * was pasted into the wrong line.
 */
export function cleanName(name: string): string {
  const clean = name.replace(CONTROL, "").trim();
  return withoutKeyLike(clean) === clean ? clean.slice(0, NAME_LENGTH_MAX) : "";
}
