/** Two nodes with a tunnel between them, and the pairs of programs that every scenario runs with. */
import { assert } from "@std/assert";
import { requires } from "../requires.ts";
import {
  IS_LONGHAUL,
  type Kind,
  LONGHAUL,
  NodeProcess,
  type StartOptions,
} from "./node_process.ts";
import { addAddress, Net } from "./net.ts";
import { type KeyPair, newKeyPair, type PeerConfig } from "./wg.ts";
import { pingUntilAnswered } from "./traffic.ts";

/** Programs of side a and side b. */
export type Kinds = readonly [Kind, Kind];

export const LONGHAUL_PAIR: Kinds = ["longhaul", "longhaul"];

/**
 * Longhaul with itself, as it is, and with more workers: two lanes at one end, where of flows to a
 * single peer about half begin at the queue of the other lane, and an encryptor at the other.
 */
export const OWN_PAIRS: readonly Kinds[] = [
  LONGHAUL_PAIR,
  ["longhaul with two lanes", "longhaul with an encryptor"],
];

/** Longhaul and wireguard-go in both roles. */
const MIXED_PAIRS: readonly Kinds[] = [
  ["longhaul", "wireguard-go"],
  ["wireguard-go", "longhaul with an encryptor"],
];

/** Everything but boringtun, which cannot have a peer changed. */
export const CHANGEABLE_PAIRS: readonly Kinds[] = [...OWN_PAIRS, ...MIXED_PAIRS];

export const ALL_PAIRS: readonly Kinds[] = [...CHANGEABLE_PAIRS, ["longhaul", "boringtun"]];

const TOOLS = ["root", "tun", "ip", "nsenter", "ping", "wg", "iperf3"];
const PROGRAM_OF: Record<Kind, string> = {
  "longhaul": LONGHAUL,
  "longhaul with an encryptor": LONGHAUL,
  "longhaul with three encryptors": LONGHAUL,
  "longhaul with two lanes": LONGHAUL,
  "wireguard-go": "wireguard-go",
  "boringtun": "boringtun-cli",
};

/** All that tests with these pairs need of the machine, for `requires`. */
export function pairNeeds(pairs: readonly Kinds[]): string[] {
  return [...TOOLS, ...new Set(pairs.flat().map((kind) => PROGRAM_OF[kind]))];
}

/** Registers `what` once for each pair. `needs` are further programs that the scenario uses. */
export function pairTest(
  what: string,
  pairs: readonly Kinds[],
  scenario: (net: Net, kinds: Kinds) => Promise<void>,
  needs: string[] = [],
): void {
  for (const kinds of pairs) {
    Deno.test({
      name: `${what}: ${kinds[0]} / ${kinds[1]}`,
      ...requires(...pairNeeds([kinds]), ...needs),
      fn: async () => {
        await using net = new Net();
        await scenario(net, kinds);
      },
    });
  }
}

/** Registers a test of one program alone. */
export function nodeTest(
  what: string,
  scenario: (net: Net) => Promise<void>,
  needs: string[] = [],
): void {
  Deno.test({
    name: what,
    ...requires(...TOOLS, LONGHAUL, ...needs),
    fn: async () => {
      await using net = new Net();
      await scenario(net);
    },
  });
}

/** As `pairTest`, for behaviour on which today's wireguard-go is known to fail. */
export const longhaulOnly: typeof pairTest = (what, pairs, scenario, needs) => {
  if (IS_LONGHAUL) pairTest(what, pairs, scenario, needs);
};

/** One node of a test with what the other side must know of it. */
export interface Side {
  readonly node: NodeProcess;
  /** Where the interface is; the UDP sockets are where the node was started. */
  readonly namespace: string;
  readonly key: KeyPair;
  readonly port: number;
  /** Inner addresses without prefix. */
  readonly inner4: string;
  readonly inner6: string;
}

export interface SideOptions extends StartOptions {
  /** Number in 1..250 that the addresses are made of. */
  readonly number: number;
  readonly port: number;
  readonly mtu?: number;
  /** Move the interface there right after the start. */
  readonly moveTo?: string;
}

/** Starts a node in `namespace`, gives its interface addresses, and brings it up. */
export async function startSide(
  net: Net,
  kind: Kind,
  namespace: string,
  options: SideOptions,
): Promise<Side> {
  const node = await NodeProcess.start(net, kind, namespace, options);
  const home = options.moveTo ?? namespace;
  if (home !== namespace) await net.ip(namespace, [`link set ${node.name} netns ${home}`]);
  const inner4 = `192.168.241.${options.number}`;
  const inner6 = `fd00:241::${options.number.toString(16)}`;
  await net.ip(home, [
    addAddress(node.name, `${inner4}/24`),
    addAddress(node.name, `${inner6}/64`),
    `link set ${node.name} mtu ${options.mtu ?? 1420} up`,
  ]);
  return { node, namespace: home, key: newKeyPair(), port: options.port, inner4, inner6 };
}

/** `side` as the other end's configuration names it. */
export function peerOf(side: Side, more: Partial<PeerConfig> = {}): PeerConfig {
  return {
    publicKey: side.key.publicKey,
    allowedIps: [`${side.inner4}/32`, `${side.inner6}/128`],
    ...more,
  };
}

/** Loads `side`'s own key and port, and its peers, by one `wg setconf`. */
export function configureSide(side: Side, peers: readonly PeerConfig[]): Promise<void> {
  return side.node.configure(
    { privateKey: side.key.privateKey, listenPort: side.port },
    peers,
  );
}

export interface PairOptions {
  readonly mtu?: number;
  /** MTU of the veth pair between the two. */
  readonly outerMtu?: number;
  /** Endpoints are IPv6 addresses. */
  readonly outer6?: boolean;
  readonly presharedKeys?: readonly [string | undefined, string | undefined];
  readonly keepalive?: number;
  readonly env?: Record<string, string>;
  /** Only a knows the endpoint of the other side. */
  readonly oneWay?: boolean;
}

/** The outer addresses of a pair made by `connect`. */
export const OUTER = {
  a4: "192.0.2.1",
  b4: "192.0.2.2",
  a6: "2001:db8::1",
  b6: "2001:db8::2",
} as const;

/** A pair made by `connect`. Device `eth0` is the outside of both namespaces. */
export interface Pair {
  readonly a: Side;
  readonly b: Side;
  readonly endpointA: string;
  readonly endpointB: string;
}

/** Makes two namespaces joined by a veth pair, starts a node in each and configures both. */
export async function connect(net: Net, kinds: Kinds, options: PairOptions = {}): Promise<Pair> {
  const [spaceA, spaceB] = [await net.namespace("a"), await net.namespace("b")];
  const mtu = options.outerMtu;
  await net.veth(
    {
      namespace: spaceA,
      name: "eth0",
      addresses: [`${OUTER.a4}/24`, `${OUTER.a6}/64`],
      mtu,
    },
    { namespace: spaceB, name: "eth0", addresses: [`${OUTER.b4}/24`, `${OUTER.b6}/64`], mtu },
  );
  const common = { mtu: options.mtu, env: options.env };
  const [a, b] = await Promise.all([
    startSide(net, kinds[0], spaceA, { number: 1, port: 10_001, ...common }),
    startSide(net, kinds[1], spaceB, { number: 2, port: 10_002, ...common }),
  ]);
  const endpointA = options.outer6 ? `[${OUTER.a6}]:${a.port}` : `${OUTER.a4}:${a.port}`;
  const endpointB = options.outer6 ? `[${OUTER.b6}]:${b.port}` : `${OUTER.b4}:${b.port}`;
  const { keepalive, presharedKeys } = options;
  await configureSide(a, [
    peerOf(b, { endpoint: endpointB, keepalive, presharedKey: presharedKeys?.[0] }),
  ]);
  await configureSide(b, [
    peerOf(a, {
      endpoint: options.oneWay ? undefined : endpointA,
      keepalive,
      presharedKey: presharedKeys?.[1],
    }),
  ]);
  return { a, b, endpointA, endpointB };
}

/** As `connect`, and the tunnel has carried its first packet. */
export async function connectUp(net: Net, kinds: Kinds, options: PairOptions = {}): Promise<Pair> {
  const pair = await connect(net, kinds, options);
  await pingUntilAnswered(pair.a.namespace, pair.b.inner4);
  return pair;
}

/** Asserts that both nodes still run. */
export function assertAlive(...sides: Side[]): void {
  for (const { node } of sides) {
    assert(node.exit === null, `${node.kind} has ended:\n${node.log()}`);
  }
}
