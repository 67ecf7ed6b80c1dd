import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { FlowTable } from "../../src/netstack/flow_table.ts";

interface Flow {
  local: Uint8Array;
  localPort: number;
  remote: Uint8Array;
  remotePort: number;
}

function randomFlow(random: SeededRandom): Flow {
  const length = random.below(2) === 0 ? 4 : 16;
  // Few values, so that flows differ in one field only and are found again.
  const address = () => Uint8Array.from({ length }, (_, i) => i < length - 1 ? 7 : random.below(3));
  return {
    local: address(),
    localPort: 1 + random.below(6),
    remote: address(),
    remotePort: 65_530 + random.below(6),
  };
}

function load(table: FlowTable, flow: Flow): void {
  table.load(flow.local, flow.localPort, flow.remote, flow.remotePort);
}

function textOf({ local, localPort, remote, remotePort }: Flow): string {
  return `${local} ${localPort} ${remote} ${remotePort}`;
}

Deno.test("a flow table agrees with a map by text, from 0 to hundreds of flows and back", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const table = new FlowTable(random, 2);
    const twin = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      const flow = randomFlow(random);
      const text = textOf(flow);
      load(table, flow);
      assertEquals(table.find(), twin.get(text) ?? -1, `seed ${seed}`);
      const isGrowing = i % 1000 < 600;
      if (!twin.has(text) && isGrowing) {
        table.insert(i);
        twin.set(text, i);
      } else if (!isGrowing) assertEquals(table.remove(), twin.delete(text), `seed ${seed}`);
      assertEquals(table.count, twin.size, `seed ${seed}`);
    }
  }
});

Deno.test("a flow loaded from a packet is the flow loaded from addresses", () => {
  for (const length of [4, 16]) {
    const table = new FlowTable(new SeededRandom(1));
    const local = Uint8Array.from({ length }, (_, i) => 200 + i);
    const remote = Uint8Array.from({ length }, (_, i) => 100 - i);
    const bytes = new Uint8Array(3 + 2 * length);
    bytes.set(local, 3);
    bytes.set(remote, 3 + length);
    table.load(local, 80, remote, 50_000);
    table.insert(9);
    const view = new DataView(bytes.buffer);
    table.loadPacket(view, length === 4 ? 4 : 6, 3, 3 + length, 80, 50_000);
    assertEquals(table.find(), 9);
    table.loadPacket(view, length === 4 ? 4 : 6, 3 + length, 3, 80, 50_000);
    assertEquals(table.find(), -1);
  }
});

Deno.test("an IPv4 flow is not the IPv6 flow with the same first bytes", () => {
  const table = new FlowTable(new SeededRandom(1));
  const v4 = Uint8Array.of(1, 2, 3, 4);
  const v6 = new Uint8Array(16);
  v6.set(v4);
  table.load(v4, 1, v4, 2);
  table.insert(5);
  table.load(v6, 1, v6, 2);
  assertEquals(table.find(), -1);
});

Deno.test("a hundred thousand flows from sequential addresses are found and removed", () => {
  const table = new FlowTable(new SeededRandom(3));
  const local = Uint8Array.of(10, 0, 0, 1);
  const remote = new Uint8Array(4);
  const view = new DataView(remote.buffer);
  for (let i = 0; i < 100_000; i++) {
    view.setUint32(0, 0x0a000000 + i);
    table.load(local, 80, remote, 1024);
    table.insert(i);
  }
  for (let i = 0; i < 100_000; i += 97) {
    view.setUint32(0, 0x0a000000 + i);
    table.load(local, 80, remote, 1024);
    assertEquals(table.find(), i);
    assert(table.remove());
    assertEquals(table.find(), -1);
  }
});
