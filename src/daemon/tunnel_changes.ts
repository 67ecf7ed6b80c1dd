/**
 * Everything that a tunnel changes on its host beside its own process, from the first hook to the
 * last: addresses, name servers, routes, rules, firewall. The order is wg-quick's:
 *
 *     begin        PreUp
 *     onInterface  addresses, MTU, name servers, routes, default route, PostUp
 *     beforeEnd    PreDown, SaveConfig, then what stands outside of the interface is undone
 *     end          PostDown, when the interface has gone
 *
 * Each step is in the record before it is done. What the hooks of `up` have begun, the hooks of
 * `down` end, also when a start fails half-way.
 */
import type { Log } from "../base/log.ts";
import type { Hooks, NodeConfig } from "../config/types.ts";
import { formatAddress, formatPrefix } from "../control/address_text.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import {
  capturedEndpoints,
  type DefaultRouteTable,
  divideRoutes,
  mainTablePrefixes,
  setUpDefaultRoute,
} from "./default_route.ts";
import { type DnsSetup, setUpDns } from "./dns.ts";
import type { Ending } from "./ending.ts";
import { runHooks } from "./hooks.ts";
import { addTunnelRoutes, setUpInterface } from "./interface_setup.ts";
import { saveConfig } from "./save_config.ts";
import { SetupError } from "./setup_error.ts";
import { undoAll, undoBeforeInterface } from "./undo.ts";
import { findRecord, forgetRecord, UpRecord } from "./up_record.ts";

/** What the changes are made for. */
export interface TunnelChangesOptions {
  readonly interfaceName: string;
  readonly config: NodeConfig;
  /** The config's file, links followed; null for a tunnel without one. */
  readonly configPath: string | null;
  readonly log: Log;
  readonly ending: Ending;
  /** Called around every change of the record, for tests. */
  readonly onRecordChange?: () => void;
}

/** The running node, as far as the changes need it. */
export interface TunnelDevice {
  readonly mtu: number;
  /** The peers' outer addresses, as far as they are known. */
  readonly endpoints: () => readonly Uint8Array[];
  /**
   * Resolves when every peer with a default route has an address: its name could not be looked up
   * through a tunnel that leads to it. Null when all have one.
   */
  readonly whenReachable: Promise<void> | null;
  readonly setFwmark: (fwmark: number) => void;
  readonly status: () => DeviceStatus;
}

/** The changes of one tunnel. */
export class TunnelChanges {
  readonly #options: TunnelChangesOptions;
  readonly #record: UpRecord;
  readonly #hooks: Hooks;
  /** Resolves when `onInterface` does nothing any more. */
  readonly #settled = Promise.withResolvers<void>();
  #device: TunnelDevice | null = null;
  #chosenFwmark: number | null = null;
  #defaultRoute: DefaultRouteTable | null = null;
  #isComplete = false;

  constructor(options: TunnelChangesOptions) {
    this.#options = options;
    this.#record = UpRecord.begin(options.interfaceName, options.onRecordChange);
    this.#hooks = options.config.interface.hooks;
  }

  /** The table of the default route, once it is set up; null without one. */
  get defaultRoute(): DefaultRouteTable | null {
    return this.#defaultRoute;
  }

  /** Before there is an interface. Rejects with `SetupError` when a hook fails. */
  async begin(): Promise<void> {
    const { interfaceName, ending } = this.#options;
    const { preUp, postDown } = this.#hooks;
    if (postDown.length > 0) {
      this.#record.add({ kind: "hooks", when: "PostDown", commands: postDown });
    }
    await runHooks(preUp, { interfaceName, key: "PreUp", ending });
  }

  /** When there is an interface. Rejects with `SetupError`; the caller then ends the tunnel. */
  async onInterface(device: TunnelDevice): Promise<void> {
    const { interfaceName: name, config, log, ending } = this.#options;
    const { addresses, dnsServers, dnsSearchDomains } = config.interface;
    this.#device = device;
    try {
      const index = setUpInterface({ name, addresses, mtu: device.mtu });
      if (device.whenReachable !== null && config.interface.table === "auto") {
        log.warn(
          "name servers and routes wait until the endpoint of the peer with the default route has " +
            "an address",
        );
        await Promise.race([device.whenReachable, ending.begun]);
      }
      if (ending.isBegun) return;
      const dns = { interfaceName: name, servers: dnsServers, domains: dnsSearchDomains };
      await this.#setUpDns(dns);
      if (ending.isBegun) return;
      await this.#route(index, device);
      if (ending.isBegun) return;
      const { preDown, postUp } = this.#hooks;
      if (preDown.length > 0) {
        this.#record.add({ kind: "hooks", when: "PreDown", commands: preDown });
      }
      await runHooks(postUp, { interfaceName: name, key: "PostUp", ending });
      this.#isComplete = true;
    } finally {
      this.#settled.resolve();
    }
  }

  /** While the interface still works. Does not reject. */
  async beforeEnd(): Promise<void> {
    if (this.#device !== null) await this.#settled.promise;
    // PreDown comes before the state is saved, as a hook may still change it.
    const last = this.#record.steps.at(-1);
    const hasPreDown = last?.kind === "hooks" && last.when === "PreDown";
    await undoBeforeInterface(this.#record, this.#report, hasPreDown ? 1 : 0);
    this.#save();
    await undoBeforeInterface(this.#record, this.#report);
  }

  /** When the interface has gone, or never came. Does not reject. */
  async end(): Promise<void> {
    await undoAll(this.#record, this.#report);
  }

  async #setUpDns(setup: DnsSetup): Promise<void> {
    const problem = await setUpDns(this.#record, setup);
    if (problem !== null) this.#options.log.warn(problem);
    else if (setup.servers.length > 0) {
      this.#options.log.info(`name servers: ${setup.servers.map(formatAddress).join(", ")}`);
    }
  }

  async #route(interfaceIndex: number, device: TunnelDevice): Promise<void> {
    const { interfaceName: name, config, log, ending } = this.#options;
    const { addresses, table } = config.interface;
    const isEnding = () => ending.isBegun;
    if (typeof table === "number") {
      return await addTunnelRoutes({ name, addresses, routes: config.routes, table }, isEnding);
    }
    const endpoints = device.endpoints(), mainRoutes = mainTablePrefixes();
    const { own, main } = divideRoutes(config.routes, endpoints, mainRoutes);
    for (const { endpoint, route } of capturedEndpoints(main, endpoints, mainRoutes)) {
      const [address, prefix] = [formatAddress(endpoint), formatPrefix(route)];
      log.warn(
        `the endpoint ${address} lies in the allowed IPs ${prefix}: what the tunnel sends would go ` +
          `into the tunnel; fix: add a route to ${address}, or leave it out of AllowedIPs`,
      );
    }
    await addTunnelRoutes({ name, addresses, routes: main }, isEnding);
    if (own.length === 0 || ending.isBegun) return;
    this.#defaultRoute = await setUpDefaultRoute(this.#record, {
      interfaceName: name,
      interfaceIndex,
      routes: own,
      addresses,
      fwmark: config.device.fwmark ?? 0,
      setFwmark: (fwmark) => {
        if ((config.device.fwmark ?? 0) === 0) this.#chosenFwmark = fwmark;
        log.info(`default route in table ${fwmark}, which is the fwmark too`);
        device.setFwmark(fwmark);
      },
      warn: (message) => log.warn(message),
    });
  }

  #save(): void {
    const { config, configPath, interfaceName } = this.#options;
    const device = this.#device;
    if (!config.interface.saveConfig || configPath === null) return;
    if (device === null || !this.#isComplete) return;
    try {
      saveConfig({
        path: configPath,
        interfaceName,
        device: device.status(),
        configAddresses: config.interface.addresses,
        chosenFwmark: this.#chosenFwmark,
      });
    } catch (error) {
      this.#report(error instanceof Error ? error.message : String(error));
    }
  }

  readonly #report = (problem: string) => this.#options.log.error(problem);
}

/**
 * Undoes what an earlier `up` of that name, which was killed, has left behind. Resolves with whether
 * there was anything. Rejects with `SetupError` when that one still runs.
 */
export async function clearLeftovers(interfaceName: string, log: Log): Promise<boolean> {
  const found = findRecord(interfaceName);
  if (found === null) return false;
  const { content, isLive, isHere } = found;
  if (isLive) {
    throw new SetupError(
      `${interfaceName} is coming up or going down already (process ${content.processId})`,
    );
  }
  if (!isHere) {
    log.warn(
      `what an earlier ${interfaceName} left behind in another network namespace stays there`,
    );
    forgetRecord(interfaceName);
    return true;
  }
  log.info(`undoing what an earlier ${interfaceName} has left behind`);
  await undoAll(UpRecord.takeOver(content), (problem) => log.error(problem));
  return true;
}
