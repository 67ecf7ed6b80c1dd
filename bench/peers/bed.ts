/**
 * Where the tunnels of a turn run: two namespaces joined by a veth pair, a node in each. Device
 * `eth0` is the outside of both.
 */
import { Net } from "../../tests/netns/net.ts";
import { configureSide, OUTER, peerOf, type Side } from "../../tests/netns/pair.ts";
import { pingUntilAnswered } from "../../tests/netns/traffic.ts";
import { newKeyPair } from "../../tests/netns/wg.ts";
import type { Contestant, ProgramSpec } from "./programs/spec.ts";
import { startStackNode } from "./programs/stack_node.ts";
import { startTunnelSide } from "./programs/tunnel_node.ts";

/** How a bed differs from the plain one. */
export interface BedOptions {
  /** MTU inside; the veth pair's is 80 more, but at least 1500. Default 1420. */
  readonly mtu?: number;
  /** Called when the namespaces stand and no node runs yet. */
  readonly prepare?: (spaces: Spaces) => Promise<void>;
}

/** The two namespaces, and the net that they belong to. */
export interface Spaces {
  readonly net: Net;
  readonly a: string;
  readonly b: string;
}

/** Two ends, as `iperf3` names them. */
export interface Ends {
  readonly client: string;
  readonly server: string;
  /** The server's, inside the tunnel. */
  readonly address: string;
}

const MTU = 1420;
const OVERHEAD_BYTES = 80;
const OUTER_MTU_LEAST = 1500;
const PORT_A = 10_001;
const PORT_B = 10_002;
/** Of a node without an interface; the sides that have one are made by `startSide`. */
const STACK_ADDRESS = "192.168.241.2";

/** A net with both namespaces. The caller disposes of it. */
export async function makeSpaces(outerMtu: number = OUTER_MTU_LEAST): Promise<Spaces> {
  const net = new Net();
  const [a, b] = [await net.namespace("a"), await net.namespace("b")];
  await net.veth(
    { namespace: a, name: "eth0", addresses: [`${OUTER.a4}/24`], mtu: outerMtu },
    { namespace: b, name: "eth0", addresses: [`${OUTER.b4}/24`], mtu: outerMtu },
  );
  return { net, a, b };
}

/** Two nodes with interfaces, and a tunnel between them that has carried its first packet. */
export class TunnelBed implements AsyncDisposable {
  private constructor(readonly net: Net, readonly a: Side, readonly b: Side) {}

  static async start(contestant: Contestant, options: BedOptions = {}): Promise<TunnelBed> {
    const { mtu = MTU } = options;
    const spaces = await makeSpaces(Math.max(mtu + OVERHEAD_BYTES, OUTER_MTU_LEAST));
    return await orDispose(spaces.net, async () => {
      await options.prepare?.(spaces);
      const [a, b] = await Promise.all([
        startTunnelSide(spaces.net, contestant.a, spaces.a, { number: 1, port: PORT_A, mtu }),
        startTunnelSide(spaces.net, contestant.b, spaces.b, { number: 2, port: PORT_B, mtu }),
      ]);
      await configureSide(b, [peerOf(a, { endpoint: `${OUTER.a4}:${a.port}` })]);
      await configureSide(a, [peerOf(b, { endpoint: `${OUTER.b4}:${b.port}` })]);
      await pingUntilAnswered(a.namespace, b.inner4);
      return new TunnelBed(spaces.net, a, b);
    });
  }

  /** The processes of both nodes. */
  get pids(): [a: number, b: number] {
    return [this.a.node.pid, this.b.node.pid];
  }

  /** From a to b through the tunnel. */
  get ends(): Ends {
    return { client: this.a.namespace, server: this.b.namespace, address: this.b.inner4 };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.net[Symbol.asyncDispose]();
  }
}

/** A node with an interface in a, and in b one with a stack of its own and services behind it. */
export class StackBed implements AsyncDisposable {
  constructor(
    readonly net: Net,
    readonly ends: Ends,
    /** The process of the node without an interface. */
    readonly pid: number,
  ) {}

  static async start(
    programs: { tun: ProgramSpec; stack: ProgramSpec },
    ports: readonly number[],
    options: BedOptions = {},
  ): Promise<StackBed> {
    const { mtu = MTU } = options;
    const spaces = await makeSpaces();
    const { net } = spaces;
    return await orDispose(net, async () => {
      await options.prepare?.(spaces);
      const key = newKeyPair();
      const tun = { number: 1, port: PORT_A, mtu };
      const a = await startTunnelSide(net, programs.tun, spaces.a, tun);
      await configureSide(a, [{
        publicKey: key.publicKey,
        allowedIps: [`${STACK_ADDRESS}/32`],
        endpoint: `${OUTER.b4}:${PORT_B}`,
      }]);
      const { publicKey } = a.key;
      const peer = { publicKey, address: a.inner4, endpoint: `${OUTER.a4}:${PORT_A}` };
      const node = { key, address: STACK_ADDRESS, listenPort: PORT_B, mtu, peer, ports };
      const { pid } = await startStackNode(net, programs.stack, spaces.b, node);
      await pingUntilAnswered(spaces.a, STACK_ADDRESS);
      const ends = { client: spaces.a, server: spaces.b, address: STACK_ADDRESS };
      return new StackBed(net, ends, pid);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.net[Symbol.asyncDispose]();
  }
}

/** What `make` gives; when it throws, the net is taken away first. */
export async function orDispose<T>(net: Net, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await net[Symbol.asyncDispose]();
    throw error;
  }
}
