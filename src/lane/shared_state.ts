/**
 * Everything that the workers of a node share, as one plan of places in the slab. Main makes the
 * plan and the slab; other workers get both by message and build the same handles over them.
 */
import { Mailbox, mailboxBytes } from "../memory/mailbox.ts";
import { Ring, ringBytes } from "../memory/ring.ts";
import { DOORBELL_BYTES } from "../memory/doorbell.ts";
import { RegionAllocator, type Slab } from "../memory/slab.ts";
import { ticketQueueBytes } from "../memory/ticket_queue.ts";
import { FILTER_BYTES } from "../nat/filter.ts";
import { NAT_COPY_BYTES, natTableBytes } from "../nat/nat_table.ts";
import { allowedIpsBytes } from "../tables/allowed_ips.ts";
import { epochBytes, EpochTable } from "../tables/epoch.ts";
import { KEYPAIR_CAPACITY_MAX, KeypairTable, keypairTableBytes } from "../tables/keypair_table.ts";
import { PeerTable, peerTableBytes } from "../tables/peer_table.ts";
import { ACTIVITY_TIMES_BYTES, WATCH_LIST_BYTES } from "./activity.ts";
import { type BatchPlan, BatchTable, planBatches } from "./batch.ts";
import { LANE_COUNTERS_BYTES, LaneCounters } from "./counters.ts";
import { FLOW_STATISTICS_BYTES } from "./flow_statistics.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../crypto/aead_scratch.ts";
import { type EncryptorPlan, planEncryptor } from "./encryptor_state.ts";
import { type HandoverPlan, planHandover } from "./handover.ts";
import { TUN_READ_BYTES } from "./limits.ts";
import { STAGING_BYTES } from "./staging.ts";
import { TUN_OUTPUT_SCRATCH_BYTES } from "./tun_output.ts";

/** A handshake message on its way from a lane to main: one slot of the handshake ring. */
export const HANDSHAKE_SLOT_BYTES = 320;
export const HANDSHAKE_SLOTS = 1024;
export const HANDSHAKE_LENGTH = 0;
export const HANDSHAKE_ENDPOINT = 64;
export const HANDSHAKE_MESSAGE = 128;

/** Words that main and a lane share beside the mailboxes, in bytes from the lane's block. */
export const LaneWord = {
  /** Main counts up and asks for `LaneCommand.Beat`; the lane copies it to `BeatAnswer`. */
  Beat: 0,
  BeatAnswer: 4,
  /** File descriptors of the UDP sockets, -1 for none; main writes, then asks for `Sockets`. */
  Udp4Fd: 8,
  Udp6Fd: 12,
  /** Main counts up with each change of sockets; the lane copies it when it uses the new ones. */
  SocketGeneration: 16,
  SocketGenerationInUse: 20,
  /** The MTU of the tunnel interface; padding never exceeds it. */
  Mtu: 24,
  /** 1 once the TUN has gone. */
  TunGone: 28,
  /** Changes when keys were wiped: ciphers forget the copies that they hold. */
  KeyGeneration: 36,
  /** 1 after the lane has left its loop. */
  Stopped: 32,
  /** Bits of `LaneCommand` that main has asked for and the lane has not taken yet. */
  Commands: 40,
} as const;

/** Doubles in the lane's block that the lane writes, in bytes. */
export const LaneField = {
  /** When the lane last moved a packet of either direction, on its clock; 0 for never. */
  LastActivityMs: 64,
} as const;

/**
 * Requests to the lane as a whole. They do not go through the mailbox, where a request for a peer
 * that has to wait for the socket would hold them up.
 */
export const LaneCommand = {
  Beat: 1,
  Sockets: 2,
  Stop: 4,
  ForgetKeys: 8,
  Stack: 16,
  Flows: 32,
} as const;
/** Notices from the lane as a whole: bits of the event mailbox's last subject. */
export const LaneNotice = {
  Sockets: 1,
  TunGone: 2,
  Stopped: 4,
  /** The device cannot cut runs of datagrams: they are sent one by one from now on. */
  SendFallback: 8,
  /** The kernel refused a coalesced write: packets are written one by one from now on. */
  TunFallback: 16,
  /** A watched address has been active: `ActivityWatch`. */
  Activity: 32,
  /** A snapshot of the forwarded flows is written. */
  Flows: 64,
} as const;

const LANE_BLOCK_BYTES = 256;
/** Nodes of the divert table: enough for 512 prefixes. */
export const DIVERT_NODES = 1024;
/** Memory of a stack begins with a page, so that pages of it can be given back. */
const STACK_ALIGNMENT = 4096;

/** The places of one lane. */
export interface LanePlan {
  readonly blockAt: number;
  readonly countersAt: number;
  readonly eventsAt: number;
  readonly commandsAt: number;
  readonly handshakesAt: number;
  readonly bellAt: number;
  /** The queue of batches for encryptor workers. */
  readonly ticketsAt: number;
  /** Encryptor workers of the lane; none: it seals and opens itself. */
  readonly encryptors: readonly EncryptorPlan[];
  readonly tunReadAt: number;
  readonly stagingAt: number;
  /** Scratch of `TunOutput`. */
  readonly tunOutputAt: number;
  /** Scratch for GRO output vectors and for the message headers of system calls. */
  readonly scratchAt: number;
  /** Scratch of the packet AEAD of a stage inside the lane. */
  readonly aeadScratchAt: number;
  readonly batches: BatchPlan;
  /** What goes to other lanes; null where there are none. */
  readonly handover: HandoverPlan | null;
  /** A copy of a record of the NAT table. */
  readonly natCopyAt: number;
  readonly flowStatisticsAt: number;
  /** Times of watched addresses. */
  readonly activityAt: number;
  /** Memory of the lane's stack: its link and its buffers. */
  readonly stackAt: number;
  readonly stackBytes: number;
}

/** The places of a whole node. */
export interface SharedPlan {
  readonly byteLength: number;
  readonly peerCapacity: number;
  readonly keypairCapacity: number;
  readonly prefixNodeCapacity: number;
  readonly indexSecret: number;
  /** Slots of a queue that has room for all batches of a lane. */
  readonly batchSlots: number;
  readonly peersAt: number;
  readonly keypairsAt: number;
  readonly epochsAt: number;
  readonly allowedIpsAt: number;
  /** Which destinations the stack serves where there is a TUN too: `InboundSink`. */
  readonly divertAt: number;
  readonly filterAt: number;
  readonly natAt: number;
  /** Addresses whose activity is watched. */
  readonly watchListAt: number;
  /** i32 that main counts up after it has switched anything of `PacketPolicy` on or off. */
  readonly policyVersionAt: number;
  readonly mainBellAt: number;
  readonly mainScratchAt: number;
  readonly lanes: readonly LanePlan[];
}

/** Bytes of scratch for a lane, and for main; a lane's is divided like this. */
export const SCRATCH_BYTES = 128 * 1024;
export const LANE_SCRATCH_ENDPOINT = 0;
export const LANE_SCRATCH_ICMP = 1024;
export const LANE_SCRATCH_GRO = 4096;
export const LANE_SCRATCH_SYSCALLS = 96 * 1024;
/** Main's scratch: a handshake message, endpoint records, message headers of system calls. */
export const MAIN_SCRATCH_MESSAGE = 0;
export const MAIN_SCRATCH_ENDPOINT = 256;
export const MAIN_SCRATCH_DEVICE = 512;
export const MAIN_SCRATCH_SYSCALLS = 4096;

/** How large a node may become. */
export interface PlanOptions {
  readonly lanes: number;
  /** Encryptor workers of each lane; 0, the default, for a stage inside the lane. */
  readonly encryptors?: number;
  /** Peers that can exist at once. */
  readonly peerCapacity?: number;
  /** Nodes of the allowed-IPs tries: at most two per prefix. */
  readonly prefixNodeCapacity?: number;
  /** Seal and open batches per lane; a stage in a worker of its own wants several. */
  readonly sealBatches: number;
  readonly openBatches: number;
  /** 32 random bits that mask receiver indexes. */
  readonly indexSecret: number;
  /** Bytes for the stack of each lane, 0 for none. */
  readonly stackBytes?: number;
  /** Where the plan begins; what comes before belongs to others. */
  readonly firstAt?: number;
}

/** Lays out the slab of a node. */
export function planShared(options: PlanOptions): SharedPlan {
  const regions = new RegionAllocator(options.firstAt);
  const peerCapacity = options.peerCapacity ?? 16_384;
  const keypairCapacity = Math.min(peerCapacity * 4, KEYPAIR_CAPACITY_MAX);
  const prefixNodeCapacity = options.prefixNodeCapacity ?? 1_048_576;
  const batchCount = options.sealBatches + options.openBatches;
  const batchSlots = 2 ** Math.ceil(Math.log2(batchCount));
  const shared = {
    peerCapacity,
    keypairCapacity,
    prefixNodeCapacity,
    indexSecret: options.indexSecret,
    batchSlots,
    peersAt: regions.reserve(peerTableBytes(peerCapacity)),
    keypairsAt: regions.reserve(keypairTableBytes(keypairCapacity)),
    epochsAt: regions.reserve(epochBytes(options.lanes)),
    allowedIpsAt: regions.reserve(allowedIpsBytes(prefixNodeCapacity)),
    divertAt: regions.reserve(allowedIpsBytes(DIVERT_NODES)),
    filterAt: regions.reserve(FILTER_BYTES),
    natAt: regions.reserve(natTableBytes(peerCapacity)),
    watchListAt: regions.reserve(WATCH_LIST_BYTES),
    policyVersionAt: regions.reserve(64),
    mainBellAt: regions.reserve(DOORBELL_BYTES),
    mainScratchAt: regions.reserve(SCRATCH_BYTES),
  };
  const lanes: LanePlan[] = [];
  for (let lane = 0; lane < options.lanes; lane++) {
    lanes.push(planLane(regions, options, peerCapacity, batchSlots));
  }
  return { ...shared, lanes, byteLength: regions.byteLength };
}

function planLane(
  regions: RegionAllocator,
  options: PlanOptions,
  peerCapacity: number,
  batchSlots: number,
): LanePlan {
  return {
    blockAt: regions.reserve(LANE_BLOCK_BYTES),
    countersAt: regions.reserve(LANE_COUNTERS_BYTES),
    eventsAt: regions.reserve(mailboxBytes(peerCapacity + 1)),
    commandsAt: regions.reserve(mailboxBytes(peerCapacity)),
    handshakesAt: regions.reserve(ringBytes(HANDSHAKE_SLOTS, HANDSHAKE_SLOT_BYTES)),
    bellAt: regions.reserve(DOORBELL_BYTES),
    ticketsAt: regions.reserve(ticketQueueBytes(batchSlots)),
    encryptors: Array.from({ length: options.encryptors ?? 0 }, () => planEncryptor(regions)),
    tunReadAt: regions.reserve(TUN_READ_BYTES),
    stagingAt: regions.reserve(STAGING_BYTES),
    tunOutputAt: regions.reserve(TUN_OUTPUT_SCRATCH_BYTES),
    scratchAt: regions.reserve(SCRATCH_BYTES),
    aeadScratchAt: regions.reserve(PACKET_AEAD_SCRATCH_BYTES),
    batches: planBatches(regions, options.sealBatches, options.openBatches),
    handover: planHandover(regions, options.lanes),
    natCopyAt: regions.reserve(NAT_COPY_BYTES),
    flowStatisticsAt: regions.reserve(FLOW_STATISTICS_BYTES),
    activityAt: regions.reserve(ACTIVITY_TIMES_BYTES),
    stackAt: regions.reserve(options.stackBytes ?? 0, STACK_ALIGNMENT),
    stackBytes: options.stackBytes ?? 0,
  };
}

/** The tables that main and all lanes share, as handles of one worker. */
export class SharedTables {
  readonly peers: PeerTable;
  readonly keypairs: KeypairTable;
  readonly epochs: EpochTable;

  constructor(readonly slab: Slab, readonly plan: SharedPlan) {
    this.peers = new PeerTable(slab, plan.peersAt, plan.peerCapacity);
    this.keypairs = new KeypairTable(
      slab,
      plan.keypairsAt,
      plan.keypairCapacity,
      plan.indexSecret,
    );
    this.epochs = new EpochTable(slab, plan.epochsAt, plan.lanes.length);
  }
}

/** What main and one lane share beside the tables, as handles of one worker. */
export class LaneChannels {
  /** Lane to main: `PeerEvent` bits per peer, `LaneNotice` bits for the last subject. */
  readonly events: Mailbox;
  /** Main to lane: `PeerCommand` bits per peer. */
  readonly commands: Mailbox;
  readonly handshakes: Ring;
  readonly counters: LaneCounters;
  readonly batches: BatchTable;
  /** The subject of `events` that stands for the lane itself. */
  readonly laneSubject: number;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #block: number;

  constructor(slab: Slab, shared: SharedPlan, readonly plan: LanePlan) {
    this.laneSubject = shared.peerCapacity;
    this.events = new Mailbox(slab, plan.eventsAt, shared.peerCapacity + 1);
    this.commands = new Mailbox(slab, plan.commandsAt, shared.peerCapacity);
    this.handshakes = new Ring(slab, plan.handshakesAt, HANDSHAKE_SLOTS, HANDSHAKE_SLOT_BYTES);
    this.counters = new LaneCounters(slab, plan.countersAt);
    this.batches = new BatchTable(slab, plan.batches);
    this.#i32 = slab.i32;
    this.#f64 = slab.f64;
    this.#block = plan.blockAt >> 2;
  }

  /** One of the fields of `LaneField`. */
  field(field: number): number {
    return this.#f64[(this.plan.blockAt + field) >> 3];
  }

  /** Lane: sets one of the fields of `LaneField`. */
  setField(field: number, value: number): void {
    this.#f64[(this.plan.blockAt + field) >> 3] = value;
  }

  /** One of the words of `LaneWord`, read atomically. */
  word(word: number): number {
    return Atomics.load(this.#i32, this.#block + (word >> 2));
  }

  /** Main: asks the lane for something, as bits of `LaneCommand`; ring its doorbell afterwards. */
  request(bits: number): void {
    Atomics.or(this.#i32, this.#block + (LaneWord.Commands >> 2), bits);
  }

  /** Lane: takes what main has asked for. */
  takeRequests(): number {
    return Atomics.exchange(this.#i32, this.#block + (LaneWord.Commands >> 2), 0);
  }

  /** Sets one of the words of `LaneWord` atomically. */
  setWord(word: number, value: number): void {
    Atomics.store(this.#i32, this.#block + (word >> 2), value);
  }
}
