/** What main posts to a worker when it starts, and what a worker posts back. */
import type { SessionLimits } from "../lane/limits.ts";
import type { SharedPlan } from "../lane/shared_state.ts";

/** Every worker of the process gets the slab and the plan. */
interface CommonStart {
  readonly memory: WebAssembly.Memory;
  readonly plan: SharedPlan;
  /** A fault to act out, for tests of the supervisor; empty in real life. */
  readonly fault: string;
}

/** Starts a lane. */
export interface LaneStart extends CommonStart {
  readonly role: "lane";
  readonly lane: number;
  /** The queues of the TUN by lane; empty without one. */
  readonly tunFds: readonly number[];
  /** The bells of all lanes, by number. */
  readonly laneBellFds: readonly number[];
  readonly mainBellFd: number;
  /** The bells of the lane's encryptors; empty when the stage runs inside the lane. */
  readonly encryptorBellFds: readonly number[];
  readonly limits: SessionLimits;
  readonly sendMessagesMax: number;
  readonly tunOffload: { vnetHeaders: boolean; tcp: boolean; udp: boolean };
  /** A node of its own, in the same slab, for the lane to rehearse with. */
  readonly rehearsal: SharedPlan;
}

/** Starts an encryptor beside a lane. */
export interface EncryptorStart extends CommonStart {
  readonly role: "encryptor";
  readonly lane: number;
  /** Which of the lane's encryptors it is. */
  readonly encryptor: number;
  /** The node that the lane rehearses with. */
  readonly rehearsal: SharedPlan;
  readonly laneBellFd: number;
  readonly encryptorBellFd: number;
}

/** The first message to any worker. */
export type WorkerStart = LaneStart | EncryptorStart;

/** What workers post to main. */
export type WorkerMessage =
  /** The worker runs; `aead` names the packet cipher that it selected. */
  | { readonly type: "running"; readonly aead: string }
  /** The worker has left its loop because it was asked to. */
  | { readonly type: "stopped" };
