/** What a node tells of itself: counters of its lanes, rates of its peers, offloads in use. */
import { systemClock } from "../../ffi/clock.ts";
import type { TunQueues } from "../../ffi/tun.ts";
import { DropReason, dropReasonName } from "../base/drop_reason.ts";
import { VERSION } from "../base/version.ts";
import type {
  EncryptorWork,
  LaneWork,
  NodeReport,
  OffloadState,
  PeerReport,
} from "../control/node_report.ts";
import type { PeerNames } from "../control/peer_names.ts";
import { LaneCounter } from "../lane/counters.ts";
import { EncryptorState } from "../lane/encryptor_state.ts";
import { LaneWord, type SharedPlan } from "../lane/shared_state.ts";
import type { Slab } from "../memory/slab.ts";
import type { ControlPlane } from "../node/control_plane.ts";
import { PeerWord } from "../tables/peer_table.ts";
import type { PeerTraffic } from "../wireguard/device.ts";
import { RateMeter } from "./rate_meter.ts";

/** An offload that a kernel may refuse while the node runs. */
export type RefusableOffload = "udp-gso" | "tun-gro";

/** What of a node's options is told. */
export interface ReportedOptions {
  readonly tun: TunQueues | null;
  readonly encryptors: number;
  readonly sendMessagesMax: number;
  readonly udpGro: boolean;
  readonly tunGro: { readonly tcp: boolean };
  readonly peerNames: PeerNames;
}

/** Reads what a report says out of the tables of a running node. */
export class NodeReporter {
  /** The packet cipher that the workers have chosen. */
  cipher = "";
  readonly #slab: Slab;
  readonly #plan: SharedPlan;
  readonly #control: ControlPlane;
  readonly #options: ReportedOptions;
  readonly #rates = new RateMeter();
  readonly #startedMs = systemClock.nowMs();
  readonly #refused = new Set<RefusableOffload>();

  constructor(slab: Slab, plan: SharedPlan, control: ControlPlane, options: ReportedOptions) {
    this.#slab = slab;
    this.#plan = plan;
    this.#control = control;
    this.#options = options;
  }

  /** For rates: to be called again and again. */
  sample(peers: Iterable<PeerTraffic>, nowMs: number): void {
    this.#rates.sample(peers, nowMs);
  }

  /** The kernel has refused an offload for good; true the first time. */
  noteRefused(offload: RefusableOffload): boolean {
    if (this.#refused.has(offload)) return false;
    this.#refused.add(offload);
    return true;
  }

  /** What the data plane has done so far, and how; `overflowDrops` are those of the UDP sockets. */
  report(overflowDrops: number): NodeReport {
    return {
      version: VERSION,
      uptimeMs: systemClock.nowMs() - this.#startedMs,
      cipher: this.cipher,
      lanes: this.#laneWork(),
      encryptors: this.#options.encryptors,
      encryptorWork: this.#encryptorWork(),
      mtu: this.#control.channels[0].word(LaneWord.Mtu),
      offloads: this.#offloads(),
      counters: this.#counters(),
      drops: this.#drops(overflowDrops),
      peers: this.#peerReports(),
    };
  }

  #counters(): Map<string, number> {
    const { channels } = this.#control;
    return new Map(
      Object.entries(LaneCounter).map(([name, counter]) => [
        name,
        channels.reduce((sum, lane) => sum + lane.counters.value(counter), 0),
      ]),
    );
  }

  #drops(overflowDrops: number): NodeReport["drops"] {
    const { channels, device } = this.#control;
    const drops = Array.from(device.drops, (ofDevice, reason) => ({
      reason: dropReasonName(reason),
      packets: channels.reduce(
        (sum, lane) => sum + lane.counters.dropped(reason),
        reason === DropReason.SocketOverflow ? overflowDrops : ofDevice,
      ),
    }));
    return drops.slice(1).filter(({ packets }) => packets > 0);
  }

  #laneWork(): LaneWork[] {
    const { device, tables, channels } = this.#control;
    const peers = channels.map(() => 0);
    for (const slot of device.slots()) peers[tables.peers.word(slot, PeerWord.Lane)]++;
    return channels.map(({ counters }, lane) => ({
      peers: peers[lane],
      messages: counters.value(LaneCounter.UdpSendMessages) +
        counters.value(LaneCounter.UdpReceiveMessages),
      handedOver: counters.value(LaneCounter.HandedOver),
    }));
  }

  #encryptorWork(): EncryptorWork[] {
    return this.#plan.lanes.flatMap(({ encryptors }) =>
      encryptors.map((plan) => {
        const { batches, messages } = new EncryptorState(this.#slab, plan);
        return { batches, messages };
      })
    );
  }

  #offloads(): Map<string, OffloadState> {
    const { sendMessagesMax, udpGro, tun, tunGro } = this.#options;
    const wanted: [string, boolean][] = [
      ["udp-gso", sendMessagesMax > 1],
      ["udp-gro", udpGro],
    ];
    if (tun !== null) {
      wanted.push(["tun-tso", tun.tcpSegmentation], ["tun-uso", tun.udpSegmentation]);
      wanted.push(["tun-gro", tunGro.tcp]);
    }
    const refused: ReadonlySet<string> = this.#refused;
    return new Map(wanted.map(([name, isOn]): [string, OffloadState] => [
      name,
      !isOn ? "off" : refused.has(name) ? "fallback" : "on",
    ]));
  }

  #peerReports(): PeerReport[] {
    const reports: PeerReport[] = [];
    for (const { keyText } of this.#control.device.traffic()) {
      const rates = this.#rates.of(keyText);
      const friendlyName = this.#options.peerNames.friendly(keyText);
      const isSilent = rates.rxBytesPerSecond + rates.txBytesPerSecond === 0;
      if (!isSilent || friendlyName !== "") reports.push({ keyText, friendlyName, ...rates });
    }
    return reports;
  }
}
