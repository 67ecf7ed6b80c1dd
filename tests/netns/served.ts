/**
 * A network behind a node without root, and a peer that reaches it through the tunnel alone:
 *
 *     away (kernel's interface) -- home (rootless) -- lan (a host that forwards) -- far
 *          192.0.2.2 | 192.0.2.1, 10.50.0.1 | 10.50.0.2, 10.60.0.1 | 10.60.0.2
 *
 * The same with IPv6: fd50::/64 and fd60::/64. The peer's default route leads into the tunnel.
 */
import { Foreground } from "../cli/longhaul.ts";
import { requires } from "../requires.ts";
import { Net } from "./net.ts";
import { run, waitFor } from "./command.ts";
import {
  ROOTLESS_NEEDS,
  type RootlessOptions,
  type RootlessScene,
  startRootless,
} from "./rootless.ts";

export const HOME_LAN_V4 = "10.50.0.1";
export const HOME_LAN_V6 = "fd50::1";
export const LAN_V4 = "10.50.0.2";
export const LAN_V6 = "fd50::2";
export const FAR_V4 = "10.60.0.2";
export const FAR_V6 = "fd60::2";

/** The nodes, and the network behind the rootless one. */
export interface ServedScene extends RootlessScene {
  readonly net: Net;
  readonly lan: string;
  readonly far: string;
  /** Starts a program in a namespace and waits for what it says. */
  start(namespace: string, argv: readonly string[], says?: RegExp): Promise<Foreground>;
}

/** How a scene of this kind is started. */
export interface ServedOptions extends RootlessOptions {
  /** Whether the rootless node's group may open ping sockets; by default it may. */
  readonly pings?: boolean;
  /** MTU of the link between home and the network behind it. */
  readonly lanMtu?: number;
}

/** Registers a test with these lines in the rootless node's `[Longhaul]` section. */
export function servedTest(
  name: string,
  longhaul: readonly string[],
  scenario: (scene: ServedScene) => Promise<void>,
  needs: readonly string[] = [],
  options: ServedOptions = {},
): void {
  Deno.test({
    name,
    ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startServed(net, longhaul, options);
      try {
        await scenario(scene);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

/** Starts it all. */
async function startServed(
  net: Net,
  longhaul: readonly string[],
  options: ServedOptions = {},
): Promise<ServedScene> {
  const [lan, far] = [await net.namespace("lan"), await net.namespace("far")];
  const scene = await startRootless(net, longhaul, {
    served: ["0.0.0.0/0", "::/0"],
    ...options,
    prepare: (home) => connectLan(net, home, lan, far, options),
  });
  const { away, kernel } = scene;
  await net.ip(away, [
    `route add default dev ${kernel.name}`,
    `route add ::/0 dev ${kernel.name}`,
  ]);
  return {
    ...scene,
    net,
    lan,
    far,
    start: async (namespace, argv, says) => {
      const program = Foreground.start(net, namespace, [...argv]);
      if (says !== undefined) await program.says(says);
      return program;
    },
  };
}

async function connectLan(
  net: Net,
  home: string,
  lan: string,
  far: string,
  options: ServedOptions,
): Promise<void> {
  const mtu = options.lanMtu;
  await net.veth(
    { namespace: home, name: "lan0", addresses: [`${HOME_LAN_V4}/24`, `${HOME_LAN_V6}/64`], mtu },
    { namespace: lan, name: "eth0", addresses: [`${LAN_V4}/24`, `${LAN_V6}/64`], mtu },
  );
  await net.veth(
    { namespace: lan, name: "far0", addresses: ["10.60.0.1/24", "fd60::1/64"] },
    { namespace: far, name: "eth0", addresses: [`${FAR_V4}/24`, `${FAR_V6}/64`] },
  );
  await net.forward(lan);
  // Linux tells each host of one error a second; ways are traced faster than that.
  for (const namespace of [lan, far]) {
    await net.sysctl(namespace, "ipv4/icmp_ratelimit", 0);
    await net.sysctl(namespace, "ipv6/icmp/ratelimit", 0);
  }
  await net.ip(home, [`route add default via ${LAN_V4}`, `route add ::/0 via ${LAN_V6}`]);
  await net.ip(far, ["route add default via 10.60.0.1", "route add ::/0 via fd60::1"]);
  if (options.pings ?? true) await net.sysctl(home, "ipv4/ping_group_range", "0 2147483647");
}

/** Waits until something listens at a TCP port of a namespace. */
export async function listens(namespace: string, port: number): Promise<void> {
  await waitFor(`port ${port} listens`, 10_000, async () => {
    const { stdout } = await run(["ss", "-Hltn", `sport = :${port}`], { namespace });
    return stdout.trim() !== "";
  });
}
