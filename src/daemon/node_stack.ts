/**
 * A lane's userspace stack as main sees it: its config, which main writes into the stack's memory, and
 * what the lane answers.
 */
import { BulkReport } from "../forward/bulk_report.ts";
import { type FlowSnapshot, readFlowSnapshot } from "../forward/flow_snapshot.ts";
import { LaneCommand } from "../lane/shared_state.ts";
import type { Slab } from "../memory/slab.ts";
import type { ControlPlane } from "../node/control_plane.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";
import { type StackConfig, writeStackConfig } from "../worker/stack_config.ts";
import { planStack, type StackPlan } from "../worker/stack_plan.ts";
import { SharedRequest } from "./shared_request.ts";
import { StackSurroundings } from "./stack_surroundings.ts";

/** The lane that a stack belongs to. */
const LANE = 0;

/** The stack of one node. */
export class NodeStack {
  readonly #slab: Slab;
  readonly #plan: StackPlan;
  readonly #control: ControlPlane;
  /** Whether there is a TUN interface too. */
  readonly #isBesideTun: boolean;
  readonly #surroundings = new StackSurroundings(() => this.#peerEndpoints());
  readonly #flowRequest = new SharedRequest<FlowSnapshot>();
  #config: StackConfig;

  /** Writes `config` where the lane reads it when it starts. `stackAt` is that of the lane's plan. */
  constructor(
    slab: Slab,
    stackAt: number,
    control: ControlPlane,
    config: StackConfig,
    isBesideTun: boolean,
  ) {
    this.#slab = slab;
    this.#plan = planStack(stackAt);
    this.#control = control;
    this.#isBesideTun = isBesideTun;
    this.#config = config;
    this.#write();
  }

  /** Gives the stack another config; flows that exist go on. */
  configure(config: StackConfig): void {
    this.#config = config;
    this.#write();
    this.#control.postToLane(LANE, LaneCommand.Stack);
  }

  /** The MTU of the interface beside it has changed. */
  setMtu(mtu: number): void {
    this.configure({ ...this.#config, mtu });
  }

  /** Tells the stack when its surroundings have changed. */
  lookAround(): void {
    if (!this.#surroundings.hasChanged(this.#config)) return;
    this.#writeConfig();
    this.#control.postToLane(LANE, LaneCommand.Stack);
  }

  /**
   * The flows that are forwarded, and how many found no room in the snapshot. Rejects when the lane
   * does not answer.
   */
  flows(): Promise<FlowSnapshot> {
    return this.#flowRequest.make(() => this.#control.postToLane(LANE, LaneCommand.Flows));
  }

  /** The lane has written the snapshot that was asked for. */
  onFlows(): void {
    this.#flowRequest.answer(() => readFlowSnapshot(this.#slab, this.#plan.flowsAt));
  }

  /** What the bulk transfer has done. */
  get bulkReport(): BulkReport {
    return new BulkReport(this.#slab, this.#plan.bulkReportAt);
  }

  #write(): void {
    this.#writeConfig();
    const { served, addresses, mtu } = this.#config;
    // Beside an interface the stack gets what it serves; the interface's own networks stay there.
    if (this.#isBesideTun) this.#control.policy.setDivert(served ?? [], addresses);
    else this.#control.setMtu(mtu);
  }

  /** With what is known of its surroundings. */
  #writeConfig(): void {
    const config = this.#surroundings.complete(this.#config);
    writeStackConfig(this.#slab, this.#plan.configAt, config);
  }

  *#peerEndpoints(): Generator<SocketAddress> {
    const { device } = this.#control;
    for (const { keyText } of device.traffic()) {
      const endpoint = device.endpointOf(keyText);
      if (endpoint !== null) yield endpoint;
    }
  }
}
