import { assert, assertEquals, assertFalse } from "@std/assert";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import type { InboundItem } from "../../src/netstack/inbound.ts";
import {
  LINK_SEGMENTS,
  LinkEndpoint,
  type LinkPacket,
  plainStackGso,
  SupportedGso,
} from "../../src/netstack/link_endpoint.ts";
import { StackGsoType } from "../../src/offload/gso_options.ts";
import { buildPacket, buildSuperPacket, pattern } from "../offload/packet_builder.ts";

interface Scene {
  slab: Slab;
  pool: BufferPool;
  link: LinkEndpoint;
}

function makeScene(gsoMaxBytes = 65_535): Scene {
  const slab = createSlab(8 << 20);
  const pool = new BufferPool(1 << 20, 4 << 20);
  const link = new LinkEndpoint(slab, pool, 4096, { mtu: 1420, gsoMaxBytes });
  return { slab, pool, link };
}

/** Publishes a plain segment with 2 bytes of headers and, in a block of its own, 2 of payload. */
function publish({ slab, pool, link }: Scene, number: number): boolean {
  const at = link.claim();
  if (at < 0) return false;
  const block = pool.allocate(2);
  slab.view.setUint16(at, number);
  slab.view.setUint16(block, ~number & 0xffff);
  link.publish(2, block, 2, block, StackGsoType.None, 0, 0, 0, false);
  pool.free(block);
  return true;
}

function numbersOf(packets: LinkPacket[]): number[] {
  return packets.map(({ bytes }) => {
    const view = new DataView(bytes.buffer);
    assertEquals(bytes.length, 4);
    assertEquals(view.getUint16(0), ~view.getUint16(2) & 0xffff);
    return view.getUint16(0);
  });
}

/** One way to read a link endpoint: `take` resolves when `count` segments came, or it was closed. */
interface Reader {
  take(count: number): Promise<LinkPacket[]>;
}

/** How embedders read: they await. */
function awaitingReader({ link }: Scene): Reader {
  return {
    async take(count) {
      const taken: LinkPacket[] = [];
      while (taken.length < count) {
        const packet = await link.readAsync();
        if (packet === null) break;
        taken.push(packet);
      }
      return taken;
    },
  };
}

/** The same, by iteration. */
function iteratingReader({ link }: Scene): Reader {
  return {
    async take(count) {
      const taken: LinkPacket[] = [];
      if (count === 0) return taken;
      for await (const packet of link) {
        taken.push(packet);
        if (taken.length === count) break;
      }
      return taken;
    },
  };
}

/** How a lane reads: a callback says that there is something, and integers say what. */
function callbackReader({ slab, link }: Scene): Reader {
  const taken: LinkPacket[] = [];
  let isReadable = !link.isEmpty;
  link.onReadable = () => isReadable = true;
  const pull = (most: number) => {
    if (!isReadable) return;
    while (!link.isEmpty && taken.length < most) {
      const bytes = new Uint8Array(link.frontHeaderBytes + link.frontPayloadBytes);
      const { frontHeaderAt, frontHeaderBytes, frontPayloadAt, frontPayloadBytes } = link;
      bytes.set(slab.u8.slice(frontHeaderAt, frontHeaderAt + frontHeaderBytes));
      bytes.set(
        slab.u8.slice(frontPayloadAt, frontPayloadAt + frontPayloadBytes),
        frontHeaderBytes,
      );
      taken.push({ bytes, gso: { ...link.frontGso } });
      link.pop();
    }
    if (link.isEmpty) isReadable = false;
  };
  return {
    async take(count) {
      for (;;) {
        pull(count);
        if (taken.length >= count || link.isClosed) return taken.splice(0, count);
        await Promise.resolve();
      }
    },
  };
}

const READERS = {
  awaiting: awaitingReader,
  iterating: iteratingReader,
  callback: callbackReader,
};

for (const [kind, makeReader] of Object.entries(READERS)) {
  const name = (text: string) => `link endpoint, ${kind} reader: ${text}`;

  Deno.test(name("segments come out whole and in order"), async () => {
    const scene = makeScene();
    const reader = makeReader(scene);
    for (let i = 0; i < 100; i++) assert(publish(scene, i));
    assertEquals(scene.link.numQueued, 100);
    const numbers = numbersOf(await reader.take(100));
    assertEquals(numbers, [...numbers.keys()]);
    assertEquals(scene.link.numQueued, 0);
    assertEquals(scene.pool.usedBytes, 0);
  });

  Deno.test(name("a segment that comes later ends the waiting"), async () => {
    const scene = makeScene();
    const taking = makeReader(scene).take(3);
    await Promise.resolve();
    publish(scene, 7);
    await Promise.resolve();
    publish(scene, 8);
    publish(scene, 9);
    assertEquals(numbersOf(await taking), [7, 8, 9]);
  });

  Deno.test(name("512 fit, the next is refused, and room is told once"), async () => {
    const scene = makeScene();
    const { link } = scene;
    const reader = makeReader(scene);
    let writable = 0;
    link.onWritable = () => writable++;
    for (let i = 0; i < LINK_SEGMENTS; i++) assert(publish(scene, i));
    assert(link.isFull);
    assertEquals(link.freeSlots, 0);
    assertEquals(writable, 0);
    assertFalse(publish(scene, 512));
    assertFalse(publish(scene, 512));
    await reader.take(1);
    assertEquals(writable, 1);
    await reader.take(1);
    assertEquals(writable, 1);
    assert(publish(scene, 512));
    assertEquals((await reader.take(LINK_SEGMENTS - 1)).length, LINK_SEGMENTS - 1);
    assertEquals(writable, 1);
  });

  Deno.test(name("thousands pass while writer and reader take turns"), async () => {
    const scene = makeScene();
    const reader = makeReader(scene);
    let written = 0;
    const seen: number[] = [];
    for (let round = 1; seen.length < 5000; round++) {
      for (let i = 0; i < (round * 7) % 40 && written < 5000; i++) {
        if (!publish(scene, written)) break;
        written++;
      }
      const wanted = Math.min((round * 5) % 31, scene.link.numQueued);
      if (wanted > 0) seen.push(...numbersOf(await reader.take(wanted)));
    }
    assert(seen.every((number, i) => number === i));
    assertEquals(scene.pool.usedBytes, 0);
  });

  Deno.test(name("close discards, gives memory back and releases who waits"), async () => {
    const scene = makeScene();
    const { link, pool } = scene;
    const reader = makeReader(scene);
    for (let i = 0; i < 3; i++) publish(scene, i);
    assertEquals((await reader.take(3)).length, 3);
    const waiting = reader.take(1);
    await Promise.resolve();
    link.close();
    assertEquals(await waiting, []);
    assertEquals(pool.usedBytes, 0);
    assert(link.isClosed);
    assertFalse(publish(scene, 9));
    assertEquals(await reader.take(1), []);
  });

  Deno.test(name("what waits at close is discarded and unpinned"), async () => {
    const scene = makeScene();
    for (let i = 0; i < 20; i++) publish(scene, i);
    assert(scene.pool.usedBytes > 0);
    scene.link.close();
    assertEquals(scene.pool.usedBytes, 0);
    assertEquals(scene.link.numQueued, 0);
    assertEquals(await makeReader(scene).take(1), []);
    assertEquals(scene.link.writePackets([plain(buildPacket({}))]), 0);
    scene.link.close();
  });

  Deno.test(name("packets that an embedder writes come out with their GSO options"), async () => {
    const scene = makeScene();
    const { packet, vnet } = buildSuperPacket({ payload: pattern(5000) }, 1000);
    const gso = {
      type: StackGsoType.TcpV4,
      needsCsum: true,
      csumOffset: vnet.csumOffset,
      mss: 1000,
      l3HeaderBytes: 20,
    };
    assertEquals(scene.link.writePackets([{ bytes: packet, gso }, plain(packet)]), 2);
    const [first, second] = await makeReader(scene).take(2);
    assertEquals(first, { bytes: packet, gso });
    assertEquals(second.bytes, packet);
    assertEquals(second.gso.type, StackGsoType.None);
    assertEquals(scene.pool.usedBytes, 0);
  });
}

function plain(bytes: Uint8Array): LinkPacket {
  return { bytes, gso: plainStackGso() };
}

Deno.test("writePackets accepts what fits and says how much that is", () => {
  const { link, pool } = makeScene();
  const packet = plain(buildPacket({ payload: pattern(100) }));
  assertEquals(link.writePackets(Array(500).fill(packet)), 500);
  assertEquals(link.writePackets(Array(500).fill(packet)), 12);
  assertEquals(link.drain(), 512);
  assertEquals(pool.usedBytes, 0);
});

Deno.test("writePackets stops at what is not a whole IP packet", () => {
  const { link, pool } = makeScene();
  const good = plain(buildPacket({ payload: pattern(100) }));
  const bad = [
    new Uint8Array(),
    new Uint8Array(65_536).fill(0x45),
    good.bytes.subarray(0, 60),
    new Uint8Array(40),
    new Uint8Array(20).fill(0xff),
  ];
  for (const bytes of bad) assertEquals(link.writePackets([good, plain(bytes), good]), 1);
  const udp = buildPacket({ protocol: 17, payload: pattern(100) });
  const gso = { ...plainStackGso(), type: StackGsoType.TcpV4, mss: 10 };
  assertEquals(link.writePackets([{ bytes: udp, gso }]), 0);
  assertEquals(link.drain(), bad.length);
  assertEquals(pool.usedBytes, 0);
});

Deno.test("writePackets stops when there is no memory", () => {
  const slab = createSlab(1 << 20);
  const pool = new BufferPool(1 << 19, 3 * 4096);
  const link = new LinkEndpoint(slab, pool, 4096, { mtu: 1420 });
  const packet = plain(buildPacket({ payload: pattern(100) }));
  assertEquals(link.writePackets([packet, packet, packet, packet]), 3);
});

Deno.test("read does not wait, and drain says how much it discarded", () => {
  const scene = makeScene();
  assertEquals(scene.link.read(), null);
  publish(scene, 1);
  publish(scene, 2);
  publish(scene, 3);
  assertEquals(numbersOf([scene.link.read()!]), [1]);
  assertEquals(scene.link.drain(), 2);
  assertEquals(scene.link.drain(), 0);
  assertEquals(scene.pool.usedBytes, 0);
});

Deno.test("drain tells a waiting writer once", () => {
  const scene = makeScene();
  let writable = 0;
  scene.link.onWritable = () => writable++;
  while (publish(scene, 1));
  scene.link.drain();
  assertEquals(writable, 1);
});

Deno.test("onReadable is called when the queue becomes non-empty, not for each segment", () => {
  const scene = makeScene();
  let readable = 0;
  scene.link.onReadable = () => readable++;
  publish(scene, 1);
  publish(scene, 2);
  assertEquals(readable, 1);
  scene.link.pop();
  publish(scene, 3);
  assertEquals(readable, 1);
  scene.link.drain();
  publish(scene, 4);
  assertEquals(readable, 2);
});

Deno.test("a block that its owner frees stays until its last segment is popped", () => {
  const { pool, link } = makeScene();
  const block = pool.allocate(8192);
  for (let i = 0; i < 3; i++) {
    link.claim();
    link.publish(20, block + i * 100, 100, block, StackGsoType.None, 0, 20, 0, false);
  }
  pool.free(block);
  link.pop();
  link.pop();
  assertEquals(pool.usedBytes, 8192);
  link.pop();
  assertEquals(pool.usedBytes, 0);
});

Deno.test("an aborted reader gets null, and the segment goes to the next one", async () => {
  const scene = makeScene();
  const abort = new AbortController();
  const aborted = scene.link.readAsync(abort.signal);
  const other = scene.link.readAsync();
  abort.abort();
  assertEquals(await aborted, null);
  publish(scene, 5);
  assertEquals(numbersOf([(await other)!]), [5]);
  assertEquals(await scene.link.readAsync(abort.signal), null);
});

Deno.test("two waiting readers get one segment each", async () => {
  const scene = makeScene();
  const both = Promise.all([scene.link.readAsync(), scene.link.readAsync()]);
  publish(scene, 1);
  await Promise.resolve();
  publish(scene, 2);
  assertEquals(numbersOf((await both).map((packet) => packet!)).sort(), [1, 2]);
});

Deno.test("injectInbound reaches the attached sink, and nobody without one", () => {
  const { slab, link, pool } = makeScene();
  const packet = buildPacket({ payload: pattern(10) });
  assertFalse(link.isAttached);
  assertFalse(link.injectInbound(packet));
  const seen: Uint8Array[] = [];
  const take = (item: InboundItem) => {
    assertEquals([item.headerBytes, item.gsoSize, item.packetCount], [0, 0, 1]);
    assertEquals([item.pieces.count, item.pieces.at[0]], [1, item.at]);
    seen.push(slab.u8.slice(item.at, item.at + item.bytes));
  };
  link.attach({ onInbound: take });
  assert(link.isAttached);
  assert(link.injectInbound(packet));
  assertEquals(seen, [packet]);
  assertEquals(pool.usedBytes, 0);
  link.attach(null);
  assertFalse(link.injectInbound(packet));
  link.attach({ onInbound: take });
  link.close();
  assertFalse(link.injectInbound(packet));
});

Deno.test("a link tells what it supports", () => {
  const { link } = makeScene();
  assertEquals(link.gsoMaxSize, 65_535);
  assertEquals(link.supportedGso, SupportedGso.Stack);
  assertEquals(link.mtu, 1420);
  assertEquals(makeScene(0).link.supportedGso, SupportedGso.None);
  assertEquals(LinkEndpoint.bytes(), 512 * 128);
});
