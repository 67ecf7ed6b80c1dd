/**
 * What a stack has to know of its surroundings, and main looks at with each beat: the name servers
 * that services lead to, and where the peers' WireGuard sockets are, which are no place to forward to.
 */
import { exists, readTextFile } from "../../ffi/files.ts";
import { parseAddress } from "../control/address_text.ts";
import { RESOLVER } from "../forward/local_services.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";
import type { StackConfig } from "../worker/stack_config.ts";

const RESOLV_CONF = "/etc/resolv.conf";
const FILE_BYTES_MAX = 65_536;
/** Endpoints that a stack is told of: the config has its bounds. */
const ENDPOINTS_MAX = 1024;

/** Adds to the config of a stack what main has found. */
export class StackSurroundings {
  readonly #endpoints: () => Iterable<SocketAddress>;
  /** What was added last, as text. */
  #added = "";

  constructor(endpoints: () => Iterable<SocketAddress>) {
    this.#endpoints = endpoints;
  }

  /** The config with what is true now. */
  complete(config: StackConfig): StackConfig {
    const found = this.#look(config);
    this.#added = String(JSON.stringify(found));
    return { ...config, ...found };
  }

  /** Whether something else is true now than what was added last. */
  hasChanged(config: StackConfig): boolean {
    return String(JSON.stringify(this.#look(config))) !== this.#added;
  }

  #look({ services, served }: StackConfig): Pick<StackConfig, "resolvers" | "endpoints"> {
    const wantsResolvers = services.some(({ host }) => host === RESOLVER);
    const wantsEndpoints = served !== undefined && served.length > 0;
    return {
      resolvers: wantsResolvers ? resolvConfServers() : [],
      endpoints: wantsEndpoints ? this.#someEndpoints() : [],
    };
  }

  #someEndpoints(): { address: Uint8Array; port: number }[] {
    const endpoints: { address: Uint8Array; port: number }[] = [];
    for (const { address, port } of this.#endpoints()) {
      if (endpoints.length === ENDPOINTS_MAX) break;
      endpoints.push({ address, port });
    }
    return endpoints;
  }
}

/** The name servers in /etc/resolv.conf, those on loopback included; none when there is no file. */
export function resolvConfServers(): Uint8Array[] {
  if (!exists(RESOLV_CONF)) return [];
  const lines = readTextFile(RESOLV_CONF, FILE_BYTES_MAX).matchAll(/^\s*nameserver\s+(\S+)/gm);
  return Array.from(lines, ([, text]) => parseAddress(text)).filter((address) => address !== null);
}
