/**
 * Programs that end a tunnel in a TCP/IP stack of their own and lead some of its ports to services on
 * the host's loopback.
 */
import { Foreground, writeConfig } from "../../../tests/cli/longhaul.ts";
import type { Net } from "../../../tests/netns/net.ts";
import type { KeyPair } from "../../../tests/netns/wg.ts";
import { wireproxyPath } from "./install.ts";
import { longhaulCommand, longhaulEnvironment } from "./longhaul.ts";
import type { ProgramSpec } from "./spec.ts";

/** One end without an interface. */
export interface StackNode {
  readonly key: KeyPair;
  readonly address: string;
  readonly listenPort: number;
  readonly mtu: number;
  readonly peer: { publicKey: string; address: string; endpoint: string };
  /** TCP ports that lead to the same ports of the loopback. */
  readonly ports: readonly number[];
}

/** Starts the program in `namespace`; it may take a moment until it answers. */
export async function startStackNode(
  net: Net,
  spec: ProgramSpec,
  namespace: string,
  node: StackNode,
): Promise<{ pid: number }> {
  const { argv, env } = startOf(net, spec, node);
  const started = Foreground.start(net, namespace, argv, env);
  if (spec.name === "longhaul") await started.says(/ is up, UDP port /);
  return { pid: started.child.pid };
}

interface Start {
  readonly argv: string[];
  readonly env: Record<string, string>;
}

function startOf(net: Net, spec: ProgramSpec, node: StackNode): Start {
  switch (spec.name) {
    case "longhaul":
      return longhaul(net, spec, node);
    case "wireproxy":
      return wireproxy(net, node);
    default:
      throw new Error(`${spec.name} cannot lead ports of a tunnel to local services here`);
  }
}

function longhaul(net: Net, spec: ProgramSpec, node: StackNode): Start {
  const sections = `${common(node)}
[Longhaul]
Mode = rootless
LocalServices = ${node.ports.join(", ")}
${spec.settings.join("\n")}
`;
  const file = writeConfig(net, net.interfaceName(), sections);
  return { argv: longhaulCommand(spec, "up", file), env: longhaulEnvironment(spec) };
}

function wireproxy(net: Net, node: StackNode): Start {
  const tunnels = node.ports.map((port) =>
    `[TCPServerTunnel]\nListenPort = ${port}\nTarget = 127.0.0.1:${port}\n`
  );
  const file = writeConfig(net, "wireproxy", `${common(node)}\n${tunnels.join("\n")}`);
  return { argv: [wireproxyPath(), "--silent", "-c", file], env: {} };
}

/** What both read alike. */
function common({ key, address, listenPort, mtu, peer }: StackNode): string {
  return `[Interface]
PrivateKey = ${key.privateKey}
Address = ${address}/32
ListenPort = ${listenPort}
MTU = ${mtu}
[Peer]
PublicKey = ${peer.publicKey}
AllowedIPs = ${peer.address}/32
Endpoint = ${peer.endpoint}
`;
}
