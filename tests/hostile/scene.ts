/** A pair of nodes with a tunnel, and a third namespace with a line to the second one. */
import { type Kinds, type Pair } from "../netns/pair.ts";
import type { Net } from "../netns/net.ts";
import { connectUp } from "../netns/pair.ts";
import { pause, run } from "../netns/command.ts";
import { newKeyPair } from "../netns/wg.ts";
import { RoguePeer } from "./rogue_peer.ts";

/** Outer addresses of the attacker, and of node b on the attacker's line. */
export const ATTACKER = "198.51.100.3";
export const ATTACKER_2 = "198.51.100.4";
export const TARGET = "198.51.100.2";
/** The inner address of the attacker where it is a peer. */
export const ROGUE_INNER = "192.168.241.77";

/** See `attackedPair`. */
export interface Scene extends Pair {
  readonly attacker: string;
}

/** `connectUp`, and a namespace `attacker` that reaches node b at `TARGET`. */
export async function attackedPair(net: Net, kinds: Kinds): Promise<Scene> {
  const pair = await connectUp(net, kinds);
  const attacker = await net.namespace("x");
  await net.veth(
    {
      namespace: attacker,
      name: "eth0",
      addresses: [`${ATTACKER}/24`, `${ATTACKER_2}/24`],
    },
    { namespace: pair.b.namespace, name: "eth1", addresses: [`${TARGET}/24`] },
  );
  return { ...pair, attacker };
}

/** Makes the attacker a peer of node b. */
export async function addRogue(
  { b }: Scene,
  allowedIps = `${ROGUE_INNER}/32`,
): Promise<{ rogue: RoguePeer; publicKey: string }> {
  const key = newKeyPair();
  await b.node.set("peer", key.publicKey, "allowed-ips", allowedIps);
  const publicKey = b.key.publicKey;
  return {
    rogue: new RoguePeer(key, publicKey, TARGET, b.port),
    publicKey: key.publicKey,
  };
}

/** Calls `burst` again and again for `durationMs`, and lets the event loop run in between. */
export async function flood(durationMs: number, burst: () => number): Promise<number> {
  const endMs = performance.now() + durationMs;
  let sent = 0;
  while (performance.now() < endMs) {
    const burstEndMs = performance.now() + 5;
    while (performance.now() < burstEndMs) sent += burst();
    await pause(0);
  }
  return sent;
}

/** What the status command says of a node's drops and events. */
export async function statusJson(name: string, namespace: string): Promise<string> {
  const program = new URL("../../scripts/longhaul", import.meta.url).pathname;
  return (await run([program, "status", name, "--json"], { namespace, mayFail: true })).stdout;
}
