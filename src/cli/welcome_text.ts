/** What `up` without a config tells: who this node is, and how others join it. */
import type { NodeConfig } from "../config/types.ts";
import { formatAddress, formatPrefix } from "../control/address_text.ts";
import { networksOf } from "../config/peer_address.ts";
import { KEEPALIVE_SECONDS } from "../config/other_end.ts";
import { endpointText, type OwnAddress } from "./endpoint_here.ts";

/** What the text is made of. */
export interface Welcome {
  readonly path: string;
  readonly interfaceName: string;
  readonly config: NodeConfig;
  /** In base64. */
  readonly publicKey: string;
  readonly port: number;
  /** Where others may reach this machine; null when nothing tells. */
  readonly address: OwnAddress | null;
  /** How this program is called. */
  readonly program: string;
}

/** The text, ending in a line end. */
export function welcomeText(welcome: Welcome): string {
  const { config, publicKey, port, address, program, path, interfaceName } = welcome;
  const own = config.interface.addresses.map((prefix) => formatAddress(prefix.address));
  const endpoint = endpointText(address?.address ?? Uint8Array.of(192, 0, 2, 1), port);
  const doubt = address === null
    ? "   # put this machine's address or name here"
    : address.isPrivate
    ? "   # a private address: peers elsewhere need another one"
    : "";
  return `
  public key  ${publicKey}
  UDP port    ${port}
  addresses   ${own.join(", ")}
  config      ${path}

To add a peer with keys and a config of its own, as a QR code for phones:

  ${program} peer add NAME

For an end that has keys already, this goes into its config:

[Peer]
PublicKey = ${publicKey}
AllowedIPs = ${networksOf(config).map(formatPrefix).join(", ")}
Endpoint = ${endpoint}${doubt}
PersistentKeepalive = ${KEEPALIVE_SECONDS}

and a [Peer] with its PublicKey and AllowedIPs into the file above, then

  ${program} reload ${interfaceName}

`;
}
