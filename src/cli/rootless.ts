/**
 * `up` without an interface of the kernel: what of the config file goes to the stack, what cannot be
 * done without root and is left out, and what the user is told of it.
 */
import { mayPing } from "../../ffi/routed_socket.ts";
import type { Log } from "../base/log.ts";
import type { NodeConfig } from "../config/types.ts";
import { servedPrefixes } from "../config/serve.ts";
import { formatAddress, formatPrefix } from "../control/address_text.ts";
import { type LocalService, RESOLVER } from "../forward/local_services.ts";
import type { StackConfig } from "../worker/stack_config.ts";
import type { NodeMode } from "./up_mode.ts";

/** The stack that takes the place of the interface; `mtu` is for a file that names none. */
export function rootlessStack(config: NodeConfig, mtu: number): StackConfig {
  return {
    addresses: config.interface.addresses,
    mtu: config.interface.mtu ?? mtu,
    gso: config.longhaul.offload.netstackGso,
    services: config.longhaul.localServices,
    served: servedPrefixes(config),
  };
}

/** The stack beside an interface: it serves prefixes, and has no addresses that anybody reaches. */
export function hybridStack(config: NodeConfig, mtu: number): StackConfig {
  return { ...rootlessStack(config, mtu), services: [] };
}

/** Says what this mode is and why it was chosen, and what of the file it leaves out. */
export function tellRootless(mode: NodeMode, config: NodeConfig, log: Log): void {
  const why = mode.reason === "" ? "" : ` (${mode.reason})`;
  const { addresses } = config.interface;
  const at = addresses.map(({ address }) => formatAddress(address)).join(", ") || "no address";
  const services = config.longhaul.localServices;
  const offered = services.length === 0
    ? "no service of this host (see LocalServices)"
    : services.map(formatService).join(", ");
  log.info(`rootless${why}: a userspace stack answers at ${at}; peers reach ${offered}`);
  tellServed(config, log);
  for (const key of leftOut(config)) {
    log.warn(`${key}: left out, there is no interface in rootless mode`);
  }
}

/** Says what of the network is served; an interface alone has nobody to serve it. */
function tellServed(config: NodeConfig, log: Log): void {
  const served = servedPrefixes(config);
  if (served.length === 0) return;
  log.info(`peers reach ${served.map(formatPrefix).join(", ")} through this node`);
  if (mayPing()) return;
  log.warn(
    "pings to there are not forwarded, TCP and UDP are: net.ipv4.ping_group_range does not have " +
      'this group (as root: sysctl -w net.ipv4.ping_group_range="0 2147483647")',
  );
}

/** The same for a node that has an interface too. */
export function tellHybrid(config: NodeConfig, log: Log): void {
  tellServed(config, log);
  if (config.longhaul.localServices.length > 0) {
    log.warn("LocalServices: left out, peers reach this host at the interface's addresses");
  }
}

/** Says what an interface alone cannot do. */
export function tellTun(config: NodeConfig, log: Log): void {
  if (servedPrefixes(config).length > 0) {
    log.warn("Serve, Netstack: left out, mode tun has no userspace stack: use hybrid or auto");
  }
}

/** Keys of the file that mean something to an interface of the kernel only. */
function leftOut(config: NodeConfig): string[] {
  const { hooks, dnsServers, dnsSearchDomains, table, saveConfig } = config.interface;
  const keys: [string, boolean][] = [
    ["PreUp", hooks.preUp.length > 0],
    ["PostUp", hooks.postUp.length > 0],
    ["PreDown", hooks.preDown.length > 0],
    ["PostDown", hooks.postDown.length > 0],
    ["DNS", dnsServers.length + dnsSearchDomains.length > 0],
    ["Table", typeof table === "number"],
    ["SaveConfig", saveConfig],
  ];
  return keys.filter(([, isSet]) => isSet).map(([key]) => key);
}

function formatService(service: LocalService): string {
  if (service.host === RESOLVER) return `DNS over ${service.transport.toUpperCase()}`;
  const { transport, firstPort, lastPort } = service;
  const ports = firstPort === lastPort ? `${firstPort}` : `${firstPort}-${lastPort}`;
  return `${transport.toUpperCase()} ${ports}`;
}

/** What `up` changes on the host beside the node itself, in this mode: nothing. */
export class NoHostChanges {
  readonly defaultRoute = null;

  begin(): Promise<void> {
    return Promise.resolve();
  }

  onInterface(): Promise<void> {
    return Promise.resolve();
  }

  onAddresses(): Promise<void> {
    return Promise.resolve();
  }

  beforeEnd(): Promise<void> {
    return Promise.resolve();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }
}
