/** Many peers at once: how long one `wg setconf` takes until `wg` lists them all, and their memory. */
import { waitFor } from "../../../tests/netns/command.ts";
import { Net } from "../../../tests/netns/net.ts";
import { configText, newKeyPair, wg } from "../../../tests/netns/wg.ts";
import { megabytes } from "../meter.ts";
import type { Contestant, ProgramSpec } from "../programs/spec.ts";
import { isTunnelProgram, startTunnelNode } from "../programs/tunnel_node.ts";
import { less, type Sample, type Workload } from "./workload.ts";

const PATIENCE_MS = 60_000;

export const PEERS: Workload = {
  name: "peers",
  title: "1,000 and 10,000 peers by one `wg setconf`, until `wg show` lists them",
  contestants: ["wireguard-go", "boringtun", "longhaul"],
  metrics: [
    less("load1000Ms", "1,000 peers, ms"),
    less("more1000Mb", "1,000 peers, MB more"),
    less("load10000Ms", "10,000 peers, ms"),
    less("more10000Mb", "10,000 peers, MB more"),
  ],
  accepts: isTunnelProgram,
  turn,
};

async function turn({ a: spec }: Contestant): Promise<Sample> {
  const few = await loadPeers(spec, 1000);
  const many = await loadPeers(spec, 10_000);
  return {
    load1000Ms: few.ms,
    more1000Mb: few.mb,
    load10000Ms: many.ms,
    more10000Mb: many.mb,
  };
}

async function loadPeers(spec: ProgramSpec, count: number): Promise<{ ms: number; mb: number }> {
  await using net = new Net();
  const node = await startTunnelNode(net, spec, await net.namespace("a"));
  const { privateKey } = newKeyPair();
  await node.configure({ privateKey, listenPort: 10_001 }, []);
  const text = configText({ privateKey, listenPort: 10_001 }, makePeers(count));
  const beforeMb = megabytes(node.pid, "now");
  const beginMs = performance.now();
  await node.load("setconf", text, PATIENCE_MS);
  await waitFor(`${count} peers are listed`, PATIENCE_MS, async () => {
    const { stdout } = await wg(["show", node.name, "peers"], { timeoutMs: PATIENCE_MS });
    return stdout.trimEnd().split("\n").length === count;
  });
  return { ms: performance.now() - beginMs, mb: megabytes(node.pid, "now") - beforeMb };
}

function makePeers(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    // Any 32 bytes are a public key.
    publicKey: btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))),
    allowedIps: [`10.${i >> 16}.${i >> 8 & 255}.${i & 255}/32`],
    endpoint: `198.51.100.${i % 250 + 1}:${20_000 + i % 40_000}`,
  }));
}
