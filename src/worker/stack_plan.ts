/** How the memory of a lane's stack (`LanePlan.stackAt`) is divided. */
import { HOST_SOCKET_SCRATCH_BYTES } from "../../ffi/host_socket.ts";
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import { BULK_REPORT_BYTES } from "../forward/bulk_report.ts";
import { FLOW_SNAPSHOT_BYTES } from "../forward/flow_snapshot.ts";
import { LinkEndpoint } from "../netstack/link_endpoint.ts";
import { STACK_CONFIG_BYTES } from "./stack_config.ts";

/** Send and receive buffers of all connections; pages that nobody uses cost nothing. */
const POOL_BYTES = 512 * 1024 * 1024;
/** The largest UDP datagram. */
const DATAGRAM_BYTES_MAX = 65_535;
const PAGE_BYTES = 4096;

/** The places of one stack. */
export interface StackPlan {
  readonly configAt: number;
  /** What a bulk transfer has done: `BulkReport`. */
  readonly bulkReportAt: number;
  /** A snapshot of the forwarded flows. */
  readonly flowsAt: number;
  readonly hostSocketsAt: number;
  /** Where datagrams of the host are read to. */
  readonly datagramAt: number;
  readonly linkAt: number;
  readonly poolAt: number;
  readonly poolBytes: number;
}

/** Divides the memory that begins at `stackAt`. */
export function planStack(stackAt: number): StackPlan {
  let nextAt = stackAt;
  const reserve = (bytes: number) => {
    const at = nextAt;
    nextAt = alignUp(at + bytes, CACHE_LINE_BYTES);
    return at;
  };
  const plan = {
    configAt: reserve(STACK_CONFIG_BYTES),
    bulkReportAt: reserve(BULK_REPORT_BYTES),
    flowsAt: reserve(FLOW_SNAPSHOT_BYTES),
    hostSocketsAt: reserve(HOST_SOCKET_SCRATCH_BYTES),
    datagramAt: reserve(DATAGRAM_BYTES_MAX),
    linkAt: reserve(LinkEndpoint.bytes()),
  };
  const poolAt = alignUp(nextAt, PAGE_BYTES);
  return { ...plan, poolAt, poolBytes: POOL_BYTES };
}

/** The bytes that a lane's stack needs, at a multiple of a page. */
export function stackBytes(): number {
  const { poolAt, poolBytes } = planStack(0);
  return poolAt + poolBytes;
}
