import { assertEquals } from "@std/assert";
import { EndpointResolver, type FoundEndpoint } from "../../src/daemon/endpoint_resolver.ts";
import { formatSocketAddress } from "../../src/control/address_text.ts";
import type { NamedEndpoint, PeerConfig } from "../../src/config/types.ts";
import type { SocketAddress } from "../../src/wireguard/configuration.ts";

/** Names, timers and a clock that move only when a test says so. */
class World {
  nowMs = 0;
  readonly addresses = new Map<string, number>();
  readonly lines: string[] = [];
  readonly found: string[] = [];
  lookUps = 0;
  running = 0;
  runningMax = 0;
  #timers: { atMs: number; action: () => void }[] = [];

  readonly log = {
    wantsDebug: true,
    debug: (text: string) => void this.lines.push(text),
    info: (text: string) => void this.lines.push(text),
    warn: (text: string) => void this.lines.push(text),
    error: (text: string) => void this.lines.push(text),
  };

  resolver(peers: PeerConfig[]): EndpointResolver {
    const resolver = new EndpointResolver(peers, {
      lookUp: (endpoint) => this.#lookUp(endpoint),
      schedule: (action, delayMs) => {
        const timer = { atMs: this.nowMs + delayMs, action };
        this.#timers.push(timer);
        return () => this.#timers = this.#timers.filter((other) => other !== timer);
      },
      nowMs: () => this.nowMs,
      log: this.log,
    });
    resolver.tell(({ publicKey, address, isChange }: FoundEndpoint) => {
      this.found.push(`${publicKey[0]} ${formatSocketAddress(address)} ${isChange}`);
    });
    return resolver;
  }

  /** Moves the clock, running what is due, one timer after the other. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.nowMs + byMs;
    for (;;) {
      await settle();
      const due = this.#timers.filter((timer) => timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.nowMs = due.atMs;
      due.action();
    }
    this.nowMs = endMs;
  }

  async #lookUp({ host, port }: NamedEndpoint): Promise<SocketAddress> {
    this.lookUps++;
    this.runningMax = Math.max(this.runningMax, ++this.running);
    await Promise.resolve();
    this.running--;
    const last = this.addresses.get(host);
    if (last === undefined) throw new Error("name or service not known");
    return { address: new Uint8Array([192, 0, 2, last]), port };
  }
}

/** Lets everything run that waits for no timer. */
function settle(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    channel.port1.close();
    resolve();
  };
  channel.port2.postMessage(null);
  return promise;
}

function peer(number: number, host: string): PeerConfig {
  const publicKey = new Uint8Array(32).fill(number);
  return { publicKey, endpoint: { host, port: 51820 }, allowedIps: [], line: 1 };
}

function addressOf(resolver: EndpointResolver, { endpoint }: PeerConfig): string | null {
  const address = resolver.addressOf(endpoint as NamedEndpoint);
  return address === null ? null : formatSocketAddress(address);
}

Deno.test("the first round finds all names at once, eight at a time", async () => {
  const world = new World();
  const peers = Array.from({ length: 30 }, (_, i) => peer(i, `host${i}`));
  peers.forEach((_, i) => world.addresses.set(`host${i}`, i));
  const resolver = world.resolver(peers);
  await resolver.firstRound(3000);
  assertEquals(peers.map((each) => addressOf(resolver, each)), [
    ...peers.map((_, i) => `192.0.2.${i}:51820`),
  ]);
  assertEquals([world.lookUps, world.runningMax], [30, 8]);
});

Deno.test("addresses and peers without endpoint need no look-up", async () => {
  const world = new World();
  const endpoint = { address: new Uint8Array([192, 0, 2, 1]), port: 1 };
  const { endpoint: _, ...bare } = peer(2, "");
  const resolver = world.resolver([{ ...peer(1, ""), endpoint }, bare]);
  await resolver.firstRound(3000);
  assertEquals(world.lookUps, 0);
});

Deno.test("a name without an address is tried again after 1, 2, 4 ... 60 s, for ever", async () => {
  const world = new World();
  const lost = peer(7, "lost.example");
  const resolver = world.resolver([lost]);
  await resolver.firstRound(3000);
  assertEquals(addressOf(resolver, lost), null);
  const delays = () => world.lines.map((line) => Number(/again in (\d+) s/.exec(line)?.[1]));
  assertEquals(delays(), [1]);
  await world.advance(1000 + 2000 + 4000 + 8000 + 16_000 + 32_000 + 60_000);
  assertEquals(delays(), [1, 2, 4, 8, 16, 32, 60, 60]);
  assertEquals(world.lines[0].includes("cannot resolve lost.example: name or service"), true);
  world.addresses.set("lost.example", 9);
  await world.advance(60_000);
  assertEquals(world.found, ["7 192.0.2.9:51820 false"]);
  const { lookUps } = world;
  await world.advance(600_000);
  assertEquals(world.lookUps, lookUps, "what is found is left alone");
});

Deno.test("a peer that does not answer has its name looked up again, once a minute", async () => {
  const world = new World();
  world.addresses.set("dyn.example", 1);
  const dynamic = peer(3, "dyn.example");
  const resolver = world.resolver([dynamic]);
  await resolver.firstRound(3000);
  world.found.length = 0;
  resolver.onNoReply(dynamic.publicKey);
  await world.advance(59_999);
  resolver.onNoReply(dynamic.publicKey);
  assertEquals(world.lookUps, 1, "too soon");
  await world.advance(1);
  resolver.onNoReply(new Uint8Array(32).fill(4));
  assertEquals(world.lookUps, 1, "another peer");
  resolver.onNoReply(dynamic.publicKey);
  await world.advance(60_000);
  assertEquals([world.lookUps, world.found.length], [2, 0], "the same address is no news");
  world.addresses.set("dyn.example", 2);
  resolver.onNoReply(dynamic.publicKey);
  await world.advance(60_000);
  assertEquals(world.found, ["3 192.0.2.2:51820 true"]);
  world.addresses.delete("dyn.example");
  resolver.onNoReply(dynamic.publicKey);
  await world.advance(1000);
  assertEquals(addressOf(resolver, dynamic), "192.0.2.2:51820", "a failure takes nothing away");
});

Deno.test("whoever waits for endpoints is told when all of them have addresses", async () => {
  const world = new World();
  const peers = [peer(1, "a.example"), peer(2, "b.example")];
  const resolver = world.resolver(peers);
  await resolver.firstRound(3000);
  let isKnown = false;
  const endpoints = peers.map(({ endpoint }) => endpoint as NamedEndpoint);
  const known = resolver.whenKnown(endpoints).then(() => isKnown = true);
  world.addresses.set("a.example", 1);
  await world.advance(1000);
  assertEquals(isKnown, false);
  world.addresses.set("b.example", 2);
  await world.advance(10_000);
  await known;
  await resolver.whenKnown(endpoints);
});

Deno.test("the first round waits no longer than it is told, and stop ends everything", async () => {
  const world = new World();
  const resolver = new EndpointResolver([peer(1, "slow.example")], {
    lookUp: () => new Promise(() => {}),
    schedule: (action, delayMs) => {
      assertEquals(delayMs, 3000);
      queueMicrotask(action);
      return () => {};
    },
    nowMs: () => 0,
    log: world.log,
  });
  await resolver.firstRound(3000);
  const stopped = world.resolver([peer(2, "lost.example")]);
  await stopped.firstRound(3000);
  stopped.stop();
  const { lookUps } = world;
  await world.advance(600_000);
  assertEquals(world.lookUps, lookUps);
});
