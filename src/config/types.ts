/** What a config file says, checked and in the program's own terms. */
import type { LocalService } from "../forward/local_services.ts";
import type { FilterRule } from "../nat/filter.ts";
import type { WorkerCount } from "./worker_counts.ts";
import type { Mode } from "./mode.ts";
import type { OffloadConfig } from "./offload.ts";
import type { Prefix, SocketAddress } from "../wireguard/configuration.ts";

/** An endpoint given by a name, to be resolved when it is wanted. */
export interface NamedEndpoint {
  readonly host: string;
  readonly port: number;
}

/** One `[Peer]`; peers with the same key have been merged. */
export interface PeerConfig {
  readonly publicKey: Uint8Array;
  /** From a comment `# friendly_name = ...`. */
  readonly friendlyName?: string;
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: SocketAddress | NamedEndpoint;
  readonly keepaliveSeconds?: number;
  /** Host bits are kept as written; a prefix that several peers claim belongs to the last. */
  readonly allowedIps: readonly Prefix[];
  /** By which addresses the peer knows us, one of each family at most; absent for our own. */
  readonly natAddresses?: readonly Uint8Array[];
  /** The line of the file that began the peer. */
  readonly line: number;
}

/** What `wg` would set on the device. */
export interface DeviceConfig {
  readonly privateKey?: Uint8Array;
  readonly listenPort?: number;
  readonly fwmark?: number;
  readonly peers: readonly PeerConfig[];
}

/** What wg-quick would do with the interface. */
export interface InterfaceConfig {
  /** Addresses of the interface with the length of their networks. */
  readonly addresses: readonly Prefix[];
  /** Null: to be found from the routes to the endpoints. */
  readonly mtu: number | null;
  /** Where routes go: wg-quick's choice, nowhere, or a routing table. */
  readonly table: "auto" | "off" | number;
  readonly dnsServers: readonly Uint8Array[];
  /** Names to search in; one that begins with `~` only says which names the servers are for. */
  readonly dnsSearchDomains: readonly string[];
  readonly hooks: Hooks;
  /** Whether the running state is written back to the file at the end. */
  readonly saveConfig: boolean;
}

/** Commands for a shell, in the order of the file; `%i` in them is the interface's name. */
export interface Hooks {
  readonly preUp: readonly string[];
  readonly postUp: readonly string[];
  readonly preDown: readonly string[];
  readonly postDown: readonly string[];
}

/** The `[Longhaul]` section. */
export interface LonghaulConfig {
  readonly mode: Mode;
  readonly lanes: WorkerCount;
  /** Encryptors of a lane. */
  readonly encryptors: WorkerCount;
  /** Bytes of the UDP sockets' buffers, null for the default. */
  readonly socketBufferBytes: number | null;
  readonly offload: OffloadConfig;
  /** Ports of this host that peers reach at the tunnel addresses; the later one counts. */
  readonly localServices: readonly LocalService[];
  /** Prefixes of this host's network, or everything, that peers reach through the stack. */
  readonly serve: readonly Prefix[];
  /** The same, beside an interface: prefixes whose packets go to the stack and not to the kernel. */
  readonly netstack: readonly Prefix[];
  /** The rules of `Allow` and `Deny`, in the order of the file. */
  readonly filter: readonly FilterRule[];
}

/** A whole config file. */
export interface NodeConfig {
  readonly interface: InterfaceConfig;
  readonly device: DeviceConfig;
  /** The prefixes that lead into the tunnel, each once, host bits zero; none with `Table = off`. */
  readonly routes: readonly Prefix[];
  readonly longhaul: LonghaulConfig;
}
