/** Programs that drive an interface of the kernel and speak the UAPI: any of them is one side. */
import type { Net } from "../../../tests/netns/net.ts";
import type { Kind, StartOptions } from "../../../tests/netns/node_process.ts";
import { NodeProcess } from "../../../tests/netns/node_process.ts";
import { type Side, startSide } from "../../../tests/netns/pair.ts";
import { longhaulCommand, longhaulEnvironment } from "./longhaul.ts";
import type { ProgramSpec } from "./spec.ts";

/** What a side needs beside its program. */
export interface TunnelSideOptions {
  /** Number in 1..250 that the addresses are made of. */
  readonly number: number;
  readonly port: number;
  readonly mtu?: number;
  readonly lookEveryMs?: number;
}

/** Starts the program in `namespace` with an interface that has addresses and is up. */
export function startTunnelSide(
  net: Net,
  spec: ProgramSpec,
  namespace: string,
  options: TunnelSideOptions,
): Promise<Side> {
  const name = net.interfaceName();
  return startSide(net, kindOf(spec), namespace, { ...options, ...startOptions(spec, name) });
}

/** Starts the program in `namespace`; its interface has no address yet. */
export function startTunnelNode(
  net: Net,
  spec: ProgramSpec,
  namespace: string,
): Promise<NodeProcess> {
  const name = net.interfaceName();
  return NodeProcess.start(net, kindOf(spec), namespace, startOptions(spec, name));
}

/** The programs that can be one side of a tunnel between interfaces. */
export function isTunnelProgram(spec: ProgramSpec): boolean {
  return ["longhaul", "wireguard-go", "boringtun"].includes(spec.name);
}

function kindOf(spec: ProgramSpec): Kind {
  if (!isTunnelProgram(spec)) throw new Error(`${spec.name} has no interface with a UAPI`);
  return spec.name as Kind;
}

/** Logs are errors only, for everyone: a log is not what is measured. */
function startOptions(spec: ProgramSpec, name: string): StartOptions {
  return spec.name === "longhaul"
    ? { name, argv: longhaulCommand(spec, "-f", name), env: longhaulEnvironment(spec) }
    : { name, env: { LOG_LEVEL: "error" } };
}
