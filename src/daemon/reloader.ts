/**
 * Loads the config file of a running tunnel again and applies what differs, on `reload` and SIGHUP.
 *
 * A file that is wrong, or that the kernel or the device refuses, changes nothing. Sessions of peers
 * that stay are not touched. Compared are: peers, keys, port and mark with what runs, however it came
 * about (`syncconf` does the same); addresses, routes and MTU with the config that was applied
 * before, so that what hooks and people have added stays.
 */
import type { Log } from "../base/log.ts";
import { isNamed, wipeKeys } from "../config/device_change.ts";
import { isEmptyChange, syncDevice } from "../config/device_sync.ts";
import { formatDiagnostic } from "../config/diagnostic.ts";
import { type NodeDifference, nodeDifference } from "../config/node_difference.ts";
import type { ParseResult } from "../config/parse.ts";
import { prefixKey } from "../config/peers.ts";
import type { DeviceConfig, NodeConfig } from "../config/types.ts";
import { formatPrefix } from "../control/address_text.ts";
import type { PeerNames } from "../control/peer_names.ts";
import { RequestError, type RequestHandler, textOf } from "../control/request.ts";
import { wipe } from "../wireguard/bytes.ts";
import {
  ConfigurationError,
  type ConfigurationTarget,
  type Prefix,
} from "../wireguard/configuration.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import { type DefaultRouteTable, divideRoutes, mainTablePrefixes } from "./default_route.ts";
import type { EndpointResolver } from "./endpoint_resolver.ts";
import { InterfaceChange, type OwnRoutes } from "./interface_change.ts";
import {
  answerOf,
  deferredWords,
  deviceWords,
  interfaceWords,
  type ReloadOutcome,
} from "./reload_words.ts";
import { SetupError } from "./setup_error.ts";

/** The request that reloads; the field `file` may say which file the client means. */
export const RELOAD_REQUEST = "reload";
/**
 * Its field for the text of a config, in place of the file: a service in a sandbox has a copy that
 * never changes, and cannot read the file that it was made from.
 */
export const TEXT_FIELD = "text";
/** The request that tells which file the interface runs with, as the field `file`. */
export const CONFIG_REQUEST = "config";
/** Without an interface addresses and MTU are the stack's, and there are no routes. */
const NO_ROUTES = { added: 0, removed: 0 };

/** What a reloader works with. */
export interface ReloaderOptions {
  /** The absolute path of the config file. */
  readonly path: string;
  readonly interfaceName: string;
  /** Whether there is an interface of the kernel, whose addresses and routes follow the file. */
  readonly hasInterface: boolean;
  /** Whether there is a userspace stack, beside it or alone. */
  readonly hasStack: boolean;
  readonly node: ConfigurationTarget;
  /** The default route that the interface was made with; null when it has none. */
  readonly defaultRoute?: () => DefaultRouteTable | null;
  /**
   * Parses a text as the file's, or reads the file where there is none; throws `SystemCallError` or
   * `SetupError` when it cannot.
   */
  readonly read: (text: string | null) => ParseResult;
  readonly peerNames: PeerNames | null;
  readonly log: Log;
  /** Told when a reload begins and, however it went, when it is over. */
  readonly onReload?: (isOver: boolean) => void;
  /** A resolver for the named endpoints of these peers, which has looked for them. */
  readonly resolveAnew: (device: DeviceConfig) => Promise<EndpointResolver>;
  /**
   * The config is applied, and `config` tells it; this resolver takes the place of the former one.
   * Where there is no interface, the stack is the owner's to change.
   */
  readonly onApplied: (resolver: EndpointResolver) => void;
}

/** What a reload does to the interface. */
interface ReloadPlan {
  /** Less what has to wait for the next `up`. */
  readonly difference: NodeDifference;
  /** The config as it will have been applied: what waits is told again by every reload. */
  readonly applied: NodeConfig;
  readonly own: OwnRoutes | null;
}

/** Reloads one after the other; see the module's text. */
export class Reloader {
  readonly #options: ReloaderOptions;
  #config: NodeConfig;
  #last: Promise<unknown> = Promise.resolve();
  #isReady = false;

  /** `config` is what has been applied; its keys may have been wiped. */
  constructor(config: NodeConfig, options: ReloaderOptions) {
    this.#config = config;
    this.#options = options;
  }

  /** The config that is applied now. */
  get config(): NodeConfig {
    return this.#config;
  }

  /** The config is applied as a whole: from here on it can be loaded again. */
  ready(): void {
    this.#isReady = true;
  }

  /** The requests of clients that this serves. */
  requests(): [string, RequestHandler][] {
    const { path } = this.#options;
    return [
      [CONFIG_REQUEST, () => [["file", path]]],
      [RELOAD_REQUEST, async (fields) => {
        const wanted = fields.find(([key]) => key === "file")?.[1];
        if (wanted !== undefined && wanted !== path) {
          throw new RequestError([
            `${this.#options.interfaceName} runs with ${path}, not ${wanted}`,
          ]);
        }
        return answerOf(await this.reload(textOf(TEXT_FIELD, fields)));
      }],
    ];
  }

  /** Reloads, for a signal: tells the outcome to the log alone. Does not reject. */
  async reloadForSignal(): Promise<void> {
    try {
      await this.reload();
    } catch {
      // `reload` has told the log.
    }
  }

  /**
   * Reloads, from the file or from a text in its place; rejects with `RequestError` and has changed
   * nothing when it cannot.
   */
  reload(text: string | null = null): Promise<ReloadOutcome> {
    if (!this.#isReady) {
      const { interfaceName } = this.#options;
      return Promise.reject(new RequestError([`${interfaceName} is still coming up: try again`]));
    }
    const outcome = this.#last.then(() => this.#reload(text));
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  async #reload(text: string | null): Promise<ReloadOutcome> {
    const { log, path, onReload } = this.#options;
    onReload?.(false);
    try {
      const outcome = await this.#apply(text);
      const what = outcome.changes.length === 0 ? "nothing to change" : outcome.changes.join(", ");
      log.info(`${path} is loaded again: ${what}`);
      for (const note of outcome.notes) log.warn(note);
      return outcome;
    } catch (error) {
      const reasons = reasonsOf(error);
      log.error(`${path} is not loaded, nothing has changed: ${reasons.join("; ")}`);
      throw new RequestError(reasons);
    } finally {
      onReload?.(true);
    }
  }

  async #apply(text: string | null): Promise<ReloadOutcome> {
    const { config, warnings } = this.#read(text);
    const resolver = await this.#options.resolveAnew(config.device);
    let isApplied = false;
    try {
      const plan = this.#plan(config, resolver);
      const { difference, applied } = plan;
      const told = await this.#carryOut(config, resolver, plan);
      this.#config = applied;
      isApplied = true;
      this.#options.onApplied(resolver);
      this.#options.peerNames?.replace(config.device.peers);
      return {
        changes: [...told, ...this.#otherWords(difference)],
        notes: [...warnings, ...deferredWords(difference)],
      };
    } finally {
      if (!isApplied) resolver.stop();
      wipeKeys(config.device);
    }
  }

  /** Brings interface and device to the config, or neither; tells what has changed. */
  async #carryOut(
    config: NodeConfig,
    resolver: EndpointResolver,
    { difference, applied, own }: ReloadPlan,
  ): Promise<string[]> {
    const { interfaceName, hasInterface } = this.#options;
    if (!hasInterface) {
      return [...this.#changeDevice(config, resolver), ...interfaceWords(difference, NO_ROUTES)];
    }
    using change = new InterfaceChange(interfaceName, difference, applied, own);
    await change.add();
    let told: string[];
    try {
      told = this.#changeDevice(config, resolver);
    } catch (error) {
      change.takeBack();
      throw error;
    }
    await change.remove();
    return [...told, ...interfaceWords(difference, change.routes)];
  }

  /** What `onApplied` has brought about. */
  #otherWords({ hasOtherServices, hasOtherNat, hasOtherFilter }: NodeDifference): string[] {
    const words: string[] = [];
    // Both are matters of a userspace stack: with an interface alone nobody asks for them.
    if (hasOtherServices && this.#options.hasStack) words.push("other services or served prefixes");
    if (hasOtherFilter) words.push("other rules of Allow and Deny");
    if (hasOtherNat) words.push("other addresses by which peers know us");
    return words;
  }

  #read(text: string | null): { config: NodeConfig; warnings: string[] } {
    const { config, diagnostics } = this.#options.read(text);
    if (config !== null) return { config, warnings: diagnostics.map(formatDiagnostic) };
    const errors = diagnostics.filter(({ severity }) => severity === "error");
    throw new RequestError(errors.map(formatDiagnostic));
  }

  /** Applies what differs to the device, all or nothing; tells what it was. */
  #changeDevice(config: NodeConfig, resolver: EndpointResolver): string[] {
    const { node } = this.#options;
    const status = node.status();
    const change = syncDevice(this.#wanted(config.device), status, {
      resolve: (endpoint) => resolver.addressOf(endpoint),
      removeAbsent: true,
      incremental: true,
      previous: this.#config.device,
    });
    if (status.privateKey !== null) wipe(status.privateKey);
    wipe(...status.peers.map((peer) => peer.presharedKey));
    if (!isEmptyChange(change)) node.apply(change);
    return deviceWords(change, status);
  }

  /**
   * What the file no longer says is cleared, where it was the file that had said it. The mark of a
   * default route stays: the rules go by it.
   */
  #wanted(device: DeviceConfig): DeviceConfig {
    const before = this.#config.device;
    const wanted = {
      ...(before.privateKey !== undefined && { privateKey: new Uint8Array(KEY_BYTES) }),
      ...(before.fwmark !== undefined && { fwmark: 0 }),
      ...device,
    };
    if (this.#defaultRoute !== null) delete wanted.fwmark;
    return wanted;
  }

  get #defaultRoute(): DefaultRouteTable | null {
    return this.#options.defaultRoute?.() ?? null;
  }

  #plan(config: NodeConfig, resolver: EndpointResolver): ReloadPlan {
    const before = this.#config;
    const difference = nodeDifference(before, config);
    if (!this.#options.hasInterface) {
      return { difference: withoutRoutes(difference), applied: config, own: null };
    }
    const defaultRoute = this.#defaultRoute;
    const deferred = [...difference.deferred];
    if (defaultRoute !== null && before.device.fwmark !== config.device.fwmark) {
      deferred.push("FwMark");
    }
    if (config.interface.table !== before.interface.table) {
      const { table } = before.interface;
      const applied = {
        ...config,
        interface: { ...config.interface, table },
        routes: before.routes,
      };
      return { difference: { ...difference, deferred }, applied, own: null };
    }
    const own = this.#ownRoutes(config, resolver);
    // Without rules for its family a route of that kind would not be followed.
    const hasRules = ({ address }: Prefix) =>
      defaultRoute?.families.includes(address.length === 4 ? 4 : 6) ?? false;
    const waits = (route: Prefix) => own.has(prefixKey(route)) && !hasRules(route);
    const waiting = difference.routesAdded.filter(waits);
    deferred.push(...waiting.map((route) => `the route ${formatPrefix(route)}`));
    const left = new Set(waiting.map(prefixKey));
    const isLeft = (route: Prefix) => left.has(prefixKey(route));
    return {
      difference: {
        ...difference,
        routesAdded: difference.routesAdded.filter((route) => !isLeft(route)),
        deferred,
      },
      applied: { ...config, routes: config.routes.filter((route) => !isLeft(route)) },
      own: defaultRoute === null ? null : { table: defaultRoute.table, keys: own },
    };
  }

  /** The routes that need rules and a table of their own, by `prefixKey`. */
  #ownRoutes({ interface: { table }, routes, device }: NodeConfig, resolver: EndpointResolver) {
    if (table !== "auto" || routes.length === 0) return new Set<string>();
    const endpoints = device.peers.flatMap(({ endpoint }) => {
      if (endpoint === undefined) return [];
      return (isNamed(endpoint) ? resolver.addressOf(endpoint) : endpoint)?.address ?? [];
    });
    return new Set(divideRoutes(routes, endpoints, mainTablePrefixes()).own.map(prefixKey));
  }
}

/** What a userspace stack follows: everything but routes, which it has none of. */
function withoutRoutes(difference: NodeDifference): NodeDifference {
  return { ...difference, routesAdded: [], routesRemoved: [] };
}

function reasonsOf(error: unknown): readonly string[] {
  if (error instanceof RequestError) return error.reasons;
  const isExpected = error instanceof SetupError || error instanceof ConfigurationError ||
    error instanceof Error && "errno" in error;
  if (!isExpected) throw error;
  return [error.message];
}
