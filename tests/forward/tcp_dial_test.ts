/** What a peer's SYN leads to. */
import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Errno } from "../../src/base/errno.ts";
import type { LocalService } from "../../src/forward/local_services.ts";
import { Scene, WEB } from "./scene.ts";

const ANYWHERE: LocalService = { ...WEB, host: null, port: 80 };

Deno.test("a SYN is answered only after the host is connected", () => {
  const scene = new Scene();
  const pending = scene.syn();
  assertEquals(pending.answer, "none");
  assertEquals(scene.host.last.port, 8080);
  scene.settle();
  assertEquals(pending.answer, "none");
  scene.host.dialled(scene.host.last);
  scene.settle();
  assertEquals(pending.answer, "accepted");
  assertEquals(scene.forwarder.tcp.dialCount, 0);
});

Deno.test("a port that is not offered is refused without a dial", () => {
  const scene = new Scene();
  assertEquals(scene.syn({ localPort: 81 }).answer, "refused");
  assertEquals(scene.host.sockets.length, 0);
  assertEquals(scene.drops.get(DropReason.NotOffered), 1);
  scene.assertEmpty();
});

Deno.test("what the host refuses is refused to the peer", () => {
  const scene = new Scene();
  const pending = scene.syn();
  scene.host.dialled(scene.host.last, -Errno.ECONNREFUSED);
  scene.settle();
  assertEquals(pending.answer, "refused");
  scene.assertEmpty();
});

Deno.test("a refusal that is known at once is told at once", () => {
  const scene = new Scene();
  scene.host.openErrors.push(-Errno.ECONNREFUSED);
  assertEquals(scene.syn().answer, "refused");
  scene.assertEmpty();
});

Deno.test("a host that cannot be reached is told by ICMP", () => {
  for (const errno of [Errno.EHOSTUNREACH, Errno.ENETUNREACH, Errno.ETIMEDOUT]) {
    const scene = new Scene();
    const pending = scene.syn();
    scene.host.dialled(scene.host.last, -errno);
    scene.settle();
    assertEquals(pending.answer, "unreachable");
    scene.assertEmpty();
  }
});

Deno.test("a dial without an answer is given up, and told by ICMP", () => {
  const scene = new Scene();
  const pending = scene.syn();
  scene.pass(9000);
  assertEquals(pending.answer, "none");
  scene.pass(3000);
  assertEquals(pending.answer, "unreachable");
  scene.assertEmpty();
  assertEquals(scene.forwarder.nextTimeoutMs(), Infinity);
});

Deno.test("a service of this host is found on either loopback address, of the flow's family first", () => {
  const scene = new Scene([ANYWHERE]);
  const pending = scene.syn({ ipVersion: 6 });
  assertEquals(scene.host.last.address.length, 16);
  scene.host.dialled(scene.host.last, -Errno.ECONNREFUSED);
  scene.settle();
  assertEquals([...scene.host.last.address], [127, 0, 0, 1]);
  assertEquals(pending.answer, "none");
  scene.host.dialled(scene.host.last);
  scene.settle();
  assertEquals(pending.answer, "accepted");
  assertEquals(scene.host.open.length, 1);
});

Deno.test("refused on one loopback and missing on the other is refused", () => {
  const scene = new Scene([ANYWHERE]);
  const pending = scene.syn();
  scene.host.openErrors.push(-Errno.EADDRNOTAVAIL);
  scene.host.dialled(scene.host.last, -Errno.ECONNREFUSED);
  scene.settle();
  assertEquals(pending.answer, "refused");
  scene.assertEmpty();
});

Deno.test("a SYN that is withdrawn while the host is dialled ends the dial", () => {
  const scene = new Scene();
  const pending = scene.syn();
  scene.forwarder.tcp.onPendingGone(pending);
  assertEquals(pending.answer, "none");
  scene.assertEmpty();
});

Deno.test("a SYN that is gone when the host is connected resets the host", () => {
  const scene = new Scene();
  const pending = scene.syn();
  pending.isGone = true;
  scene.host.dialled(scene.host.last);
  scene.settle();
  assertEquals(scene.host.last.state, "aborted");
  scene.assertEmpty();
});

Deno.test("a thousand dials of one client to a black hole leave room for others, and end", () => {
  const scene = new Scene([WEB], { dialsMax: 100, dialsPerClientMax: 20 });
  const hostile = Uint8Array.of(10, 9, 9, 9);
  const answers = new Map<string, number>();
  for (let i = 0; i < 1000; i++) {
    const { answer } = scene.syn({ remoteAddress: hostile, remotePort: 10_000 + i });
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  assertEquals(answers, new Map([["none", 20], ["dropped", 980]]));
  assertEquals(scene.host.open.length, 20);
  assertEquals(scene.drops.get(DropReason.FlowLimit), 980);
  scene.open({ remoteAddress: Uint8Array.of(10, 9, 9, 8) });
  scene.pass(20_000);
  assertEquals(scene.host.open.length, 1);
  assertEquals(scene.syn({ remoteAddress: hostile }).answer, "none");
});

Deno.test("all dials and all flows together are bounded", () => {
  const scene = new Scene([WEB], { dialsMax: 3, tcpFlowsMax: 5 });
  const client = (i: number) => ({ remoteAddress: Uint8Array.of(10, 9, 9, i) });
  const answers = Array.from({ length: 5 }, (_, i) => scene.syn(client(i)).answer);
  assertEquals(answers, ["none", "none", "none", "dropped", "dropped"]);
  for (const socket of scene.host.open) scene.host.dialled(socket);
  scene.settle();
  const more = Array.from({ length: 3 }, (_, i) => scene.syn(client(i + 10)).answer);
  assertEquals(more, ["none", "none", "dropped"]);
});

Deno.test("one client cannot take all flows", () => {
  const scene = new Scene([WEB], { tcpFlowsPerClientMax: 2 });
  const hostile = { remoteAddress: Uint8Array.of(10, 9, 9, 9) };
  const first = scene.open(hostile);
  scene.open(hostile);
  assertEquals(scene.syn(hostile).answer, "dropped");
  scene.open({ remoteAddress: Uint8Array.of(10, 9, 9, 8) });
  scene.host.fail(first.socket, Errno.ECONNRESET);
  scene.settle();
  scene.open(hostile);
});

Deno.test("when descriptors have run out new flows are refused and the others go on", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  for (const errno of [Errno.EMFILE, Errno.ENFILE, Errno.ENOBUFS]) {
    scene.host.openErrors.push(-errno);
    assertEquals(scene.syn().answer, "refused");
  }
  assertEquals(scene.drops.get(DropReason.FlowLimit), 3);
  connection.deliver([1, 2, 3]);
  assertEquals(socket.written, [1, 2, 3]);
});

Deno.test("events of a flow that is over touch nothing", () => {
  const scene = new Scene();
  const { socket } = scene.open();
  scene.host.fail(socket, Errno.ECONNRESET);
  scene.settle();
  scene.assertEmpty();
  scene.host.raise(socket, 0x1d);
  scene.settle();
  scene.syn();
  scene.settle();
  assert(scene.host.last.state === "open");
});

Deno.test("other services can be offered while flows exist", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  scene.forwarder.setReachable({ services: [{ ...WEB, firstPort: 81, lastPort: 81 }] });
  assertEquals(scene.syn().answer, "refused");
  assertEquals(scene.syn({ localPort: 81 }).answer, "none");
  connection.deliver([1]);
  assertEquals(socket.written, [1]);
});
