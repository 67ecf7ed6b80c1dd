import { assert, assertEquals } from "@std/assert";
import { ClientRate } from "../../src/forward/client_rate.ts";
import { OwnAddresses } from "../../src/forward/own_addresses.ts";
import { Scene } from "./scene.ts";
import { ServeScene } from "./serve_scene.ts";

Deno.test("a client may begin a burst, then so many per second; others have their own", () => {
  const rate = new ClientRate(100, 20);
  const taken = (client: string, nowMs: number) => {
    let count = 0;
    while (rate.take(client, nowMs)) count++;
    return count;
  };
  assertEquals([taken("a", 0), taken("a", 0), taken("b", 0)], [20, 0, 20]);
  assertEquals([taken("a", 100), taken("a", 105), taken("a", 110)], [10, 0, 1]);
  assertEquals(taken("a", 60_000), 20);
});

Deno.test("clients that have not been heard of are forgotten, and a million of them are bounded", () => {
  const rate = new ClientRate(100, 20);
  for (let i = 0; i < 1000; i++) assert(rate.take(`old ${i}`, 0));
  for (let i = 0; i < 5000; i++) assert(rate.take(`new ${i}`, 10_000));
  assert(rate.size <= 1024, `${rate.size}`);
});

Deno.test("a peer that scans a network is slowed down, and another one is not", () => {
  const scene = new ServeScene({}, { newFlowsPerSecond: 100, newFlowsBurst: 200 });
  for (let i = 0; i < 1000; i++) scene.datagram(`192.168.2.${i % 250}`, 1 + i);
  assertEquals(scene.host.sockets.length, 200);
  assertEquals(scene.takeDrops(), { FlowLimit: 800, PortUnreachable: 800 });
  scene.syn("192.168.1.9", 80, 5000, "10.0.0.77");
  assertEquals(scene.host.sockets.length, 201);
  scene.pass(100);
  for (let i = 0; i < 20; i++) scene.echo(`192.168.3.${i}`);
  assertEquals(scene.host.sockets.length, 211);
});

Deno.test("connections to services of our own are not slowed down", () => {
  const scene = new Scene(undefined, { newFlowsPerSecond: 1, newFlowsBurst: 1 });
  for (let i = 0; i < 50; i++) scene.open({ remotePort: 10_000 + i });
  assertEquals(scene.host.open.length, 50);
});

Deno.test("the host is asked about an address once a second", () => {
  const time = { nowMs: 0 };
  const asked: string[] = [];
  const own = new OwnAddresses((address) => {
    asked.push(String(address));
    return address[3] === 1;
  }, time);
  const [a, b] = [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(10, 0, 0, 2)];
  for (let i = 0; i < 10; i++) assertEquals([own.has(a), own.has(b)], [true, false]);
  assertEquals(asked, ["10,0,0,1", "10,0,0,2"]);
  time.nowMs = 1000;
  own.has(a);
  assertEquals(asked.length, 3);
});
