/**
 * `longhaul show`: what `wg show` prints, byte for byte, of every program that has a control socket
 * which this user may ask. Interfaces of the kernel's own WireGuard are not among them.
 */
import { systemClock } from "../../ffi/clock.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { formatStatus } from "../control/status_text.ts";
import { formatShowField, SHOW_FIELDS, type ShownDevice } from "../control/wg_show.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { liveInterfaces } from "../daemon/paths.ts";
import { printText } from "../daemon/terminal.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import type { CommandSpec } from "./command_spec.ts";
import { readDevice, zoneName } from "./device_client.ts";
import { UsageError } from "./environment.ts";

const FIELD_NAMES = [...SHOW_FIELDS.keys()].join(", ");

export const showCommand: CommandSpec = {
  name: "show",
  summary: "show interfaces as wg does, for people and scripts",
  words: "[NAME|all|interfaces] [FIELD]",
  choices: { FIELD: [...SHOW_FIELDS.keys()] },
  count: { min: 0, max: 2, rule: "show takes an interface, `all` or `interfaces`, and one field" },
  flags: [],
  examples: [
    ["show", "all interfaces"],
    ["show wg0 latest-handshakes", "one field of one interface, a line for each peer"],
    ["show all dump", "everything, tab-separated, keys included"],
    ["show interfaces", "the names alone"],
  ],
  about: `Fields: ${FIELD_NAMES}.\n` +
    "Private and preshared keys are hidden unless WG_HIDE_KEYS=never, except in fields and dumps.",
  run: ({ words }) => runShow(words[0] ?? "all", words[1]),
};

function runShow(which: string, field: string | undefined): number {
  if (field !== undefined && !SHOW_FIELDS.has(field)) {
    throw new UsageError(`show: expected one of ${FIELD_NAMES}, found "${field}"`);
  }
  if (which === "interfaces") {
    if (field !== undefined) throw new UsageError("show interfaces takes no field");
    const names = liveInterfaces();
    if (names.length > 0) printText(`${names.join(" ")}\n`);
    return 0;
  }
  const { crypto } = selectNoiseCrypto();
  if (which !== "all") {
    print(textOf(which, field, crypto, false));
    return 0;
  }
  return showAll(field, crypto);
}

function showAll(field: string | undefined, crypto: NoiseCrypto): number {
  let failures = 0;
  const texts = liveInterfaces().flatMap((name) => {
    try {
      return [textOf(name, field, crypto, true)];
    } catch (error) {
      // The others are told all the same.
      if (!(error instanceof Error)) throw error;
      console.error(`longhaul: ${name}: ${error.message}`);
      failures++;
      return [];
    }
  });
  print(texts.join(field === undefined ? "\n" : ""));
  return failures === 0 ? 0 : 1;
}

function textOf(
  name: string,
  field: string | undefined,
  crypto: NoiseCrypto,
  isOneOfAll: boolean,
): string {
  const status = readDevice(name);
  const publicKey = publicKeyOf(status, crypto);
  const shown: ShownDevice = {
    status,
    publicKey,
    interfaceName: zoneName,
    prefix: isOneOfAll ? name : null,
  };
  const text = field === undefined
    ? formatStatus(status, {
      interfaceName: name,
      publicKey,
      nowWallNs: systemClock.wallNs(),
      showKeys: getEnvironment("WG_HIDE_KEYS") === "never",
    })
    : formatShowField(shown, field);
  wipeStatus(status);
  return text;
}

/** The public key of a device's private key, null when it has none. */
function publicKeyOf({ privateKey }: DeviceStatus, crypto: NoiseCrypto): Uint8Array | null {
  return privateKey === null ? null : crypto.x25519PublicKey(privateKey);
}

/** Wipes the secrets of a status that has been used. */
export function wipeStatus({ privateKey, peers }: DeviceStatus): void {
  if (privateKey !== null) wipe(privateKey);
  wipe(...peers.map((peer) => peer.presharedKey));
}

function print(text: string): void {
  if (text !== "") printText(text.endsWith("\n") ? text : `${text}\n`);
}
