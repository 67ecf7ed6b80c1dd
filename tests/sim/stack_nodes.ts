/** Simulated nodes whose packets begin and end in their userspace stacks. */
import type { Stack } from "../../src/netstack/stack.ts";
import type { InlineStackOptions } from "../../src/node/inline_stack.ts";
import { hostPrefix } from "./flows.ts";
import { SimNetwork, type SimNode, type SimNodeOptions } from "./node_pair.ts";

/** Inner addresses of the two nodes, IPv4 and IPv6. */
export const A4 = 0x0a640001, B4 = 0x0a640002;
export const inner6 = (last: number) =>
  Uint8Array.from([0xfd, 0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);

/** The addresses of a node as its stack has them. */
export function addressesOf(address4: number, last6: number) {
  return [hostPrefix(address4), { address: inner6(last6), bits: 128 }];
}

/** Two nodes without a TUN, each a peer of the other. */
export interface StackPair {
  readonly net: SimNetwork;
  readonly a: SimNode;
  readonly b: SimNode;
  readonly stackA: Stack;
  readonly stackB: Stack;
}

/** How the stacks of a pair differ from the usual. */
export interface StackPairOptions {
  readonly seed?: number;
  readonly stack?: Partial<InlineStackOptions>;
  readonly node?: SimNodeOptions["node"];
}

/** Makes such a pair. */
export function makeStackPair(options: StackPairOptions = {}): StackPair {
  const net = new SimNetwork(options.seed ?? 1);
  const add = (address4: number, last6: number) =>
    net.add({
      tun: false,
      node: {
        ...options.node,
        stack: { addresses: addressesOf(address4, last6), ...options.stack },
      },
    });
  const a = add(A4, 1), b = add(B4, 2);
  net.connect(a, b, { ofA: addressesOf(A4, 1), ofB: addressesOf(B4, 2) });
  return { net, a, b, stackA: a.node.stack!, stackB: b.node.stack! };
}
