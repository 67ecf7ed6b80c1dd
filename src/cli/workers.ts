/**
 * How many threads a node works with: lanes, among which the peers are divided, and encryptors beside
 * each. What is wanted stands in the config, in flags of `up`, or in variables.
 */
import { getEnvironment } from "../../ffi/environment.ts";
import { canSteerUdp } from "../../ffi/udp_group.ts";
import type { Log } from "../base/log.ts";
import {
  chooseEncryptors,
  type Encryptors,
  ENCRYPTORS_MAX,
  readEncryptors,
} from "../config/encryptors.ts";
import { chooseLanes, type Lanes, LANES_MAX, readLanes } from "../config/lanes.ts";
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
  readonly lanes: Lanes;
  /** Beside each lane. */
  readonly encryptors: Encryptors;
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
    ...lanes === undefined ? {} : { lanes: lanesOf(lanes, "--lanes") },
    ...encryptors === undefined ? {} : { encryptors: encryptorsOf(encryptors, "--encryptors") },
  };
}

/** What the variables want; one lane where they do not say, since peers come later. Throws likewise. */
export function wantedByEnvironment(): WantedWorkers {
  const of = (name: string, without: string) => getEnvironment(name) || without;
  return {
    lanes: lanesOf(of("LONGHAUL_LANES", "1"), "LONGHAUL_LANES"),
    encryptors: encryptorsOf(of("LONGHAUL_ENCRYPTORS", "auto"), "LONGHAUL_ENCRYPTORS"),
  };
}

function lanesOf(text: string, name: string): Lanes {
  const wanted = readLanes(text);
  if (wanted !== undefined) return wanted;
  throw new UsageError(`${name} must be auto or a number from 1 to ${LANES_MAX}, not "${text}"`);
}

function encryptorsOf(text: string, name: string): Encryptors {
  const wanted = readEncryptors(text);
  if (wanted !== undefined) return wanted;
  throw new UsageError(
    `${name} must be auto or a number from 0 to ${ENCRYPTORS_MAX}, not "${text}"`,
  );
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
