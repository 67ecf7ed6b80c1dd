/**
 * The files of `setconf`, `addconf` and `syncconf`: what `wg` takes, which is a config file without
 * wg-quick's keys. A key that could not be obeyed is an error, as it is with `wg`.
 */
import type { InterfaceIndex } from "../control/address_text.ts";
import { type Diagnostic, Diagnostics } from "./diagnostic.ts";
import { readLines } from "./lines.ts";
import { parseConfig } from "./parse.ts";
import type { DeviceConfig } from "./types.ts";

/** The keys of each section, in lower case. */
const KEYS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["interface", new Set(["privatekey", "listenport", "fwmark"])],
  [
    "peer",
    new Set(["publickey", "presharedkey", "allowedips", "endpoint", "persistentkeepalive"]),
  ],
]);

/** What a file says of the device, or null when there are errors. */
export interface DeviceFileResult {
  readonly device: DeviceConfig | null;
  /** Errors only: what is merely worth a warning is taken in silence, as by `wg`. */
  readonly errors: readonly Diagnostic[];
}

/** Reads the text of a file; `file` is the name that errors begin with. */
export function parseDeviceFile(
  text: string,
  file: string,
  interfaceIndex?: InterfaceIndex,
): DeviceFileResult {
  const foreign = foreignKeys(text, file);
  // A file of peers alone is whole for `addconf`, and `wg` takes it for the others as well.
  const whole = foreign.hasInterface ? text : `${text}\n[Interface]\n`;
  const { config, diagnostics } = parseConfig(whole, { file, interfaceIndex });
  const errors = [
    ...diagnostics.filter(({ severity }) => severity === "error"),
    ...foreign.diagnostics.list(),
  ];
  return { device: errors.length > 0 || config === null ? null : config.device, errors };
}

function foreignKeys(
  text: string,
  file: string,
): { diagnostics: Diagnostics; hasInterface: boolean } {
  const diagnostics = new Diagnostics(file);
  let section = "", hasInterface = false;
  // Faulty lines are reported by the parser.
  for (const line of readLines(text, new Diagnostics(file))) {
    if (line.isMarked) continue;
    if (line.kind === "section") {
      section = line.name.toLowerCase();
      hasInterface ||= section === "interface";
      continue;
    }
    const known = KEYS.get(section);
    if (known === undefined || known.has(line.key.toLowerCase())) continue;
    if (!WG_QUICK_KEYS.has(line.key.toLowerCase())) continue;
    const message = `${line.key} is a key of wg-quick and \`up\`, which a device does not have; ` +
      "remove the line, or use `up` or `reload`";
    diagnostics.error(line.line, line.keyColumn, message);
  }
  return { diagnostics, hasInterface };
}

/** Keys that the parser knows and `wg` does not; others are unknown to both. */
const WG_QUICK_KEYS: ReadonlySet<string> = new Set([
  ...["address", "dns", "mtu", "table", "preup", "postup", "predown", "postdown", "saveconfig"],
  "nataddress",
]);
