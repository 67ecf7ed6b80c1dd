/** What a reload did, in words. */
import type { NodeDifference } from "../config/node_difference.ts";
import { formatPrefix } from "../control/address_text.ts";
import type { RequestField } from "../control/request.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { DeviceChange, DeviceStatus } from "../wireguard/configuration.ts";

/** The outcome of a reload that has worked. */
export interface ReloadOutcome {
  /** What is different; none when nothing was to be done. */
  readonly changes: readonly string[];
  /** What is to be known beside: warnings of the file, settings that wait for the next `up`. */
  readonly notes: readonly string[];
}

/** The outcome as the fields of an answer. */
export function answerOf({ changes, notes }: ReloadOutcome): RequestField[] {
  return [
    ...changes.map((change): RequestField => ["change", change]),
    ...notes.map((note): RequestField => ["note", note]),
  ];
}

/** What a change of the device comes to; `before` is what it was. */
export function deviceWords(change: DeviceChange, before: DeviceStatus): string[] {
  const words: string[] = [];
  if (change.privateKey !== undefined) words.push("another private key");
  if (change.listenPort !== undefined) words.push(`UDP port ${change.listenPort}`);
  if (change.fwmark !== undefined) words.push(`fwmark ${change.fwmark || "off"}`);
  const known = new Set(before.peers.map((peer) => toHex(peer.publicKey)));
  const removed = change.peers.filter((peer) => peer.remove).length;
  const added = change.peers.filter((peer) => !known.has(toHex(peer.publicKey))).length;
  const changed = change.peers.length - removed - added;
  if (added > 0) words.push(`${count(added, "peer")} added`);
  if (removed > 0) words.push(`${count(removed, "peer")} removed`);
  if (changed > 0) words.push(`${count(changed, "peer")} changed`);
  return words;
}

/** What a change of the interface comes to, with the number of its routes. */
export function interfaceWords(
  difference: NodeDifference,
  routes: { readonly added: number; readonly removed: number },
): string[] {
  const words = [
    ...difference.addressesAdded.map((prefix) => `address ${formatPrefix(prefix)} added`),
    ...difference.addressesRemoved.map((prefix) => `address ${formatPrefix(prefix)} removed`),
  ];
  if (difference.mtu !== null) words.push(`MTU ${difference.mtu}`);
  if (routes.added > 0) words.push(`${count(routes.added, "route")} added`);
  if (routes.removed > 0) words.push(`${count(routes.removed, "route")} removed`);
  return words;
}

/** What waits for the next `up`. */
export function deferredWords({ deferred }: NodeDifference): string[] {
  return deferred.map((what) =>
    `${what} cannot change while the interface runs: it comes with the next up`
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
