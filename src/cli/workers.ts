/**
 * How many threads a node works with: lanes, among which the peers are divided, and encryptors beside
 * each. What is wanted stands in the config, in flags of `up`, or in variables.
 */
import { getEnvironment } from "../../ffi/environment.ts";
import { canSteerUdp } from "../../ffi/udp_group.ts";
import type { Log } from "../base/log.ts";
import {
  chooseEncryptors,
  chooseLanes,
  type CountRange,
  ENCRYPTORS,
  LANES,
  rangeText,
  readWorkerCount,
  type WorkerCount,
} from "../config/worker_counts.ts";
import type { Flags, FlagSpec } from "./command_spec.ts";
import { UsageError } from "./environment.ts";

export const WORKER_FLAGS: readonly FlagSpec[] = [
  {
    name: "lanes",
    value: "N",
    help: "threads that the peers are divided among, or auto, in place of the file's",
  },
  {
    name: "encryptors",
    value: "N",
    help:
      "threads that encrypt beside the data plane's, 0 for none, or auto, in place of the file's",
  },
];

/** What a user wants. */
export interface WantedWorkers {
  readonly lanes: WorkerCount;
  /** Beside each lane. */
  readonly encryptors: WorkerCount;
}

/** What a node gets. */
export interface Workers {
  readonly lanes: number;
  /** Beside each lane. */
  readonly encryptors: number;
}

/** What the flags of `up` want; what they do not name is left out. Throws `UsageError`. */
export function wantedByFlags(flags: Flags): Partial<WantedWorkers> {
  const lanes = flags.text("lanes"), encryptors = flags.text("encryptors");
  return {
    ...lanes === undefined ? {} : { lanes: countOf(lanes, "--lanes", LANES) },
    ...encryptors === undefined
      ? {}
      : { encryptors: countOf(encryptors, "--encryptors", ENCRYPTORS) },
  };
}

/** What the variables want; one lane where they do not say, since peers come later. Throws likewise. */
export function wantedByEnvironment(): WantedWorkers {
  const of = (name: string, without: string, range: CountRange) =>
    countOf(getEnvironment(name) || without, name, range);
  return {
    lanes: of("LONGHAUL_LANES", "1", LANES),
    encryptors: of("LONGHAUL_ENCRYPTORS", "auto", ENCRYPTORS),
  };
}

function countOf(text: string, name: string, range: CountRange): WorkerCount {
  const wanted = readWorkerCount(text, range);
  if (wanted !== undefined) return wanted;
  throw new UsageError(`${name} must be auto or ${rangeText(range)}, not "${text}"`);
}

/** What a node is that has to choose. */
export interface NodeShape {
  readonly peers: number;
  /** Whether there is a userspace stack. */
  readonly hasStack: boolean;
  /** Whether the interface was made by somebody else, with a single queue. */
  readonly isAdopted: boolean;
}

/** What can be had of what is wanted, on this machine; says so where it is less. */
export function chooseWorkers(wanted: WantedWorkers, shape: NodeShape, log: Log): Workers {
  const cores = navigator.hardwareConcurrency;
  let lanes = chooseLanes(wanted.lanes, cores, shape.peers);
  const obstacle = lanes === 1 ? null : laneObstacle(shape);
  if (obstacle !== null) {
    if (wanted.lanes !== "auto") log.warn(`one lane instead of ${lanes}: ${obstacle}`);
    lanes = 1;
  }
  return { lanes, encryptors: chooseEncryptors(wanted.encryptors, Math.floor(cores / lanes)) };
}

/** Why a node cannot have several lanes; null when it can. */
function laneObstacle({ hasStack, isAdopted }: NodeShape): string | null {
  if (hasStack) return "a userspace stack belongs to one lane";
  if (isAdopted) return "the interface that was passed in has one queue";
  return canSteerUdp()
    ? null
    : "this kernel cannot steer datagrams among sockets (SO_ATTACH_REUSEPORT_CBPF)";
}
