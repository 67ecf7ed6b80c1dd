/**
 * Hundreds of connections at once over a bad path, whose applications do everything an application
 * may do, at any time, also from inside of a callback: streams stay exact, every connection ends, and
 * nothing of it is left.
 */
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import type { Pieces } from "../../../src/netstack/inbound.ts";
import type { TcpConnection, TcpEnd, TcpHandler } from "../../../src/netstack/tcp/tcp_socket.ts";
import { TcpFlag } from "../../../src/wire/tcp.ts";
import { acceptWith, type Flight, LOST, Net, patternAt } from "./tcp_pair.ts";

/** Where the flags stand in a TCP header. */
const TCP_FLAGS = 13;

/** An application without manners. */
class RandomApp implements TcpHandler {
  ended = 0;
  end: TcpEnd | -1 = -1;
  written = 0;
  read = 0;
  isExact = true;
  isFinished = false;
  connection: TcpConnection | null = null;
  takePieces?: (connection: TcpConnection, pieces: Pieces) => number;

  constructor(readonly u8: Uint8Array, readonly random: SeededRandom, readonly goal: number) {
    if (random.below(2) === 0) {
      this.takePieces = (connection, pieces) => this.#take(connection, pieces);
    }
  }

  onConnected(connection: TcpConnection): void {
    this.connection = connection;
    this.act();
  }

  onReadable(connection: TcpConnection): void {
    this.connection = connection;
    assertEquals(this.ended, 0, "nothing is called after the end");
    if (this.random.below(4) > 0) this.#read();
    this.act();
  }

  onWritable(connection: TcpConnection): void {
    this.connection = connection;
    assertEquals(this.ended, 0, "nothing is called after the end");
    this.act();
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.ended++;
    this.end = end;
  }

  /** Does something. */
  act(): void {
    const { connection, random } = this;
    if (connection === null || this.ended > 0) return;
    switch (random.below(400)) {
      case 0:
        return connection.abort();
      case 1:
        return connection.close();
      case 2:
        return connection.setKeepalive(random.below(2) * 7_200_000);
    }
    connection.setNagle(random.below(2) === 0);
    connection.cork(random.below(3) === 0 && this.written < this.goal);
    this.#read();
    this.#write();
  }

  /** What everybody does in the end. */
  finish(): void {
    const { connection } = this;
    if (connection === null || this.ended > 0) return;
    this.#read();
    connection.cork(false);
    if (this.written < this.goal) this.#write();
    if (this.written >= this.goal) connection.shutdown();
    if (connection.isReadFinished) this.isFinished = true;
  }

  #write(): void {
    const connection = this.connection!;
    const room = connection.writeSpan(
      Math.min(1 + this.random.below(40_000), this.goal - this.written),
    );
    const bytes = room === 0 ? 0 : 1 + this.random.below(room);
    for (let i = 0; i < bytes; i++) this.u8[connection.spanAt + i] = patternAt(this.written + i);
    connection.commitWrite(bytes);
    this.written += bytes;
    if (this.written >= this.goal) connection.shutdown();
  }

  #read(): void {
    const connection = this.connection!;
    const bytes = Math.min(connection.readSpan(), 1 + this.random.below(30_000));
    this.#check(connection.spanAt, bytes);
    connection.consume(bytes);
  }

  #take(connection: TcpConnection, pieces: Pieces): number {
    const wanted = this.random.below(3) === 0
      ? this.random.below(pieces.totalBytes + 1)
      : pieces.totalBytes;
    let taken = 0;
    for (let i = 0; i < pieces.count && taken < wanted; i++) {
      const bytes = Math.min(pieces.bytes[i], wanted - taken);
      this.#check(pieces.at[i], bytes);
      taken += bytes;
    }
    if (this.random.below(2000) === 0) connection.abort();
    return taken;
  }

  #check(at: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) {
      if (this.u8[at + i] !== patternAt(this.read + i)) this.isExact = false;
    }
    this.read += bytes;
  }
}

for (let seed = 1; seed <= 4; seed++) {
  Deno.test(`two hundred connections do whatever they like, and nothing is left of them: seed ${seed}`, () => {
    // Less memory than all of them would like.
    const net = new Net({ seed, poolBytes: 4 << 20, gso: seed % 2 === 0, cuts: seed !== 4 });
    const random = new SeededRandom(seed);
    const apps: RandomApp[] = [];
    const make = () => {
      const app = new RandomApp(net.a.slab.u8, random, random.below(60_000));
      apps.push(app);
      return app;
    };
    net.b.tcp.listen(null, 80, acceptWith(make));
    // A lost RST leaves whoever waits for the other end waiting for ever, as in any stack without
    // keepalives: here it always arrives.
    const isReset = ({ bytes }: Flight) => (bytes[TCP_FLAGS] & TcpFlag.Rst) !== 0;
    net.fate = (flight) => {
      const isLost = random.below(100) < 3 && !isReset(flight);
      return isLost ? LOST : random.below(10) === 0 ? random.below(20) : 0;
    };
    for (let i = 0; i < 200; i++) {
      const app = make();
      try {
        app.connection = net.a.tcp.connect(net.b.address, 80, app, net.nowMs);
      } catch {
        // Memory is used up: no new flows.
      }
      for (let k = random.below(5); k > 0; k--) net.step();
    }
    for (let round = 0; round < 1500; round++) {
      net.a.isFull = random.below(10) === 0;
      net.b.isFull = random.below(10) === 0;
      net.step();
      apps[random.below(apps.length)].act();
    }
    net.a.isFull = net.b.isFull = false;
    const isOver = net.run(() => {
      for (const app of apps) app.finish();
      return apps.every(({ connection, ended }) => connection === null || ended > 0);
    }, 3_600_000);
    const left = apps.filter(({ ended }) => ended === 0).map(({ connection }) => connection?.flow);
    assert(isOver, `${left.length} have not ended`);
    for (const app of apps) {
      assert(app.isExact, "what was read is what was written");
      assert(app.ended <= 1, "the end is told once");
    }
    assert(net.run(() => count(net) === 0, 600_000), `${count(net)} connections are left`);
    assertEquals([net.a.pool.usedBytes, net.b.pool.usedBytes], [0, 0]);
    assertEquals([net.a.tcp.halfOpenCount, net.b.tcp.halfOpenCount], [0, 0]);
    assertEquals([net.a.tcp.nextTimeoutMs(), net.b.tcp.nextTimeoutMs()], [Infinity, Infinity]);
  });
}

function count(net: Net): number {
  return [...net.a.tcp.connections(), ...net.b.tcp.connections()].length;
}
