/**
 * Looks a name up a hundred times where no name server answers, and prints how many look-ups had ended
 * when main heard of a descriptor; started by `resolver_test.ts`, which gives it such a place.
 */
import { createSocket } from "node:dgram";
import { EventFd } from "../../ffi/eventfd.ts";
import { resolveHost } from "../../ffi/resolver.ts";
import { Reactor } from "../../src/daemon/reactor.ts";

const asked = Promise.withResolvers<void>();
const server = createSocket("udp4", () => asked.resolve());
await new Promise<void>((resolve) => server.bind(53, "127.0.0.1", resolve));

let ended = 0;
const lookUps = Array.from(
  { length: 100 },
  () => resolveHost("somebody").catch(() => {}).finally(() => ended++),
);
await asked.promise;
const reactor = new Reactor(() => {}, console.error);
const signal = new EventFd();
const heard = Promise.withResolvers<void>();
reactor.watch(signal.fd, () => heard.resolve());
reactor.run();
signal.signal();
await heard.promise;
console.log(`${ended} of ${lookUps.length} had ended`);
Deno.exit(0);
