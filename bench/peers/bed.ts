/** Where the tunnels of a turn run: two namespaces joined by a veth pair, a node in each. */
import { Net } from "../../tests/netns/net.ts";
import { configureSide, OUTER, peerOf, type Side } from "../../tests/netns/pair.ts";
import { pingUntilAnswered } from "../../tests/netns/traffic.ts";
import type { Contestant } from "./programs/spec.ts";
import { startTunnelSide } from "./programs/tunnel_node.ts";

/** How a bed differs from the plain one. */
export interface TunnelBedOptions {
  /** MTU inside; the veth pair's is 80 more, but at least 1500. Default 1420. */
  readonly mtu?: number;
  /** Called when the namespaces stand and no node runs yet. */
  readonly prepare?: (net: Net, spaceA: string, spaceB: string) => Promise<void>;
}

const OVERHEAD_BYTES = 80;
const OUTER_MTU_LEAST = 1500;

/** Two nodes, a tunnel between them that has carried its first packet, and all that goes with them. */
export class TunnelBed implements AsyncDisposable {
  private constructor(readonly net: Net, readonly a: Side, readonly b: Side) {}

  /** Device `eth0` is the outside of both namespaces. */
  static async start(
    contestant: Contestant,
    options: TunnelBedOptions = {},
  ): Promise<TunnelBed> {
    const net = new Net();
    try {
      const [spaceA, spaceB] = [await net.namespace("a"), await net.namespace("b")];
      const mtu = Math.max((options.mtu ?? 0) + OVERHEAD_BYTES, OUTER_MTU_LEAST);
      await net.veth(
        { namespace: spaceA, name: "eth0", addresses: [`${OUTER.a4}/24`], mtu },
        { namespace: spaceB, name: "eth0", addresses: [`${OUTER.b4}/24`], mtu },
      );
      await options.prepare?.(net, spaceA, spaceB);
      const [a, b] = await Promise.all([
        startTunnelSide(net, contestant.a, spaceA, { number: 1, port: 10_001, mtu: options.mtu }),
        startTunnelSide(net, contestant.b, spaceB, { number: 2, port: 10_002, mtu: options.mtu }),
      ]);
      await configureSide(b, [peerOf(a, { endpoint: `${OUTER.a4}:${a.port}` })]);
      await configureSide(a, [peerOf(b, { endpoint: `${OUTER.b4}:${b.port}` })]);
      await pingUntilAnswered(a.namespace, b.inner4);
      return new TunnelBed(net, a, b);
    } catch (error) {
      await net[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The processes of both nodes. */
  get pids(): [a: number, b: number] {
    return [this.a.node.pid, this.b.node.pid];
  }

  /** From a to b through the tunnel, as the options of `iperf3` name it. */
  get ends(): { client: string; server: string; address: string } {
    return { client: this.a.namespace, server: this.b.namespace, address: this.b.inner4 };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.net[Symbol.asyncDispose]();
  }
}
