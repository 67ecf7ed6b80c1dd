/**
 * The userspace stack of a lane worker and what is attached to it: local services of this host over
 * the kernel's sockets, and bulk transfers. Built over the lane's stack memory, configured by main.
 */
import { threadCpuSeconds } from "../../ffi/clock.ts";
import { HostSocketSet } from "../../ffi/host_socket.ts";
import type { FfiMemory } from "../../ffi/memory.ts";
import { releasePages } from "../../ffi/pages.ts";
import { openFilesMax } from "../../ffi/process.ts";
import { systemRandom } from "../../ffi/random.ts";
import { BulkTransfers } from "../forward/bulk_transfer.ts";
import { writeFlowSnapshot } from "../forward/flow_snapshot.ts";
import { DEFAULT_FORWARD_LIMITS, type ForwardLimits } from "../forward/limits.ts";
import { LocalForwarder } from "../forward/local_forwarder.ts";
import { OwnAddresses } from "../forward/own_addresses.ts";
import type { HostWork } from "../lane/ports.ts";
import type { Slab } from "../memory/slab.ts";
import { BufferPool } from "../netstack/buffer_pool.ts";
import type { DropCounters } from "../netstack/counters.ts";
import { LinkEndpoint } from "../netstack/link_endpoint.ts";
import { SEGMENT_BYTES_MAX } from "../netstack/tcp/limits.ts";
import { Stack } from "../netstack/stack.ts";
import { ownedPrefixBits, ownerOf } from "../tables/allowed_ips_depth.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { readStackConfig, type StackConfig } from "./stack_config.ts";
import { planStack, type StackPlan } from "./stack_plan.ts";

/** Descriptors that flows leave alone, half of all at most: the tunnel needs some at any time. */
const RESERVED_FILES = 256;
/** Smaller free blocks are not worth a system call. */
const RELEASE_BYTES_MIN = 64 * 1024;
/** Memory that nobody has used for so long goes back to the system. */
const TRIM_INTERVAL_MS = 1000;
/** As much at a time, or one block: a megabyte takes 0.1 ms, and the lane does nothing else meanwhile. */
const TRIM_BYTES_MAX = 4 << 20;
const TRIM_PAUSE_MS = 5;
/** Every UDP flow of a peer has its bound in the forwarder. */
const UDP_FLOWS_MAX = 1 << 20;

/** What a stack is made over. */
export interface LaneStackParts {
  readonly slab: Slab;
  readonly memory: FfiMemory;
  readonly kernel: ChecksumKernel;
  readonly counters: DropCounters;
  /** The lane's stack memory. */
  readonly stackAt: number;
  /** The peers' allowed IPs. */
  readonly allowedIpsAt: number;
}

/** One lane's stack; see the module's text. */
export class LaneStack implements HostWork {
  readonly stack: Stack;
  /** Set when the host's sockets have events. */
  hasHostEvents = false;
  readonly #parts: LaneStackParts;
  readonly #plan: StackPlan;
  readonly #host: HostSocketSet;
  readonly #forwarder: LocalForwarder;
  readonly #bulk: BulkTransfers;
  readonly #pool: BufferPool;
  #nextTrimMs = -Infinity;

  /** Main has written a config to the stack's memory. */
  constructor(parts: LaneStackParts) {
    const { slab, memory, kernel, counters, stackAt } = parts;
    this.#parts = parts;
    const plan = this.#plan = planStack(stackAt);
    const config = this.#readConfig()!;
    const pool = new BufferPool(plan.poolAt, plan.poolBytes, (at, bytes) => {
      if (bytes >= RELEASE_BYTES_MIN) releasePages(memory, at, bytes);
    });
    this.#pool = pool;
    const { addresses, mtu, gso } = config;
    const gsoMaxBytes = gso ? SEGMENT_BYTES_MAX : 0;
    const link = new LinkEndpoint(slab, pool, plan.linkAt, { mtu, gsoMaxBytes });
    const random = systemRandom;
    this.stack = new Stack({
      ...{ slab, kernel, pool, link, random, counters, addresses, gso },
      udpFlowsMax: UDP_FLOWS_MAX,
    });
    this.#host = new HostSocketSet(memory, plan.hostSocketsAt);
    const own = new OwnAddresses((address) => this.#host.isOwnAddress(address), this.stack);
    this.#forwarder = new LocalForwarder({
      ...config,
      ...{ host: this.#host, time: this.stack, counters },
      surroundings: {
        isOwnAddress: (address) => own.has(address),
        peerPrefixBits: (address) => ownedPrefixBits(slab, parts.allowedIpsAt, address),
        peerOf: (address) => ownerOf(slab, parts.allowedIpsAt, address),
      },
      datagramAt: plan.datagramAt,
      errors: this.stack.flowErrors,
      echo: { icmp: this.stack.icmp, u8: slab.u8, errors: this.stack.flowErrors },
      limits: forwardLimits(),
    });
    this.stack.udp.forwarder = this.#forwarder.udp;
    this.stack.tcp.forwarder = this.#forwarder.tcp;
    this.stack.icmp.forwarder = this.#forwarder.echo;
    this.#setDestinations();
    this.#bulk = new BulkTransfers({
      ...{ slab, kernel, tcp: this.stack.tcp, time: this.stack },
      allocate: (bytes) => pool.allocate(bytes),
      reportAt: plan.bulkReportAt,
      cpuSeconds: threadCpuSeconds,
    });
  }

  /** Readable while the host's sockets have events. */
  get hostFd(): number {
    return this.#host.pollFd;
  }

  /** Takes over what main has written. */
  configure(): void {
    const config = this.#readConfig();
    if (config === null) return;
    this.stack.setAddresses(config.addresses);
    this.stack.link.mtu = config.mtu;
    this.#forwarder.setReachable(config);
    this.#setDestinations();
    if (config.bulk !== undefined) this.#bulk.begin(config.bulk);
  }

  /** Writes down the flows for main. */
  writeFlows(): void {
    writeFlowSnapshot(this.#parts.slab, this.#plan.flowsAt, this.#forwarder.facts());
  }

  poll(nowMs: number): boolean {
    const hasEvents = this.hasHostEvents;
    this.hasHostEvents = false;
    this.#forwarder.onTimeout(nowMs);
    if (nowMs >= this.#trimDueMs) this.#trim(nowMs);
    const hasBytes = this.#forwarder.turn(hasEvents);
    return this.#bulk.turn() || hasBytes;
  }

  nextTimeoutMs(): number {
    if (this.#bulk.hasWork) return -Infinity;
    return Math.min(this.#forwarder.nextTimeoutMs(), this.#trimDueMs);
  }

  get #trimDueMs(): number {
    return this.#pool.isTrimmed ? Infinity : this.#nextTrimMs;
  }

  #trim(nowMs: number): void {
    const hasMore = this.#pool.trim(TRIM_BYTES_MAX);
    this.#nextTrimMs = nowMs + (hasMore ? TRIM_PAUSE_MS : TRIM_INTERVAL_MS);
  }

  /** Ends all flows of local services, and queues what tells their peers. */
  close(nowMs: number): void {
    this.#forwarder.close();
    this.stack.flush(nowMs);
  }

  #setDestinations(): void {
    const { policy } = this.#forwarder.targets;
    this.stack.acceptsAny = !policy.isEmpty;
    this.stack.destinations = policy;
  }

  #readConfig(): StackConfig | null {
    return readStackConfig(this.#parts.slab, this.#plan.configAt);
  }
}

/** Flows within what the process may open: the tunnel must never lack a descriptor. */
function forwardLimits(): ForwardLimits {
  const allowed = openFilesMax();
  const files = Math.max(allowed - RESERVED_FILES, allowed >> 1);
  const limits = DEFAULT_FORWARD_LIMITS;
  const udpFlowsMax = Math.min(limits.udpFlowsMax, files >> 2);
  const tcpFlowsMax = Math.min(limits.tcpFlowsMax, files - udpFlowsMax);
  return {
    ...limits,
    udpFlowsMax,
    tcpFlowsMax,
    tcpFlowsPerClientMax: Math.min(limits.tcpFlowsPerClientMax, tcpFlowsMax * 3 >> 2),
    udpFlowsPerClientMax: Math.min(limits.udpFlowsPerClientMax, udpFlowsMax >> 1),
  };
}
