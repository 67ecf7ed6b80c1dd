/**
 * Keeps looking for peers whose endpoints are given by name. A name that has no address is tried
 * again after 1 s, 2 s, 4 s and so on up to a minute, for ever; one that had an address is looked up
 * again when its peer does not answer, since the address behind a name may change.
 *
 * Look-ups and timers come in from outside; see `EndpointResolverOptions`.
 */
import type { Log } from "../base/log.ts";
import { formatSocketAddress } from "../control/address_text.ts";
import { peerName } from "../control/key_text.ts";
import type { NamedEndpoint, PeerConfig } from "../config/types.ts";
import { isNamed } from "../config/device_change.ts";
import { equalBytes } from "../wireguard/bytes.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";

/** Look-ups under way at the same time: each holds a thread until it is answered. */
const LOOKUPS_MAX = 8;
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;
/** A peer that does not answer has its name looked up at most this often. */
const AGAIN_AFTER_MS = 60_000;

/** What a resolver works with. */
export interface EndpointResolverOptions {
  /** The address of a name; rejects with an `Error` whose message says why there is none. */
  readonly lookUp: (endpoint: NamedEndpoint) => Promise<SocketAddress>;
  /** Calls `action` after that time, unless the function that it returns is called first. */
  readonly schedule: (action: () => void, delayMs: number) => () => void;
  /** Milliseconds on a clock that never jumps. */
  readonly nowMs: () => number;
  readonly log: Log;
}

/** An address that was found, after the first round, for the peer with this key. */
export interface FoundEndpoint {
  readonly publicKey: Uint8Array;
  readonly address: SocketAddress;
  /** Whether the name had another address before. */
  readonly isChange: boolean;
}

interface Entry {
  readonly publicKey: Uint8Array;
  readonly endpoint: NamedEndpoint;
  address: SocketAddress | null;
  /** Whether its first look-up has ended. */
  isAnswered: boolean;
  failures: number;
  isBusy: boolean;
  lookedUpMs: number;
  cancelRetry: (() => void) | null;
}

/** Resolves the named endpoints of a config until `stop`. */
export class EndpointResolver {
  readonly #options: EndpointResolverOptions;
  readonly #entries = new Map<NamedEndpoint, Entry>();
  readonly #queue: Entry[] = [];
  #running = 0;
  #waiting = 0;
  readonly #firstRound = Promise.withResolvers<void>();
  readonly #waiters = new Set<() => void>();
  #onFound: ((found: FoundEndpoint) => void) | null = null;
  #isStopped = false;

  constructor(peers: readonly PeerConfig[], options: EndpointResolverOptions) {
    this.#options = options;
    for (const { publicKey, endpoint } of peers) {
      if (endpoint === undefined || !isNamed(endpoint)) continue;
      this.#entries.set(endpoint, {
        publicKey,
        endpoint,
        address: null,
        isAnswered: false,
        failures: 0,
        isBusy: false,
        lookedUpMs: -Infinity,
        cancelRetry: null,
      });
    }
  }

  /** Looks up every name once; resolves when all have been answered, or after `waitMs`. */
  async firstRound(waitMs: number): Promise<void> {
    if (this.#entries.size === 0) return;
    this.#waiting = this.#entries.size;
    const cancel = this.#options.schedule(() => this.#firstRound.resolve(), waitMs);
    for (const entry of this.#entries.values()) this.#begin(entry);
    await this.#firstRound.promise;
    cancel();
  }

  /** The address of a peer's endpoint so far, null when there is none. */
  addressOf(endpoint: NamedEndpoint): SocketAddress | null {
    return this.#entries.get(endpoint)?.address ?? null;
  }

  /** Resolves when these endpoints all have addresses; never after `stop`. */
  async whenKnown(endpoints: readonly NamedEndpoint[]): Promise<void> {
    while (endpoints.some((endpoint) => this.addressOf(endpoint) === null)) {
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  /** From now on, what is found is told here. */
  tell(onFound: (found: FoundEndpoint) => void): void {
    this.#onFound = onFound;
  }

  /** The peer does not answer handshakes: its name may have another address by now. */
  onNoReply(publicKey: Uint8Array): void {
    for (const entry of this.#entries.values()) {
      if (entry.address === null || entry.isBusy) continue;
      if (!equalBytes(entry.publicKey, 0, publicKey, 0, publicKey.length)) continue;
      if (this.#options.nowMs() - entry.lookedUpMs >= AGAIN_AFTER_MS) this.#begin(entry);
    }
  }

  /** Ends it; what is still under way is not told any more. */
  stop(): void {
    this.#isStopped = true;
    this.#queue.length = 0;
    for (const entry of this.#entries.values()) entry.cancelRetry?.();
  }

  #begin(entry: Entry): void {
    entry.cancelRetry = null;
    entry.isBusy = true;
    this.#queue.push(entry);
    this.#work();
  }

  #work(): void {
    while (this.#running < LOOKUPS_MAX) {
      const entry = this.#queue.shift();
      if (entry === undefined) return;
      this.#running++;
      entry.lookedUpMs = this.#options.nowMs();
      this.#options.lookUp(entry.endpoint).then(
        (address) => this.#finish(entry, address, ""),
        (error) => this.#finish(entry, null, error instanceof Error ? error.message : `${error}`),
      );
    }
  }

  #finish(entry: Entry, address: SocketAddress | null, problem: string): void {
    this.#running--;
    entry.isBusy = false;
    if (this.#isStopped) return;
    if (address === null) this.#onFailure(entry, problem);
    else this.#onAddress(entry, address);
    if (!entry.isAnswered && --this.#waiting === 0) this.#firstRound.resolve();
    entry.isAnswered = true;
    this.#work();
  }

  #onAddress(entry: Entry, address: SocketAddress): void {
    const previous = entry.address;
    entry.failures = 0;
    if (previous !== null && isSame(previous, address)) return;
    entry.address = address;
    const { publicKey, endpoint } = entry;
    const text = formatSocketAddress(address);
    this.#options.log.info(`${peerName(publicKey)}: ${endpoint.host} is at ${text}`);
    this.#onFound?.({ publicKey, address, isChange: previous !== null });
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  #onFailure(entry: Entry, problem: string): void {
    const { publicKey, endpoint, address } = entry;
    const name = `${peerName(publicKey)}: cannot resolve ${endpoint.host}: ${problem}`;
    if (address !== null) {
      this.#options.log.warn(`${name}; it keeps its address`);
      return;
    }
    const delayMs = Math.min(RETRY_MS_MIN * 2 ** entry.failures, RETRY_MS_MAX);
    entry.failures = Math.min(entry.failures + 1, 16);
    this.#options.log.warn(`${name}; trying again in ${delayMs / 1000} s`);
    entry.cancelRetry = this.#options.schedule(() => this.#begin(entry), delayMs);
  }
}

function isSame(a: SocketAddress, b: SocketAddress): boolean {
  return formatSocketAddress(a) === formatSocketAddress(b);
}
