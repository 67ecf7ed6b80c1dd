/** Two hosts on a wire, and a config for each: tunnels to each other that a test has to start. */
import type { Net } from "../netns/net.ts";
import { type KeyPair, newKeyPair } from "../netns/wg.ts";

/** Both ends by number. Inside the first one is 10.9.0.1, the second one 10.9.0.2. */
export interface TwoTunnels {
  readonly spaces: readonly [string, string];
  readonly names: readonly [string, string];
  readonly keys: readonly [KeyPair, KeyPair];
  /** What stands in each end's config. */
  readonly texts: readonly string[];
}

/** Makes hosts, names, keys and texts; `peerLines` are more lines of each end's `[Peer]`. */
export async function twoTunnels(
  net: Net,
  peerLines: (side: number) => string = () => "",
): Promise<TwoTunnels> {
  const keys: [KeyPair, KeyPair] = [newKeyPair(), newKeyPair()];
  const texts = [0, 1].map((side) => {
    const other = 1 - side;
    return `[Interface]
PrivateKey = ${keys[side].privateKey}
ListenPort = ${10_001 + side}
Address = 10.9.0.${side + 1}/24
[Peer]
PublicKey = ${keys[other].publicKey}
AllowedIPs = 10.9.0.${other + 1}/32
Endpoint = 192.0.2.${other + 1}:${10_001 + other}
${peerLines(side)}`;
  });
  const names: [string, string] = [net.interfaceName(), net.interfaceName()];
  return { spaces: await net.twoHosts(), names, keys, texts };
}
