/**
 * What changes around the device when one config takes another's place: addresses, routes, MTU; and
 * what cannot change while the interface runs. The device itself is `device_sync.ts`'s.
 */
import { formatPrefix } from "../control/address_text.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { peerNats } from "./nat_address.ts";
import { prefixKey } from "./peers.ts";
import type { NodeConfig } from "./types.ts";

/** The steps from one config to another. */
export interface NodeDifference {
  readonly addressesAdded: readonly Prefix[];
  readonly addressesRemoved: readonly Prefix[];
  readonly routesAdded: readonly Prefix[];
  readonly routesRemoved: readonly Prefix[];
  /** The new MTU, null when it stays. */
  readonly mtu: number | null;
  /** Whether the stack offers other local services, or serves other prefixes. */
  readonly hasOtherServices: boolean;
  /** Whether Allow and Deny are others. */
  readonly hasOtherFilter: boolean;
  /** Whether a peer knows us by other addresses. */
  readonly hasOtherNat: boolean;
  /** What differs but waits for the next `up`, each as a phrase. */
  readonly deferred: readonly string[];
}

/** Compares two configs. */
export function nodeDifference(before: NodeConfig, after: NodeConfig): NodeDifference {
  const addresses = compare(before.interface.addresses, after.interface.addresses, formatPrefix);
  const sameTable = before.interface.table === after.interface.table;
  // Routes are not moved between tables; in the one that they are in they follow the peers.
  const routes = sameTable
    ? compare(before.routes, after.routes, prefixKey)
    : { added: [], removed: [] };
  const mtu = after.interface.mtu !== before.interface.mtu ? after.interface.mtu : null;
  return {
    addressesAdded: addresses.added,
    addressesRemoved: addresses.removed,
    routesAdded: routes.added,
    routesRemoved: routes.removed,
    mtu,
    hasOtherServices: differs(before, after, ({ longhaul: { localServices, serve, netstack } }) => [
      localServices,
      serve,
      netstack,
    ]),
    hasOtherFilter: differs(before, after, (config) => config.longhaul.filter),
    hasOtherNat: differs(before, after, natTexts),
    deferred: deferredSettings(before, after),
  };
}

function natTexts(config: NodeConfig): string[] {
  return peerNats(config).map(({ publicKey, pairs }) =>
    [publicKey, ...pairs.flatMap(({ own, theirs }) => [own, theirs])].join()
  ).sort();
}

/** The settings that are read when the interface is made. */
function deferredSettings(before: NodeConfig, after: NodeConfig): string[] {
  const settings: [string, (config: NodeConfig) => unknown][] = [
    ["Table", (config) => config.interface.table],
    ["DNS", (config) => [
      config.interface.dnsServers.map((server) => [...server]),
      config.interface.dnsSearchDomains,
    ]],
    ["PreUp, PostUp, PreDown or PostDown", (config) => config.interface.hooks],
    ["SaveConfig", (config) => config.interface.saveConfig],
    ["[Longhaul]", ({ longhaul }) => ({
      ...longhaul,
      ...{ localServices: [], serve: [], netstack: [], filter: [] },
    })],
  ];
  const deferred = settings.filter(([, pick]) => differs(before, after, pick)).map(([name]) =>
    name
  );
  const losesMtu = before.interface.mtu !== null && after.interface.mtu === null;
  return losesMtu ? [...deferred, "the MTU that fits the way to the peers"] : deferred;
}

function differs(
  before: NodeConfig,
  after: NodeConfig,
  pick: (config: NodeConfig) => unknown,
): boolean {
  return JSON.stringify(pick(before)) !== JSON.stringify(pick(after));
}

function compare(
  before: readonly Prefix[],
  after: readonly Prefix[],
  keyOf: (prefix: Prefix) => string,
): { added: Prefix[]; removed: Prefix[] } {
  const oldKeys = before.map(keyOf), newKeys = after.map(keyOf);
  const old = new Set(oldKeys), wanted = new Set(newKeys);
  return {
    added: after.filter((_, at) => !old.has(newKeys[at])),
    removed: before.filter((_, at) => !wanted.has(oldKeys[at])),
  };
}
