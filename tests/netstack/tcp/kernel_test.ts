/**
 * The same bytes both ways between this stack and the kernel's TCP, in both roles: the stream is exact
 * in every case.
 */
import { assert, assertEquals } from "@std/assert";
import { type TcpConnection, TcpEnd } from "../../../src/netstack/tcp/tcp_socket.ts";
import type { RunResult } from "../../netns/command.ts";
import type { Net } from "../../netns/net.ts";
import { StreamApp, streamBytes } from "../../sim/tcp_stream.ts";
import { address, OWN4, OWN6, PEER4, PEER6 } from "../packets.ts";
import { type KernelOptions, TcpKernelScene, tcpKernelTest } from "./kernel_scene.ts";

const PORT = 5000;
const KIB = 1024;

interface Plan {
  /** Bytes from us to the kernel, and back. */
  readonly up: number;
  readonly down: number;
  readonly takesPieces?: boolean;
}

/** ncat with the stream as its input; what it receives is compared at the end. */
class KernelEnd {
  readonly #folder: string;
  result: RunResult | undefined;
  #promise: Promise<void> | undefined;

  /** `namespace`: where it runs, the scene's own if left out. */
  constructor(
    readonly scene: TcpKernelScene,
    net: Net,
    readonly down: number,
    readonly namespace = scene.name,
  ) {
    this.#folder = net.folder;
    Deno.writeFileSync(`${this.#folder}/in`, streamBytes(down));
  }

  start(...argv: string[]): void {
    const command = `exec ncat ${argv.join(" ")} < ${this.#folder}/in > ${this.#folder}/out`;
    this.#promise = this.scene.spawn(["sh", "-c", command], this.namespace).then((result) => {
      this.result = result;
    });
  }

  async check(up: number): Promise<void> {
    await this.#promise;
    assertEquals([this.result!.code, this.result!.stderr], [0, ""]);
    const received = Deno.readFileSync(`${this.#folder}/out`);
    assertEquals(received.length, up, "bytes that the kernel's end has received");
    const expected = streamBytes(up);
    const wrong = received.findIndex((byte, i) => byte !== expected[i]);
    assertEquals(wrong, -1, "first wrong byte at the kernel's end");
  }
}

/** The kernel's end connects to us. */
async function asServer(scene: TcpKernelScene, net: Net, own: string, plan: Plan): Promise<void> {
  const app = new StreamApp(scene, plan.up, plan.takesPieces);
  scene.stack.tcp.listen(null, PORT, {
    onSyn: (pending) => app.connection = pending.accept(app),
    onPendingGone: () => {},
  });
  scene.onTurn = () => app.turn();
  const kernel = new KernelEnd(scene, net, plan.down);
  kernel.start(own, `${PORT}`);
  await scene.pump("the end of both streams", () => kernel.result !== undefined && isOver(app));
  await finish(scene, app, kernel, plan);
}

/** We connect to the kernel's end, again and again until somebody listens there. */
async function asClient(scene: TcpKernelScene, net: Net, peer: string, plan: Plan): Promise<void> {
  const kernel = new KernelEnd(scene, net, plan.down);
  kernel.start("-l", peer, `${PORT}`);
  let app = new StreamApp(scene, plan.up, plan.takesPieces);
  let retryMs = 0;
  scene.onTurn = () => {
    const mayTry = app.connection === null || app.end === TcpEnd.Refused;
    if (mayTry && performance.now() >= retryMs) {
      retryMs = performance.now() + 20;
      app = new StreamApp(scene, plan.up, plan.takesPieces);
      app.connection = scene.stack.tcp.connect(address(peer), PORT, app, scene.nowMs);
    }
    app.turn();
  };
  await scene.pump("the end of both streams", () => kernel.result !== undefined && isOver(app));
  await finish(scene, app, kernel, plan);
}

function isOver(app: StreamApp): boolean {
  return app.end !== null && app.end !== TcpEnd.Refused;
}

async function finish(
  scene: TcpKernelScene,
  app: StreamApp,
  kernel: KernelEnd,
  plan: Plan,
): Promise<void> {
  await kernel.check(plan.up);
  assertEquals([app.end, app.received], [TcpEnd.Closed, plan.down]);
  scene.takeDrops();
}

const PATHS: Readonly<Record<string, KernelOptions>> = {
  "super-segments": { offload: true },
  "single packets": {},
  "an MTU of 576": { mtu: 576 },
  "a small MSS of ours": { offload: true, mtu: 700, kernelMtu: 1500 },
  "every 50th packet lost": { loseEvery: 50 },
  "every 11th packet lost": { loseEvery: 11 },
  "8 % lost": { lost: 0.08 },
  "ECN asked for by both": {
    loseEvery: 97,
    tcp: { requestsEcn: true },
    sysctls: { "ipv4/tcp_ecn": 1 },
  },
  "no SACK": { loseEvery: 61, sysctls: { "ipv4/tcp_sack": 0 } },
  "no timestamps": { loseEvery: 61, sysctls: { "ipv4/tcp_timestamps": 0 } },
  "no window scale": { offload: true, sysctls: { "ipv4/tcp_window_scaling": 0 } },
  "no options at all": {
    loseEvery: 61,
    sysctls: { "ipv4/tcp_sack": 0, "ipv4/tcp_timestamps": 0, "ipv4/tcp_window_scaling": 0 },
  },
  "small buffers in the kernel": {
    offload: true,
    sysctls: { "ipv4/tcp_rmem": "4096 8192 16384", "ipv4/tcp_wmem": "4096 8192 16384" },
  },
  "small buffers here": {
    offload: true,
    tcp: { receiveBytesFirst: 8192, receiveBytesMax: 16_384, sendBytesMax: 65_536 },
  },
};

for (const [name, options] of Object.entries(PATHS)) {
  const isLossy = options.loseEvery !== undefined || options.lost !== undefined;
  const plan: Plan = isLossy
    ? { up: 300 * KIB, down: 200 * KIB }
    : { up: 3000 * KIB, down: 2000 * KIB };
  const families = (options.mtu ?? 1280) < 1280 ? [4] : [4, 6];
  for (const family of families) {
    tcpKernelTest(`we answer, IPv${family}, ${name}`, options, async (scene, net) => {
      await asServer(scene, net, family === 4 ? OWN4 : OWN6, plan);
    });
    tcpKernelTest(`we connect, IPv${family}, ${name}`, options, async (scene, net) => {
      await asClient(scene, net, family === 4 ? PEER4 : PEER6, { ...plan, takesPieces: true });
    });
  }
}

tcpKernelTest("a port where nobody listens is refused", {}, async (scene) => {
  const app = new StreamApp(scene, 0);
  app.connection = scene.stack.tcp.connect(address(PEER4), PORT, app, scene.nowMs);
  await scene.pump("the refusal", () => app.end !== null);
  assertEquals(app.end, TcpEnd.Refused);
});

tcpKernelTest("our refusal reaches the kernel's program", {}, async (scene, net) => {
  const kernel = new KernelEnd(scene, net, 0);
  kernel.start(OWN4, `${PORT}`);
  await scene.pump("the program's end", () => kernel.result !== undefined);
  assert(/refused/i.test(kernel.result!.stderr), kernel.result!.stderr);
});

tcpKernelTest("our abort reaches the kernel's program as a reset", {}, async (scene, net) => {
  let connection: TcpConnection | null = null;
  const app = new StreamApp(scene, 1000 * KIB);
  app.onConnected = () => {};
  scene.stack.tcp.listen(null, PORT, {
    onSyn: (pending) => app.connection = connection = pending.accept(app),
    onPendingGone: () => {},
  });
  scene.onTurn = () => {
    if (connection !== null && app.received > 0) connection.abort();
    app.turn();
  };
  const kernel = new KernelEnd(scene, net, 1000 * KIB);
  kernel.start(OWN4, `${PORT}`);
  await scene.pump("the program's end", () => kernel.result !== undefined);
  assert(/reset/i.test(kernel.result!.stderr), kernel.result!.stderr);
  assertEquals(app.end, TcpEnd.Aborted);
});

for (const own of [OWN4, OWN6]) {
  tcpKernelTest(
    `a smaller MTU behind the kernel is found by ICMP, to ${own}`,
    {},
    async (scene, net) => {
      const far = await net.namespace("far");
      await net.veth(
        { namespace: scene.name, name: "near0", addresses: ["192.168.80.1/24", "fd80::1/64"] },
        { namespace: far, name: "far0", addresses: ["192.168.80.2/24", "fd80::2/64"] },
      );
      await net.forward(scene.name);
      await net.ip(scene.name, ["link set near0 mtu 1280"]);
      await net.ip(far, [
        "route add 10.0.0.0/24 via 192.168.80.1 congctl lock cubic",
        "route add fd00::/64 via fd80::1 congctl lock cubic",
      ]);
      const app = new StreamApp(scene, 500 * KIB);
      scene.stack.tcp.listen(null, PORT, {
        onSyn: (pending) => app.connection = pending.accept(app),
        onPendingGone: () => {},
      });
      scene.onTurn = () => app.turn();
      const kernel = new KernelEnd(scene, net, 0, far);
      kernel.start(own, `${PORT}`);
      await scene.pump("the end of the stream", () => kernel.result !== undefined);
      await kernel.check(500 * KIB);
      assertEquals(scene.stack.output.pathMtus.count, 1, "paths that ICMP has told of");
    },
  );
}
