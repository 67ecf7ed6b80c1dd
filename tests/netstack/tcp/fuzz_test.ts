/**
 * Random segments and random applications: nothing throws, every segment that is sent is well formed
 * (the recording output holds that), and everything is given back at the end.
 */
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import { PEER_PORT, type RigApp, SERVER_PORT, TcpRig } from "../../dsl/rig.ts";
import type { TcpConnection } from "../../../src/netstack/tcp/tcp_socket.ts";
import { runScript } from "../../dsl/script.ts";
import { active, STATES } from "./scenes.ts";

const SCENES: Readonly<Record<string, string>> = { ...STATES, Active: active() };

/** A segment near what the connection expects, or far from it. */
function randomSegment(
  random: SeededRandom,
  near: { seq: number; ack: number },
  ports: { ours: number; theirs: number },
): Uint8Array {
  const optionBytes = random.below(3) === 0 ? 4 * random.below(11) : 0;
  const payloadBytes = random.below(3) === 0 ? random.below(3000) : 0;
  const bytes = new Uint8Array(20 + optionBytes + payloadBytes);
  random.fill(bytes.subarray(20));
  const view = new DataView(bytes.buffer);
  const around = (value: number) => {
    const kind = random.below(8);
    if (kind === 0) return random.nextUint32() | 0;
    if (kind < 4) return value;
    return (value + random.below(kind < 6 ? 40 : 100_000) - (kind < 6 ? 20 : 50_000)) | 0;
  };
  view.setUint16(0, ports.theirs);
  view.setUint16(2, ports.ours);
  view.setInt32(4, around(near.seq));
  view.setInt32(8, around(near.ack));
  view.setUint8(12, (random.below(30) === 0 ? random.below(16) : 5 + optionBytes / 4) << 4);
  const flags = [0x10, 0x10, 0x10, 0x18, 0x11, 0x12, 0x02, 0x04, 0x14, random.below(256)];
  view.setUint8(13, flags[random.below(flags.length)]);
  view.setUint16(14, random.below(4) === 0 ? random.below(3) : random.below(65_536));
  view.setUint16(18, random.below(65_536));
  if (optionBytes > 0 && random.below(2) === 0) writeSack(view, random, near.ack);
  return bytes;
}

function writeSack(view: DataView, random: SeededRandom, ack: number): void {
  const room = ((view.getUint8(12) >>> 4) << 2) - 20;
  const count = Math.min(Math.floor((room - 2) / 8), 1 + random.below(4));
  if (count < 1 || room > view.byteLength - 20) return;
  view.setUint8(20, 5);
  view.setUint8(21, 2 + 8 * count);
  for (let i = 0; i < count; i++) {
    const start = (ack + random.below(30_000) - 1000) | 0;
    view.setInt32(22 + 8 * i, start);
    view.setInt32(26 + 8 * i, (start + random.below(5000) - 100) | 0);
  }
}

function act(random: SeededRandom, app: RigApp): void {
  const { connection } = app;
  if (connection === null) return;
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
      app.write(random.below(40_000));
      break;
    case 3:
    case 4:
      // What comes is garbage: it is consumed unread.
      for (let span = connection.readSpan(); span > 0; span = connection.readSpan()) {
        connection.consume(1 + random.below(span));
      }
      break;
    case 5:
      connection.cork(random.below(2) === 0);
      break;
    case 6:
      connection.setNagle(random.below(2) === 0);
      break;
    case 7:
      connection.setKeepalive(random.below(2) === 0 ? 0 : 1 + random.below(100_000));
      break;
    case 8:
      if (random.below(20) === 0) connection.shutdown();
      break;
    case 9:
      if (random.below(60) === 0) connection.close();
      break;
    case 10:
      if (random.below(150) === 0) connection.abort();
      break;
  }
}

function fuzz(state: string, seed: number): void {
  const random = new SeededRandom(seed);
  const options = {
    seed,
    gso: random.below(2) === 0,
    mtu: [576, 1280, 1500, 9000][random.below(4)],
  };
  const runner = runScript(SCENES[state], options);
  const { rig } = runner;
  const bases = runner.basesOf(1);
  const app = runner.app(1);
  const ports = runner.portsOf(1);
  const near = { seq: bases.irs + 1, ack: (bases.iss ?? 0) + 1 };
  rig.onSent = (segment) => {
    // An attacker that sees our numbers comes closest.
    near.seq = segment.view.getInt32(8);
    near.ack = (segment.view.getInt32(4) + segment.payloadBytes) | 0;
  };
  const ends = new Map<TcpConnection, number>();
  const all = new Set<TcpConnection>(app.connection === null ? [] : [app.connection]);
  app.onConnected = (connection) => void all.add(connection);
  app.onEnd = (connection) => ends.set(connection, (ends.get(connection) ?? 0) + 1);
  for (let step = 0; step < 300; step++) {
    const segment = randomSegment(random, near, ports);
    rig.inject(segment, {
      sourcePort: ports.theirs,
      destinationPort: ports.ours,
      runBytes: random.below(5) === 0 ? 500 : 0,
    });
    act(random, app);
    if (random.below(10) === 0) {
      const kind = random.below(6);
      rig.icmpError(kind, ports.ours, ports.theirs, near.ack, 552 + random.below(1000));
    }
    if (random.below(10) === 0) rig.output.isFull = !rig.output.isFull;
    if (random.below(3) > 0) rig.flush();
    if (random.below(4) === 0) rig.advance(random.below(4) === 0 ? random.below(5000) : 10);
    rig.sent.length = 0;
    assert(rig.pool.usedBytes <= 40 << 20, "buffers are bounded");
  }
  end(rig, all);
  for (const count of ends.values()) assertEquals(count, 1, "the end is told once");
}

/** The application gives up everything that it has ever had. */
function end(rig: TcpRig, all: Iterable<TcpConnection>): void {
  rig.output.isFull = false;
  for (const connection of all) connection.abort();
  for (const connection of rig.layer.connections()) connection.abort();
  rig.flush();
  rig.advance(400_000);
  assertEquals(rig.pool.usedBytes, 0, "bytes of buffers at the end");
  assertEquals(rig.layer.halfOpenCount, 0, "half-open connections at the end");
}

for (const state of Object.keys(SCENES)) {
  Deno.test(`random segments in ${state} neither throw nor leak`, () => {
    for (let seed = 1; seed <= 30; seed++) {
      try {
        fuzz(state, seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  });
}

Deno.test("random bytes to a layer neither throw nor leak", () => {
  const random = new SeededRandom(5);
  const rig = new TcpRig();
  rig.layer.listen(null, SERVER_PORT, { onSyn: (pending) => pending.drop(), onPendingGone() {} });
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.fill(new Uint8Array(20 + random.below(100)));
    new DataView(bytes.buffer).setUint16(2, SERVER_PORT);
    rig.inject(bytes, { sourcePort: PEER_PORT, destinationPort: SERVER_PORT });
    if (i % 10 === 0) rig.flush();
    rig.sent.length = 0;
  }
  rig.advance(100_000);
  assertEquals([rig.pool.usedBytes, rig.layer.halfOpenCount], [0, 0]);
});
