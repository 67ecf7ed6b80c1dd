/** The config of a peer's own end, in wg-quick's format, as every WireGuard program reads it. */
import { formatPrefix } from "../control/address_text.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import type { Prefix } from "../wireguard/configuration.ts";

/** Keeps a way open through NATs, which forget a flow after 30 seconds and more. */
export const KEEPALIVE_SECONDS = 25;

/** What the other end is told. */
export interface OtherEnd {
  /** How it is called here. */
  readonly name: string;
  readonly privateKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  /** Its own addresses. */
  readonly addresses: readonly Prefix[];
  /** The port that it is called at; null: any. */
  readonly listenPort: number | null;
  /** Our end. */
  readonly here: {
    readonly name: string;
    readonly publicKey: Uint8Array;
    /** What leads to us. */
    readonly allowedIps: readonly Prefix[];
    /** `host:port`; null when it is not known. */
    readonly endpoint: string | null;
  };
}

/** The text of the config. */
export function formatOtherEnd(end: OtherEnd): string {
  const { here, listenPort } = end;
  const lines = [
    `# ${end.name}`,
    "[Interface]",
    `PrivateKey = ${formatKeyBase64(end.privateKey)}`,
    `Address = ${end.addresses.map(formatPrefix).join(", ")}`,
  ];
  if (listenPort !== null) lines.push(`ListenPort = ${listenPort}`);
  lines.push(
    "",
    "[Peer]",
    `# friendly_name = ${here.name}`,
    `PublicKey = ${formatKeyBase64(here.publicKey)}`,
    `PresharedKey = ${formatKeyBase64(end.presharedKey)}`,
    `AllowedIPs = ${here.allowedIps.map(formatPrefix).join(", ")}`,
  );
  if (here.endpoint !== null) {
    lines.push(`Endpoint = ${here.endpoint}`, `PersistentKeepalive = ${KEEPALIVE_SECONDS}`);
  }
  return lines.join("\n") + "\n";
}

/** The text without comments and blank lines, for a QR code that is no larger than it has to be. */
export function withoutComments(text: string): string {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line + "\n").join("");
}
