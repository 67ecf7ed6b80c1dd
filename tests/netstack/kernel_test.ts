/**
 * The kernel as judge: a stack at one end of a TUN, the kernel and its programs at the other. What
 * each sends in fragments the other puts together, and each heeds the other's ICMP errors.
 */
import { assert, assertEquals } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { FfiMemory } from "../../ffi/memory.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { openTun, TunQueue } from "../../ffi/tun.ts";
import { EchoVerdict } from "../../src/netstack/icmp.ts";
import { IcmpErrorKind } from "../../src/netstack/inbound.ts";
import type { UdpSocket } from "../../src/netstack/udp_socket.ts";
import { IovecWriter } from "../../src/offload/iovec.ts";
import { run, type RunResult } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { pattern } from "../offload/packet_builder.ts";
import { requires } from "../requires.ts";
import { address, OWN4, OWN6, PEER4, PEER6 } from "./packets.ts";
import { StackScene } from "./stack_scene.ts";

const needs = requires("root", "tun", "ip", "nsenter", "ping");
const READ_AT = 1 << 14;
const WRITE_AT = 1 << 15;
const IOVEC_AT = 4096;
const HEADER = 10;
const CAPACITY = 1500 + HEADER;

/** A stack on a TUN whose other end is the kernel of a namespace: 10.0.0.2 and fd00::2. */
class KernelScene extends StackScene {
  readonly #queue: TunQueue;
  readonly #iovecs: IovecWriter;
  readonly name: string;

  constructor(name: string, fd: number) {
    super({ mtu: 1420 });
    this.name = name;
    const memory = new FfiMemory(this.slab);
    this.#queue = new TunQueue(memory, fd, false);
    this.#iovecs = new IovecWriter(this.slab, memory.addressNumber);
  }

  /** Carries packets both ways until `isDone`. */
  async pump(what: string, isDone: () => boolean): Promise<void> {
    const endMs = performance.now() + 20_000;
    while (!isDone()) {
      assert(performance.now() < endMs, `in time: ${what}`);
      this.advance(performance.now() - this.nowMs);
      this.#readAll();
      this.stack.flush(this.nowMs);
      for (const packet of this.sent()) this.#write(packet);
      if (pollFd(this.#queue.fd, POLLIN, 2) === 0) await new Promise((done) => setTimeout(done, 0));
    }
  }

  #readAll(): void {
    for (;;) {
      const bytes = this.#queue.read(READ_AT, CAPACITY);
      if (bytes < 0) return;
      this.receive(this.slab.u8.slice(READ_AT + HEADER, READ_AT + bytes));
    }
  }

  #write(packet: Uint8Array): void {
    this.slab.u8.set(packet, WRITE_AT + HEADER);
    this.#iovecs.write(IOVEC_AT, WRITE_AT, packet.length + HEADER);
    assertEquals(this.#queue.writev(IOVEC_AT, 1), packet.length + HEADER);
  }

  /** Runs a program at the kernel's end while packets are carried. */
  async run(...argv: string[]): Promise<RunResult> {
    let result: RunResult | undefined;
    let error: unknown;
    run(argv, { namespace: this.name, mayFail: true, timeoutMs: 15_000 }).then(
      (value) => result = value,
      (reason) => error = reason,
    );
    await this.pump(argv.join(" "), () => result !== undefined || error !== undefined);
    if (result === undefined) throw error;
    return result;
  }
}

function kernelTest(name: string, body: (scene: KernelScene, net: Net) => Promise<void>): void {
  Deno.test({
    name: `the kernel as judge: ${name}`,
    ...needs,
    fn: async () => {
      await using net = new Net();
      const namespace = await net.namespace("stack");
      const netnsFd = openNamespace(`/run/netns/${namespace}`);
      net.defer(() => void closeFd(netnsFd));
      const { fd } = withNamespace(netnsFd, () => openTun({ name: "stack0", vnetHeader: false }));
      net.defer(() => void closeFd(fd));
      await net.ip(namespace, [
        "link set stack0 mtu 1420 up",
        `address add ${PEER4}/24 dev stack0`,
        `address add ${PEER6}/64 dev stack0 nodad`,
      ]);
      const scene = new KernelScene(namespace, fd);
      await body(scene, net);
      scene.sent();
      scene.stack.udp.sockets().forEach((socket) => socket.close());
      assertEquals(scene.pool.usedBytes, 0);
    },
  });
}

kernelTest("pings of every size are answered, up to 65,507 bytes in fragments", async (scene) => {
  for (const own of [OWN4, OWN6]) {
    for (const size of [0, 1, 56, 57, 1372, 1373, 1392, 1393, 5000, 65_507]) {
      const argv = ["ping", "-n", "-c", "2", "-i", "0.01", "-W", "5", "-s", `${size}`, own];
      const { code, stdout, stderr } = await scene.run(...argv);
      assertEquals(code, 0, `${own}, ${size} bytes: ${stdout} ${stderr}`);
      assert(stdout.includes("2 received"), stdout);
    }
  }
  assertEquals(scene.takeDrops().FragmentOverlap, undefined);
});

kernelTest("a ping with a pattern comes back byte for byte", async (scene) => {
  const { code, stdout } = await scene.run(
    ...["ping", "-n", "-c", "20", "-i", "0.002", "-s", "9000", "-p", "0123456789abcdef", OWN4],
  );
  assertEquals(code, 0, stdout);
  // ping tells of every byte that differs.
  assert(!stdout.includes("wrong data byte"), stdout);
});

kernelTest("to a closed port its port unreachable reaches our socket", async (scene) => {
  for (const remote of [PEER4, PEER6]) {
    const errors: number[] = [];
    const onError = (_socket: UdpSocket, kind: number) => errors.push(kind);
    const handler = { onDatagram: () => {}, onError };
    const socket = scene.stack.udp.connect(address(remote), 4444, handler)!;
    assert(socket.send(scene.place(pattern(100)), 100));
    await scene.pump("port unreachable", () => errors.length > 0);
    assertEquals(errors, [IcmpErrorKind.PortUnreachable]);
  }
});

kernelTest(
  "a router's Too Big narrows our path, and the fragments get through",
  async (scene, net) => {
    await net.forward(scene.name);
    const far = await net.namespace("far");
    await net.veth(
      {
        namespace: scene.name,
        name: "near",
        mtu: 1280,
        addresses: ["192.168.80.1/24", "fd80::1/64"],
      },
      { namespace: far, name: "far", mtu: 1280, addresses: ["192.168.80.9/24", "fd80::9/64"] },
    );
    await net.ip(far, ["route add default via 192.168.80.1", "route add default via fd80::1"]);
    for (const remote of ["192.168.80.9", "fd80::9"]) {
      const errors: [number, number][] = [];
      const onError = (_socket: UdpSocket, ...error: [number, number]) => errors.push(error);
      const handler = { onDatagram: () => {}, onError };
      const socket = scene.stack.udp.connect(address(remote), 4444, handler)!;
      assert(socket.send(scene.place(pattern(1350)), 1350));
      await scene.pump("too big", () => errors.length > 0);
      assertEquals(errors, [[IcmpErrorKind.TooBig, 1280]]);
      // What the far host answers by "port unreachable" it has put together.
      assert(socket.send(scene.place(pattern(1350)), 1350));
      await scene.pump("port unreachable", () => errors.length > 1);
      assertEquals(errors[1][0], IcmpErrorKind.PortUnreachable);
    }
  },
);

kernelTest(
  "it traces the way through us: Time Exceeded first, then the answer",
  async (scene, net) => {
    scene.stack.acceptsAny = true;
    scene.stack.icmp.forwarder = { onEcho: () => EchoVerdict.Reply };
    await net.ip(scene.name, [
      "route add 192.168.90.0/24 dev stack0",
      "route add fd90::/64 dev stack0",
    ]);
    for (const [target, own] of [["192.168.90.7", OWN4], ["fd90::7", OWN6]]) {
      const flags = ["-n", "-c", "1", "-W", "5", "-t"];
      const first = await scene.run("ping", ...flags, "1", target);
      const isExceeded = /exceeded|Hop limit/.test(first.stdout);
      assert(first.stdout.includes(`From ${own}`) && isExceeded, first.stdout);
      const second = await scene.run("ping", ...flags, "2", target);
      assertEquals(second.code, 0, second.stdout);
      assertEquals(scene.takeDrops().HopLimitExceeded, 1);
    }
  },
);
