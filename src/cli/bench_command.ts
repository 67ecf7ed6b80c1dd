/** `longhaul bench`: how fast this machine, or a running tunnel, is. */
import { BENCH_PORT } from "../bench/peer_protocol.ts";
import type { CommandInput, CommandSpec, Flags } from "./command_spec.ts";
import { UsageError } from "./environment.ts";

const SECONDS_DEFAULT = 20;
const SECONDS_PEER_DEFAULT = 10;
const SECONDS_MIN = 1;
const SECONDS_MAX = 600;
const PORT_MAX = 65_535;

export const benchCommand: CommandSpec = {
  name: "bench",
  summary: "measure this machine (ciphers, stack, a tunnel over loopback) or a running tunnel",
  words: "[PEER]",
  count: { min: 0, max: 1, rule: "bench takes one peer, or nothing" },
  flags: [
    {
      name: "seconds",
      value: "N",
      help:
        `about how long all of it takes (${SECONDS_DEFAULT}; with PEER ${SECONDS_PEER_DEFAULT})`,
    },
    { name: "compare", value: "FILE", help: "beside an earlier run that --json has written" },
    { name: "json", help: "as JSON" },
    { name: "serve", help: "be the other end of bench PEER, until Ctrl-C" },
    {
      name: "interface",
      alias: "i",
      value: "NAME",
      help: "with PEER: the tunnel that is meant, where there are several",
    },
    {
      name: "port",
      value: "PORT",
      help: `with PEER and --serve: another TCP port than ${BENCH_PORT}`,
    },
  ],
  examples: [
    ["bench", "a table, in about 20 seconds"],
    ["bench --json >before.json", "for later"],
    ["bench --compare before.json", "the same after an update: ratios above 1 are better"],
    ["bench --serve", "on one end of a running tunnel"],
    ["bench laptop", "on the other: throughput both ways, round trips idle and under load"],
  ],
  about: `Without PEER neither root nor a network is needed, and nothing is left behind.
The work is the same on every machine and in every release with the same schema number. Packets
and the stack are measured in one thread: the best of many short rounds. Of the tunnel and of round
trips it is the median of some. spread is how far apart the middle half of the rounds lies: figures
with much of it were measured on a machine that did something else, too.

PEER is a friendly name, a public key or an address inside the tunnel. One TCP stream goes each way,
its first tenth not counted, and small messages go back and forth beside it. --serve answers at this
host's tunnel addresses and on its loopback only. A node without an interface lets its peers reach it
by LocalServices = ${BENCH_PORT}; it cannot be the end that is given a PEER.`,
  run: runBench,
};

/** What it measures with is a quarter of the program: only this command loads it. */
async function runBench({ words: [peer], flags }: CommandInput): Promise<number> {
  const isJson = flags.has("json");
  if (flags.has("serve")) {
    if (peer !== undefined) {
      throw new UsageError("--serve takes no PEER: it waits for the other end");
    }
    refuse(flags, ["seconds", "compare", "json", "interface"], "--serve");
    const port = readPort(flags.text("port"));
    const { runPeerServer } = await import("./bench_peer.ts");
    return runPeerServer(port);
  }
  const seconds = readSeconds(flags.text("seconds"), peer !== undefined);
  if (peer === undefined) {
    refuse(flags, ["interface", "port"], "bench without PEER");
    const { runLocalFigures } = await import("./bench_local.ts");
    return runLocalFigures(seconds, flags.text("compare"), isJson);
  }
  refuse(flags, ["compare"], "bench PEER");
  const port = readPort(flags.text("port"));
  const { runPeerBench } = await import("./bench_peer.ts");
  return runPeerBench({ peer, interfaceName: flags.text("interface"), port, seconds, isJson });
}

function refuse(flags: Flags, names: readonly string[], where: string): void {
  const name = names.find((name) => flags.has(name));
  if (name !== undefined) throw new UsageError(`--${name} does not go with ${where}`);
}

function readSeconds(text: string | undefined, hasPeer: boolean): number {
  if (text === undefined) return hasPeer ? SECONDS_PEER_DEFAULT : SECONDS_DEFAULT;
  const seconds = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (seconds >= SECONDS_MIN && seconds <= SECONDS_MAX) return seconds;
  throw new UsageError(
    `--seconds takes a number from ${SECONDS_MIN} to ${SECONDS_MAX}, not "${text}"`,
  );
}

function readPort(text: string | undefined): number {
  if (text === undefined) return BENCH_PORT;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= PORT_MAX) return port;
  throw new UsageError(`--port takes a number from 1 to ${PORT_MAX}, not "${text}"`);
}
