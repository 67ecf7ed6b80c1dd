import { assert, assertEquals } from "@std/assert";
import { fixedBytes } from "../../ffi/memory.ts";
import { internetAddress } from "../../ffi/socket.ts";
import { internetChecksum } from "../reference/checksum_reference.ts";
import { pause, run, waitFor } from "../netns/command.ts";
import { assertAlive, connectUp, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertPing, Background, listens } from "../netns/traffic.ts";
import { echo4, inner6, packet4, packet6 } from "./packets.ts";
import { address4, PacketInjector, UdpSocket } from "./sockets.ts";

const PROGRAM = new URL("./transfer_program.ts", import.meta.url).pathname;
const DENO = [Deno.execPath(), "run", "-A", "--no-check", PROGRAM];

pairTest(
  "large transfers arrive unchanged, both ways, at every MSS, with ECN, SACK and timestamps",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    for (const side of [a, b]) {
      await net.sysctl(side.namespace, "ipv4/tcp_ecn", 1);
      await net.sysctl(side.namespace, "ipv4/tcp_min_snd_mss", 48);
    }
    // A little loss outside, so that SACK has something to do.
    for (const side of [a, b]) {
      await run(["nft", "-f", "-"], {
        namespace: side.namespace,
        stdin: [
          "table inet lh {",
          "chain in {",
          "type filter hook input priority 0;",
          `udp dport ${side.port} numgen random mod 1000 < 3 drop`,
          "}",
          "}",
          "",
        ].join("\n"),
      });
    }
    const servers = [a, b].map((side) =>
      new Background(side.namespace, [...DENO, "serve", "9000"])
    );
    try {
      for (const server of servers) {
        await waitFor("the server listens", 10_000, () => listens(server.pid, 9000));
      }
      let seed = 1;
      const send = async (from: typeof a, address: string, bytes: number) => {
        const argv = [...DENO, "send", address, "9000", `${bytes}`, `${seed++}`];
        const { stdout } = await run(argv, { namespace: from.namespace, timeoutMs: 40_000 });
        assertEquals(stdout.trim(), "same", `${bytes} bytes to ${address}`);
      };
      await Promise.all([send(a, b.inner4, 60e6), send(b, a.inner6, 60e6)]);
      for (const mss of [88, 517, 536, 1000, 1333]) {
        await net.ip(a.namespace, [
          `route replace ${b.inner4}/32 dev ${a.node.name} advmss ${mss}`,
        ]);
        await net.ip(b.namespace, [
          `route replace ${a.inner4}/32 dev ${b.node.name} advmss ${mss}`,
        ]);
        await Promise.all([send(a, b.inner4, 3e6), send(b, a.inner4, 3e6)]);
      }
      for (const side of [a, b]) await net.ip(side.namespace, ["link set eth0 mtu 65535"]);
      for (const mtu of [600, 9000, 65_440]) {
        for (const side of [a, b]) {
          await net.ip(side.namespace, [`link set ${side.node.name} mtu ${mtu}`]);
        }
        for (const [from, to] of [[a, b], [b, a]]) {
          await net.ip(from.namespace, [`route replace ${to.inner4}/32 dev ${from.node.name}`]);
        }
        await Promise.all([send(a, b.inner4, 20e6), send(b, a.inner4, 20e6)]);
      }
    } finally {
      for (const server of servers) await server.stop();
    }
    assertAlive(a, b);
  },
  ["nft"],
);

pairTest(
  "runs of datagrams that a host sends with UDP_SEGMENT arrive as they were, in order",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    using sender = new UdpSocket(a.namespace, { local: a.inner4 });
    using receiver = new UdpSocket(b.namespace, { local: b.inner4, port: 9100 });
    const to = internetAddress(address4(b.inner4), 9100);
    let seed = 7;
    for (const segment of [1, 2, 17, 100, 512, 1000, 1391, 1392]) {
      for (const count of [1, 2, 3, 33, 46, 64]) {
        for (const tail of [0, 1, segment - 1]) {
          const length = segment * count - tail;
          if (length <= 0 || length > 65_507 || tail >= segment) continue;
          const run = fixedBytes(length);
          for (let i = 0; i < length; i++) run[i] = seed = (Math.imul(seed, 75) + 74) & 0xff;
          assertEquals(sender.sendRun(run, length, to, segment), length, `${segment} x ${count}`);
          const expected = [];
          for (let at = 0; at < length; at += segment) expected.push(run.slice(at, at + segment));
          for (const [i, datagram] of expected.entries()) {
            const got = receiver.receive(1000);
            assertEquals(got, datagram, `${segment} x ${count} - ${tail}: datagram ${i}`);
          }
        }
      }
    }
    assertEquals(receiver.receive(0), null);
    assertAlive(a, b);
  },
);

pairTest(
  "packets that no stack sends cross the tunnel or are dropped, and never stop it",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    using tun = new PacketInjector(a.namespace, a.node.name);
    const [source, destination] = [a.inner4, b.inner4];
    const random = (n: number) => crypto.getRandomValues(new Uint8Array(n));
    const odd: Uint8Array[] = [];
    // Not IP at all, or less than a header of it.
    for (const n of [1, 2, 19, 20, 39, 40, 60, 1400]) odd.push(random(n), new Uint8Array(n));
    for (let version = 0; version < 16; version++) {
      const packet = echo4(source, destination, 1);
      packet[0] = version << 4 | 5;
      odd.push(packet);
    }
    // Lying lengths.
    for (let words = 0; words < 16; words++) {
      odd.push(
        packet4({ source, destination, protocol: 17, payload: random(64), headerWords: words }),
      );
    }
    for (const totalBytes of [0, 1, 19, 20, 21, 83, 85, 1500, 65_535]) {
      odd.push(packet4({ source, destination, protocol: 17, payload: random(64), totalBytes }));
    }
    // Options, fragments, protocols that nobody knows, broadcast and multicast.
    for (const words of [1, 5, 10]) {
      const options = new Uint8Array(words * 4).fill(1);
      odd.push(packet4({ source, destination, protocol: 1, payload: random(64), options }));
      odd.push(packet4({ source, destination, protocol: 6, payload: random(64), options }));
    }
    for (const fragmentField of [0x2000, 0x2001, 0x1fff, 0x3fff, 0x8000, 0x4001]) {
      odd.push(packet4({ source, destination, protocol: 17, payload: random(8), fragmentField }));
      odd.push(packet4({ source, destination, protocol: 6, payload: random(1), fragmentField }));
    }
    for (let protocol = 0; protocol < 256; protocol += 3) {
      odd.push(packet4({ source, destination, protocol, payload: random(protocol % 40) }));
    }
    for (const far of ["255.255.255.255", "224.0.0.1", "192.168.241.255", "0.0.0.0", "127.0.0.1"]) {
      odd.push(echo4(source, far, 1), echo4(far, destination, 1), echo4(far, far, 1));
    }
    // IPv6: chains of extension headers, whole, too long, cut off, without end; jumbo; fragments.
    const [source6, destination6] = [inner6(1), inner6(2)];
    const extension = (next: number, eighths = 0) => {
      const bytes = new Uint8Array(8 + eighths * 8);
      bytes.set([next, eighths]);
      return bytes;
    };
    for (const type of [0, 43, 44, 51, 60, 135, 59, 50, 255]) {
      for (const chain of [1, 7, 8, 9, 100]) {
        const parts = Array.from(
          { length: chain },
          (_, i) => extension(i === chain - 1 ? 17 : type),
        );
        const payload = Uint8Array.from(parts.flatMap((part) => [...part]));
        odd.push(packet6(source6, destination6, type, payload));
        odd.push(packet6(source6, destination6, type, payload.slice(0, payload.length - 5)));
      }
      const endless = extension(type, 0);
      endless[1] = 255;
      odd.push(packet6(source6, destination6, type, endless));
    }
    const jumbo = Uint8Array.of(59, 0, 0xc2, 4, 0, 1, 0, 0, ...random(100));
    odd.push(packet6(source6, destination6, 0, jumbo, 0));
    for (const length of [0, 1, 39, 41, 65_535]) {
      odd.push(packet6(source6, destination6, 17, random(40), length));
    }
    const multicast = new Uint8Array(16);
    multicast.set([0xff, 0x02]);
    multicast[15] = 1;
    odd.push(
      packet6(source6, multicast, 58, random(8)),
      packet6(multicast, destination6, 58, random(8)),
    );
    let taken = 0;
    for (let round = 0; round < 5; round++) {
      for (const packet of odd) if (tun.send(packet) > 0) taken++;
      await pause(20);
    }
    assert(taken > odd.length, `${taken} of ${odd.length * 5} packets reached the interface`);
    await assertPing(a.namespace, b.inner4);
    await assertPing(b.namespace, a.inner6);
    assertAlive(a, b);
  },
);

pairTest(
  "packets of any protocol arrive byte for byte: options, fragments, GRE, SCTP, extensions",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    using tun = new PacketInjector(a.namespace, a.node.name);
    const capture = new Background(b.namespace, [
      ...["timeout", "6", "tcpdump", "-i", b.node.name, "-n", "-x", "-l", "-Q", "in", "-s", "0"],
      "--immediate-mode",
    ]);
    await pause(700);
    const [source, destination] = [a.inner4, b.inner4];
    const bytes = (n: number) => crypto.getRandomValues(new Uint8Array(n));
    const sent: Uint8Array[] = [];
    for (const protocol of [2, 4, 41, 47, 50, 51, 89, 103, 112, 132, 253]) {
      sent.push(packet4({ source, destination, protocol, payload: bytes(77), id: protocol }));
    }
    sent.push(packet4({
      source,
      destination,
      protocol: 253,
      payload: bytes(33),
      options: Uint8Array.of(0x94, 4, 0, 0),
    }));
    for (const fragmentField of [0x2000, 0x2004, 0x0009, 0x4000]) {
      sent.push(packet4({ source, destination, protocol: 17, payload: bytes(64), fragmentField }));
    }
    for (const tos of [0x01, 0x02, 0x03, 0xb8, 0xff]) {
      sent.push(packet4({ source, destination, protocol: 253, payload: bytes(5), tos }));
    }
    for (const chain of [1, 4, 8]) {
      const payload = new Uint8Array(chain * 8 + 30);
      crypto.getRandomValues(payload.subarray(chain * 8));
      for (let i = 0; i < chain; i++) {
        payload.set([i === chain - 1 ? 253 : 60, 0, 1, 4, 0, 0, 0, 0], 8 * i);
      }
      sent.push(packet6(inner6(1), inner6(2), 60, payload));
    }
    for (const packet of sent) {
      assertEquals(tun.send(packet), packet.length);
      await pause(3);
    }
    await pause(500);
    const text = await capture.stop();
    const got = text.split(/^\d\d:.*$/m).map((part) =>
      part.replace(/^\s*0x[0-9a-f]+:/gm, "").replace(/\s+/g, "")
    );
    const hex = (packet: Uint8Array) =>
      [...packet].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    for (const packet of sent) {
      assert(got.includes(hex(packet)), `${hex(packet).slice(0, 80)}... has not arrived`);
    }
    assertEquals(internetChecksum(sent[0].slice(0, 20)), 0);
    assertAlive(a, b);
  },
  ["tcpdump"],
);
