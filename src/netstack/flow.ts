/** Who talks to whom: what TCP connections and UDP flows have in common. */
import type { IpPath } from "./output.ts";

/** Addresses and ports of a flow, as the stack's side sees them. */
export interface Flow {
  readonly ipVersion: 4 | 6;
  readonly localAddress: Uint8Array;
  readonly localPort: number;
  readonly remoteAddress: Uint8Array;
  readonly remotePort: number;
}

/** The flow between two ports of a path; it shares the path's addresses. */
export function flowOf(path: IpPath, localPort: number, remotePort: number): Flow {
  return {
    ipVersion: path.ipVersion,
    localAddress: path.local,
    localPort,
    remoteAddress: path.remote,
    remotePort,
  };
}
