/**
 * The userspace stack beside tailscaled's: a node without a TUN serves an iperf3 on its own loopback
 * to a node with a TUN, both nodes of the same program, MTU 1280, one stream, in turns (A B B A).
 *
 *     deno run --allow-all bench/peers/netstack.ts [--quick] [--json] [--rounds N] [--seconds N]
 *         [--programs longhaul,longhaul-gso-off,tailscaled]
 *
 * Needs root, ip, nsenter, iperf3, and for tailscaled: tailscaled and tailscale on PATH and Go. "Sends"
 * and "receives" are seen from the stack. Both ends and the load share a machine: compare ratios.
 */
import { parseArgs } from "@std/cli/parse-args";
import { run } from "../../tests/netns/command.ts";
import { Net } from "../../tests/netns/net.ts";
import { cpuSecondsOf, memoryOf, processTree } from "../../tests/netns/node_process.ts";
import { iperf3, pingUntilAnswered } from "../../tests/netns/traffic.ts";
import { newKeyPair } from "../../tests/netns/wg.ts";
import { Foreground, writeConfig } from "../../tests/cli/longhaul.ts";
import { median, table } from "./table.ts";
import { buildControl, startTailscale } from "./tailscale_pair.ts";

interface Turn {
  sendsGbit: number;
  receivesGbit: number;
  /** Of the stack's process alone, per GB (10^9 bytes) of payload. */
  sendsCpuPerGb: number;
  receivesCpuPerGb: number;
  peakMb: number;
}

const ROWS: readonly [key: keyof Turn, label: string][] = [
  ["sendsGbit", "stack sends, Gbit/s"],
  ["sendsCpuPerGb", "CPU s/GB of its process"],
  ["receivesGbit", "stack receives, Gbit/s"],
  ["receivesCpuPerGb", "CPU s/GB of its process "],
  ["peakMb", "memory peak, MB"],
];

const MTU = 1280;
const UNDERLAY = { a: "10.77.0.1", b: "10.77.0.2" };
const INNER = { a: "10.78.0.1", b: "10.78.0.2" };
/** Where `iperf3` has its servers. */
const PORTS = "5201-5999";

/** A pair that runs: where the client is, the address that it dials, and the stack's process. */
interface Scene {
  readonly client: string;
  readonly server: string;
  readonly address: string;
  readonly pid: number;
}

type StartScene = (net: Net, client: string, server: string) => Promise<Scene>;

const PROGRAMS: Record<string, StartScene> = {
  "longhaul": (net, client, server) => startLonghaul(net, client, server, ""),
  "longhaul-gso-off": (net, client, server) =>
    startLonghaul(net, client, server, "Offload = no-netstack-gso\n"),
  "tailscaled": startTailscaled,
};

async function startLonghaul(
  net: Net,
  client: string,
  server: string,
  settings: string,
): Promise<Scene> {
  const [a, b] = [newKeyPair(), newKeyPair()];
  const tunFile = writeConfig(
    net,
    net.interfaceName(),
    `[Interface]\nPrivateKey = ${a.privateKey}\nListenPort = 20001\nAddress = ${INNER.a}/24\n` +
      `MTU = ${MTU}\n[Peer]\nPublicKey = ${b.publicKey}\nAllowedIPs = ${INNER.b}/32\n` +
      `Endpoint = ${UNDERLAY.b}:20001\n`,
  );
  const stackFile = writeConfig(
    net,
    net.interfaceName(),
    `[Interface]\nPrivateKey = ${b.privateKey}\nListenPort = 20001\nAddress = ${INNER.b}/24\n` +
      `MTU = ${MTU}\n[Peer]\nPublicKey = ${a.publicKey}\nAllowedIPs = ${INNER.a}/32\n` +
      `Endpoint = ${UNDERLAY.a}:20001\n[Longhaul]\nMode = rootless\nLocalServices = ${PORTS}\n` +
      settings,
  );
  const env = { LOG_LEVEL: "error" };
  await Foreground.up(net, client, tunFile, env);
  const stack = await Foreground.up(net, server, stackFile, env);
  await pingUntilAnswered(client, INNER.b);
  return { client, server, address: INNER.b, pid: stack.child.pid };
}

let control: string | undefined;

async function startTailscaled(net: Net, client: string, server: string): Promise<Scene> {
  control ??= await buildControl(await Deno.makeTempDir());
  const spaces = { tunSpace: client, userSpace: server, underlay: UNDERLAY.a };
  const { user } = await startTailscale(net, control, spaces);
  await pingUntilAnswered(client, user.address);
  return { client, server, address: user.address, pid: user.pid };
}

function cpuOf(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + cpuSecondsOf(each), 0);
}

async function measure(start: StartScene, seconds: number): Promise<Turn> {
  await using net = new Net();
  const [client, server] = [await net.namespace("a"), await net.namespace("b")];
  await net.veth(
    { namespace: client, name: "v", addresses: [`${UNDERLAY.a}/24`] },
    { namespace: server, name: "v", addresses: [`${UNDERLAY.b}/24`] },
  );
  const scene = await start(net, client, server);
  const ends = { client, server, address: scene.address };
  await iperf3({ ...ends, seconds: 1 });
  await iperf3({ ...ends, seconds: 1, args: ["-R"] });
  const load = async (args: string[]) => {
    const before = cpuOf(scene.pid);
    const { bitsPerSecond, bytes } = await iperf3({ ...ends, seconds, args });
    return { gbit: bitsPerSecond / 1e9, cpuPerGb: (cpuOf(scene.pid) - before) / (bytes / 1e9) };
  };
  const receives = await load([]);
  const sends = await load(["-R"]);
  const peak = processTree(scene.pid).reduce((sum, pid) => sum + memoryOf(pid, "VmHWM"), 0);
  return {
    sendsGbit: sends.gbit,
    receivesGbit: receives.gbit,
    sendsCpuPerGb: sends.cpuPerGb,
    receivesCpuPerGb: receives.cpuPerGb,
    peakMb: peak / 1e6,
  };
}

function report(medians: Map<string, Turn>, baseline: string): string {
  const base = medians.get(baseline)!;
  const others = [...medians.keys()].filter((name) => name !== baseline);
  const header = ["", ...medians.keys(), ...others.map((name) => `${name} / ${baseline}`)];
  const rows = ROWS.map(([key, label]) => [
    label.trim(),
    ...[...medians.values()].map((turn) => turn[key].toFixed(2)),
    ...others.map((name) => (medians.get(name)![key] / base[key]).toFixed(2)),
  ]);
  return table([header, ...rows]);
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, {
    boolean: ["quick", "json"],
    string: ["rounds", "seconds", "programs"],
  });
  const rounds = Number(args.rounds ?? (args.quick ? 2 : 5));
  const seconds = Number(args.seconds ?? (args.quick ? 3 : 5));
  const programs: string[] = (args.programs ?? "tailscaled,longhaul").split(",");
  const turns = new Map<string, Turn[]>(programs.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? programs : programs.toReversed()) {
      const turn = await measure(PROGRAMS[name], seconds);
      turns.get(name)!.push(turn);
      const { sendsGbit, receivesGbit, peakMb } = turn;
      console.error(
        `${round + 1}/${rounds} ${name}: sends ${sendsGbit.toFixed(2)}, ` +
          `receives ${receivesGbit.toFixed(2)} Gbit/s, peak ${peakMb.toFixed(0)} MB`,
      );
    }
  }
  const summary = ([name, list]: [string, Turn[]]): [string, Turn] => [
    name,
    Object.fromEntries(
      ROWS.map(([key]) => [key, median(list.map((turn) => turn[key]))]),
    ) as unknown as Turn,
  ];
  const medians = new Map([...turns].map(summary));
  if (args.json) {
    console.log(JSON.stringify(
      { rounds, seconds, medians: Object.fromEntries(medians), turns: Object.fromEntries(turns) },
      null,
      2,
    ));
  } else {
    const kernel = (await run(["uname", "-r"])).stdout.trim();
    console.log(`${navigator.hardwareConcurrency} cores, Linux ${kernel}; medians of ${rounds}\n`);
    console.log(report(medians, programs[0]));
  }
}
