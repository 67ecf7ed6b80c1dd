import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../../src/memory/slab.ts";
import { AllowedIps, allowedIpsBytes, lookupV4, lookupV6 } from "../../src/tables/allowed_ips.ts";
import type { AddressPrefix } from "../../src/tables/allowed_ips_node.ts";
import { AllowedIpsFullError } from "../../src/tables/allowed_ips_pool.ts";
import { epochBytes, EpochTable } from "../../src/tables/epoch.ts";
import { AllowedIpsReference } from "../reference/allowed_ips_reference.ts";
import type { ReaderTask } from "./allowed_ips_reader_worker.ts";

interface Table {
  readonly slab: Slab;
  readonly at: number;
  readonly addressAt: number;
  readonly epochsAt: number;
  readonly epochs: EpochTable;
  readonly ips: AllowedIps;
}

function makeTable(nodeCapacity = 1000): Table {
  const regions = new RegionAllocator();
  const at = regions.reserve(allowedIpsBytes(nodeCapacity));
  const epochsAt = regions.reserve(epochBytes(1));
  // An odd place: the addresses of a packet may stand anywhere.
  const addressAt = regions.reserve(64) + 1;
  const slab = createSlab(regions.byteLength);
  const epochs = new EpochTable(slab, epochsAt, 1);
  return {
    slab,
    at,
    addressAt,
    epochsAt,
    epochs,
    ips: new AllowedIps(slab, at, nodeCapacity, epochs),
  };
}

function v4(text: string): AddressPrefix {
  const [address, bits = "32"] = text.split("/");
  return { address: Uint8Array.from(address.split("."), Number), bits: Number(bits) };
}

/** Eight groups, all written out. */
function v6(text: string): AddressPrefix {
  const [address, bits = "128"] = text.split("/");
  const groups = address.split(":").map((group) => parseInt(group, 16));
  return {
    address: Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255])),
    bits: Number(bits),
  };
}

function text(prefix: AddressPrefix): string {
  return `${prefix.address.join(".")}/${prefix.bits}`;
}

/** What a lane finds for an address. */
function find(table: Table, address: Uint8Array): number {
  table.slab.u8.set(address, table.addressAt);
  const lookup = address.length === 4 ? lookupV4 : lookupV6;
  return lookup(table.slab, table.at, table.addressAt);
}

Deno.test("a table of zeros owns nothing", () => {
  const table = makeTable();
  assertEquals(find(table, v4("10.0.0.1").address), -1);
  assertEquals(find(table, v6("fd00:0:0:0:0:0:0:1").address), -1);
  assertEquals(table.ips.list(0), []);
});

Deno.test("the longest prefix that holds an address names its owner", () => {
  const table = makeTable();
  table.ips.insert(v4("0.0.0.0/0"), 0);
  table.ips.insert(v4("10.0.0.0/8"), 1);
  table.ips.insert(v4("10.1.0.0/16"), 2);
  table.ips.insert(v4("10.1.2.3/32"), 3);
  table.ips.insert(v4("10.1.2.2/31"), 4);
  table.ips.commit();
  const owners = ["11.0.0.1", "10.9.9.9", "10.1.9.9", "10.1.2.3", "10.1.2.2", "255.255.255.255"]
    .map((address) => find(table, v4(address).address));
  assertEquals(owners, [0, 1, 2, 3, 4, 0]);
});

Deno.test("IPv6 prefixes of every length part at every bit", () => {
  const table = makeTable();
  const base = v6("2001:db8:aaaa:5555:ffff:0:1234:8001").address;
  for (let bits = 0; bits <= 128; bits++) table.ips.insert({ address: base, bits }, bits);
  table.ips.commit();
  assertEquals(find(table, base), 128);
  for (let bit = 0; bit < 128; bit++) {
    const other = base.slice();
    other[bit >> 3] ^= 0x80 >> (bit & 7);
    assertEquals(find(table, other), bit, `an address that differs first in bit ${bit}`);
  }
});

Deno.test("IPv4 prefixes of every length part at every bit", () => {
  const table = makeTable();
  const base = v4("203.0.113.129").address;
  for (let bits = 0; bits <= 32; bits++) table.ips.insert({ address: base, bits }, bits);
  table.ips.commit();
  assertEquals(find(table, base), 32);
  for (let bit = 0; bit < 32; bit++) {
    const other = base.slice();
    other[bit >> 3] ^= 0x80 >> (bit & 7);
    assertEquals(find(table, other), bit, `an address that differs first in bit ${bit}`);
  }
});

Deno.test("the families do not mix: ::/0 owns no IPv4 address and 0.0.0.0/0 no IPv6 address", () => {
  const table = makeTable();
  table.ips.insert(v6("0:0:0:0:0:0:0:0/0"), 6);
  table.ips.commit();
  assertEquals(find(table, v4("0.0.0.0").address), -1);
  table.ips.removePeer(6);
  table.ips.insert(v4("0.0.0.0/0"), 4);
  table.ips.commit();
  assertEquals(find(table, v6("0:0:0:0:0:0:0:0").address), -1);
  assertEquals(find(table, v4("0.0.0.0").address), 4);
});

Deno.test("host bits are masked off, so two spellings are one prefix", () => {
  const table = makeTable();
  assertEquals(table.ips.insert(v4("10.1.2.3/8"), 1), -1);
  assertEquals(table.ips.insert(v4("10.200.0.0/8"), 2), 1);
  assertEquals(table.ips.insert(v6("fd00:1:2:3:4:5:6:7/20"), 2), -1);
  table.ips.commit();
  assertEquals(table.ips.list(2).map(text), [
    "10.0.0.0/8",
    "253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0/20",
  ]);
  assertEquals(table.ips.list(1), []);
});

Deno.test("a prefix given to a second peer moves to it, to the end of its list", () => {
  const table = makeTable();
  for (const prefix of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) table.ips.insert(v4(prefix), 1);
  table.ips.insert(v4("10.0.0.4"), 2);
  assertEquals(table.ips.insert(v4("10.0.0.2"), 2), 1);
  table.ips.commit();
  assertEquals(table.ips.list(1).map(text), ["10.0.0.1/32", "10.0.0.3/32"]);
  assertEquals(table.ips.list(2).map(text), ["10.0.0.4/32", "10.0.0.2/32"]);
  assertEquals(find(table, v4("10.0.0.2").address), 2);
});

Deno.test("a prefix given again to its own peer keeps its place in the list", () => {
  const table = makeTable();
  for (const prefix of ["10.0.0.1", "10.0.0.2", "10.0.0.1"]) table.ips.insert(v4(prefix), 1);
  assertEquals(table.ips.list(1).map(text), ["10.0.0.1/32", "10.0.0.2/32"]);
  assertEquals(table.ips.count(1), 2);
});

Deno.test("remove() takes only a peer's own, exact prefix", () => {
  const table = makeTable();
  table.ips.insert(v4("10.0.0.0/8"), 1);
  table.ips.insert(v4("10.0.0.0/24"), 2);
  assertEquals(table.ips.remove(v4("10.0.0.0/8"), 2), false);
  assertEquals(table.ips.remove(v4("10.0.0.0/16"), 1), false);
  assertEquals(table.ips.remove(v4("10.0.0.0/24"), 2), true);
  table.ips.commit();
  assertEquals(find(table, v4("10.0.0.1").address), 1);
});

Deno.test("readers see nothing of a transaction before commit(), and nothing after rollback()", () => {
  const table = makeTable();
  table.ips.insert(v4("10.0.0.0/8"), 1);
  table.ips.insert(v4("10.0.0.7"), 1);
  table.ips.commit();
  table.ips.insert(v4("10.0.0.0/8"), 2);
  table.ips.insert(v4("10.0.0.1"), 2);
  table.ips.remove(v4("10.0.0.7"), 1);
  assertEquals(find(table, v4("10.0.0.1").address), 1);
  assertEquals(table.ips.lookup(v4("10.0.0.1").address), 1);
  table.ips.rollback();
  table.ips.commit();
  assertEquals(find(table, v4("10.0.0.1").address), 1);
  assertEquals(table.ips.list(1).map(text), ["10.0.0.0/8", "10.0.0.7/32"]);
  assertEquals(table.ips.list(2), []);
});

Deno.test("an insert beyond the capacity throws and changes nothing of its transaction", () => {
  const table = makeTable(16);
  table.ips.insert(v4("10.0.0.1"), 1);
  table.ips.insert(v6("fd00:0:0:0:0:0:0:1"), 1);
  table.ips.commit();
  const error = assertThrows(() => {
    for (let i = 0; i < 256; i++) table.ips.insert(v4(`10.0.${i}.0/24`), 2);
  }, AllowedIpsFullError);
  assertEquals(error.message, "Cannot add the allowed IP: the table is full (16 nodes)");
  table.ips.commit();
  assertEquals(table.ips.list(2), []);
  assertEquals(table.ips.list(1).length, 2);
  assertEquals(find(table, v4("10.0.0.9").address), -1);
  assertEquals(find(table, v4("10.0.0.1").address), 1);
  for (let i = 0; i < 4; i++) table.ips.insert(v4(`10.0.${i}.0/24`), 2);
  table.ips.commit();
  assertEquals(find(table, v4("10.0.3.9").address), 2);
});

Deno.test("n prefixes fit into 2 n nodes", () => {
  const table = makeTable(2 * 500);
  const random = new SeededRandom(3);
  for (let i = 0; i < 500; i++) {
    table.ips.insert({ address: random.fill(new Uint8Array(4)), bits: 32 }, 1);
  }
  table.ips.commit();
  assertEquals(table.ips.count(1), 500);
});

Deno.test("nodes are not reused while a lane may read them, and are afterwards", () => {
  const table = makeTable(12);
  table.ips.insert(v4("10.0.0.1"), 1);
  table.ips.commit();
  const held = table.epochs.current();
  table.epochs.announce(0, held);
  assertThrows(() => {
    for (let i = 0; i < 20; i++) {
      table.ips.insert(v4("10.0.0.1"), 1 + (i + 1) % 2);
      table.ips.commit();
    }
  }, AllowedIpsFullError);
  table.epochs.announce(0, table.epochs.current());
  for (let i = 0; i < 1000; i++) {
    table.ips.insert(v4("10.0.0.1"), 5 + i % 2);
    table.ips.commit();
    table.epochs.announce(0, table.epochs.current());
  }
  assertEquals(find(table, v4("10.0.0.1").address), 6);
});

/** One random change, made to the table and to the reference. */
function change(random: SeededRandom, table: Table, reference: AllowedIpsReference): void {
  // Few distinct bits, so that prefixes nest, meet and part often.
  const address = new Uint8Array(random.below(2) === 0 ? 4 : 16);
  for (let i = 0; i < 4; i++) {
    address[random.below(address.length)] |= 1 << random.below(8);
  }
  const widths = [0, 1, 7, 8, 9, 31, 32, 33, 64, 65, 95, 96, 97, 127, 128];
  const width = random.below(3) === 0 ? random.below(129) : widths[random.below(widths.length)];
  const bits = Math.min(width, address.length * 8);
  const peer = random.below(5);
  const kind = random.below(20);
  if (kind === 0) {
    table.ips.removePeer(peer);
    reference.removePeer(peer);
  } else if (kind < 7) {
    const owned = reference.list(peer);
    const prefix = owned.length > 0 && kind < 6 ? owned[random.below(owned.length)] : {
      address,
      bits,
    };
    assertEquals(
      table.ips.remove(prefix, peer),
      reference.remove(prefix.address, prefix.bits, peer),
    );
  } else {
    table.ips.insert({ address, bits }, peer);
    reference.insert(address, bits, peer);
  }
}

function compare(random: SeededRandom, table: Table, reference: AllowedIpsReference): void {
  for (let peer = 0; peer < 5; peer++) {
    const list = reference.list(peer);
    assertEquals(table.ips.list(peer).map(text), list.map(text));
    assertEquals(table.ips.count(peer), list.length);
    for (const prefix of list) {
      const near = prefix.address.slice();
      near[random.below(near.length)] ^= 1 << random.below(8);
      assertEquals(find(table, prefix.address), reference.lookup(prefix.address));
      assertEquals(find(table, near), reference.lookup(near));
      assertEquals(table.ips.lookup(near), reference.lookup(near));
    }
  }
  for (let i = 0; i < 20; i++) {
    const address = random.fill(new Uint8Array(i & 1 ? 4 : 16));
    assertEquals(find(table, address), reference.lookup(address));
  }
}

Deno.test("random transactions agree with the reference after every commit and rollback", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = new SeededRandom(seed);
    const table = makeTable(600);
    let reference = new AllowedIpsReference();
    try {
      for (let transaction = 0; transaction < 80; transaction++) {
        const before = reference.copy();
        const changes = 1 + random.below(12);
        for (let i = 0; i < changes; i++) change(random, table, reference);
        if (random.below(5) === 0) {
          table.ips.rollback();
          reference = before;
        } else {
          table.ips.commit();
        }
        table.epochs.announce(0, table.epochs.current());
        compare(random, table, reference);
      }
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

Deno.test("130,560 prefixes go in, are moved and taken out, one transaction each", () => {
  const count = 130_560;
  const table = makeTable(4 * count);
  const address = (i: number) => Uint8Array.of(10 + (i >> 16), (i >> 8) & 255, i & 255, 0);
  for (let i = 0; i < count; i++) table.ips.insert({ address: address(i), bits: 24 }, 1);
  table.ips.commit();
  assertEquals(table.ips.count(1), count);
  assertEquals(find(table, address(count - 1)), 1);
  for (let i = 0; i < count; i++) table.ips.insert({ address: address(i), bits: 24 }, 2);
  assertEquals(find(table, address(count - 1)), 1);
  table.ips.commit();
  assertEquals([table.ips.count(1), table.ips.count(2)], [0, count]);
  assertEquals(find(table, address(77)), 2);
  table.ips.removePeer(2);
  table.ips.commit();
  assertEquals(find(table, address(77)), -1);
});

Deno.test("while main moves a prefix between two peers, a lane never finds it without an owner", async () => {
  const table = makeTable(48);
  const { slab, ips } = table;
  const regionAt = table.addressAt - 1;
  const task: ReaderTask = {
    memory: slab.memory,
    tableAt: table.at,
    epochsAt: table.epochsAt,
    v4At: regionAt,
    v6At: regionAt + 16,
    stateAt: regionAt + 48,
  };
  const own = v4("10.0.0.1"), own6 = v6("fd00:0:0:0:0:0:0:1");
  slab.u8.set(own.address, task.v4At);
  slab.u8.set(own6.address, task.v6At);
  const others = [v4("10.0.0.0/8"), v4("10.0.0.0/31"), v4("10.0.0.3"), v6("fd00:0:0:0:0:0:0:0/64")];
  for (const prefix of others) ips.insert(prefix, 3);
  ips.insert(own, 1);
  ips.insert(own6, 1);
  ips.commit();
  const worker = new Worker(new URL("./allowed_ips_reader_worker.ts", import.meta.url).href, {
    type: "module",
  });
  const result = new Promise<{ turns: number; wrong: [string, number][] }>((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.postMessage(task);
  while (Atomics.load(slab.i32, task.stateAt >> 2) === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  for (let i = 0; i < 8_000; i++) {
    const peer = 1 + (i & 1);
    try {
      // Taken away and given again: within one transaction no reader may see the gap.
      ips.remove(own, 3 - peer);
      ips.insert(own, peer);
      ips.insert(own6, peer);
      ips.commit();
    } catch (error) {
      // The reader holds the nodes that are wanted: let it finish its turn.
      if (!(error instanceof AllowedIpsFullError)) throw error;
      ips.rollback();
      i--;
    }
  }
  Atomics.store(slab.i32, task.stateAt >> 2, 2);
  const { turns, wrong } = await result;
  worker.terminate();
  assert(turns > 0);
  assertEquals(wrong, []);
});
