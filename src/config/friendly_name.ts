/**
 * Names for people in comments, where exporters of metrics look for them:
 *
 * ```text
 * [Peer]
 * # friendly_name = phone
 * PublicKey = ...
 * ```
 */
import { parseKeyBase64 } from "../control/key_text.ts";
import { toHex } from "../wireguard/bytes.ts";

const NAME_LINE = /^\s*#\s*friendly_name\s*=\s*(.*?)\s*$/i;
const SECTION_LINE = /^\s*(#:)?\s*\[\s*(\w+)\s*\]/;
const KEY_LINE = /^\s*PublicKey\s*=\s*([^\s#]+)/i;

/** The friendly names of a config's text, by public key in hexadecimal. */
export function friendlyNames(text: string): Map<string, string> {
  const names = new Map<string, string>();
  if (!/friendly_name/i.test(text)) return names;
  let name: string | null = null, key: string | null = null;
  for (const line of text.split("\n")) {
    if (SECTION_LINE.test(line)) name = key = null;
    name = NAME_LINE.exec(line)?.[1] || name;
    const publicKey = parseKeyBase64(KEY_LINE.exec(line)?.[1] ?? "");
    if (publicKey !== null) key = toHex(publicKey);
    if (name !== null && key !== null) names.set(key, name);
  }
  return names;
}
