import { assert, assertEquals } from "@std/assert";
import { fixedBytes } from "../../ffi/memory.ts";
import { internetAddress } from "../../ffi/socket.ts";
import { pause, waitFor } from "../netns/command.ts";
import { assertAlive, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertIperf, assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { RoguePeer } from "./rogue_peer.ts";
import { address4, UdpSocket } from "./sockets.ts";
import { addRogue, attackedPair, flood, TARGET } from "./scene.ts";

const GARBAGE_LENGTHS = [0, 1, 3, 4, 31, 32, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1472, 65_507];

pairTest(
  "hazard 66: datagrams of every odd length are not answered and disturb nobody",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    using socket = new UdpSocket(scene.attacker);
    const to = internetAddress(address4(TARGET), scene.b.port);
    for (const length of GARBAGE_LENGTHS) {
      for (let type = 0; type < 6; type++) {
        const bytes = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_000)));
        const datagram = new Uint8Array(length);
        datagram.set(bytes);
        if (length >= 4 && type > 0) datagram.set([type, 0, 0, 0]);
        socket.send(datagram, to);
      }
      await pause(1);
    }
    await assertPing(scene.a.namespace, scene.b.inner4);
    assertEquals(socket.receiveAll().map((bytes) => bytes.length), []);
    assertAlive(scene.a, scene.b);
  },
);

pairTest(
  "hazard 66: a live tunnel goes on during a flood of garbage, and none of it is answered",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { a, b } = scene;
    using socket = new UdpSocket(scene.attacker);
    const to = internetAddress(address4(TARGET), b.port);
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 };
    const before = await assertIperf(ends);
    // Runs of 40: initiations and responses with a wrong mac1, data with unknown indexes.
    const runs = [[1, 148], [2, 92], [3, 64], [4, 148], [4, 32], [9, 100]].map(([type, bytes]) => {
      const run = crypto.getRandomValues(fixedBytes(40 * bytes));
      for (let i = 0; i < 40; i++) run.set([type, 0, 0, 0], i * bytes);
      return { run, bytes };
    });
    const transfer = assertIperf(ends);
    await pause(300);
    let next = 0;
    const sent = await flood(1700, () => {
      const { run, bytes } = runs[next++ % runs.length];
      return socket.sendRun(run, run.length, to, bytes) > 0 ? 40 : 0;
    });
    const during = await transfer;
    const mbit = (n: number) => Math.round(n / 1e6);
    console.log(
      `${mbit(before.bitsPerSecond)} Mbit/s before, ${mbit(during.bitsPerSecond)} during ` +
        `${Math.round(sent / 1.7)} garbage datagrams/s`,
    );
    assertEquals(socket.receiveAll().map((bytes) => bytes.length), []);
    await assertPing(a.namespace, b.inner4);
    assertAlive(a, b);
  },
);

pairTest(
  "hazard 67, 70: a flood with a right mac1 gets cookies, never larger than what they answer, " +
    "and a peer still connects",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { a, b } = scene;
    const liar = new RoguePeer(newKeyPair(), b.key.publicKey, TARGET, b.port);
    const messages = Array.from(
      { length: 64 },
      (_, i) => i % 8 === 0 ? liar.forged(2, 92) : liar.forged(1, 148),
    );
    const sockets = Array.from({ length: 100 }, () => new UdpSocket(scene.attacker));
    try {
      let next = 0;
      const burst = () => {
        for (let i = 0; i < 20; i++) {
          const message = messages[next % messages.length];
          sockets[next % sockets.length].sendRun(message, message.length, liar.to);
          next++;
        }
        return 20;
      };
      let answers: Uint8Array[] = [];
      const flooding = flood(7000, () => {
        const sent = burst();
        answers = answers.concat(sockets[next % sockets.length].receiveAll());
        return sent;
      });
      await pause(500);
      // a forgets everything and has to begin anew, while b is under load.
      await a.node.set("peer", b.key.publicKey, "remove");
      await a.node.set(
        ...["peer", b.key.publicKey, "endpoint", scene.endpointB],
        ...["allowed-ips", `${b.inner4}/32`],
      );
      // Its initiation of this second counts as a replay at worst; then the retry has to do.
      await pingUntilAnswered(a.namespace, b.inner4, 14_000);
      await flooding;
      for (const socket of sockets) answers = answers.concat(socket.receiveAll());
      assert(answers.length > 0, "no cookies came");
      for (const answer of answers) {
        assertEquals([answer.length, answer[0]], [64, MessageType.CookieReply]);
      }
      console.log(`${next} messages, ${answers.length} cookies`);
    } finally {
      for (const socket of sockets) socket[Symbol.dispose]();
    }
    assertAlive(a, b);
  },
);

pairTest(
  "hazard 67: under load a peer that shows its cookie is answered at once",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { rogue } = await addRogue(scene);
    const liar = new RoguePeer(newKeyPair(), scene.b.key.publicKey, TARGET, scene.b.port);
    using flooder = new UdpSocket(scene.attacker);
    using socket = new UdpSocket(scene.attacker);
    const message = liar.forged(1, 148);
    const underLoad = () => {
      for (let i = 0; i < 2000; i++) flooder.sendRun(message, message.length, liar.to);
    };
    const cookie = await waitFor("a cookie comes", 5000, () => {
      underLoad();
      socket.send(rogue.initiation().message, rogue.to);
      const answer = socket.receive(300);
      return answer?.length === 64 && rogue.acceptCookie(answer) ? answer : null;
    });
    assertEquals(cookie[0], MessageType.CookieReply);
    await pause(50);
    // The flood itself may push a message out of the queue; what is heard is answered.
    const { response, complete } = await waitFor("an answer comes", 5000, () => {
      underLoad();
      const { message: second, complete } = rogue.initiation();
      socket.send(second, rogue.to);
      const response = socket.receive(1000);
      return response === null ? null : { response, complete };
    });
    assertEquals(response.length, 92);
    complete(response);
  },
);
