/** Services of a host without root, reached by the kernel at the other end of the tunnel. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Foreground } from "../cli/longhaul.ts";
import { run, waitFor } from "./command.ts";
import { Net } from "./net.ts";
import {
  INNER_V4,
  INNER_V6,
  ROOTLESS_NEEDS,
  type RootlessScene,
  startRootless,
} from "./rootless.ts";
import { digestOf, program } from "./stream_program.ts";
import { assertIperf, assertPing, iperf3 } from "./traffic.ts";

const IPERF = "LocalServices = 5201-5999, udp:5201-5999";

interface Scene extends RootlessScene {
  readonly net: Net;
  /** Starts a server at the rootless node's host. */
  serve(...args: (string | number)[]): Promise<Foreground>;
  /** Runs a client at the other end: what it prints. */
  ask(...args: (string | number)[]): Promise<Record<string, unknown>>;
}

function serviceTest(
  name: string,
  services: string | readonly string[],
  scenario: (scene: Scene) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name,
    ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startRootless(net, [services].flat());
      try {
        await scenario({
          ...scene,
          net,
          serve: async (...args) => {
            const server = Foreground.start(net, scene.home, program(...args));
            await server.says(/listening/);
            return server;
          },
          ask: async (...args) => {
            const { stdout } = await run(program(...args), {
              namespace: scene.away,
              timeoutMs: 60_000,
            });
            return JSON.parse(stdout);
          },
        });
        await assertPing(scene.away, INNER_V4);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

for (const [family, address] of [["IPv4", INNER_V4], ["IPv6", INNER_V6]] as const) {
  serviceTest(`iperf3 runs both ways over ${family}`, IPERF, async ({ home, away }) => {
    const ends = { client: away, server: home, address };
    for (const args of [[], ["-R"], ["--bidir"], ["-M", "517"], ["-M", "517", "-R"]]) {
      await assertIperf({ ...ends, seconds: 1, args }, 10);
    }
    await assertIperf({ ...ends, args: ["-u", "-b", "50M"] });
  }, ["iperf3"]);
}

serviceTest("fifty streams at once are served, both ways", IPERF, async ({ home, away }) => {
  const ends = { client: away, server: home, address: INNER_V4 };
  await assertIperf({ ...ends, seconds: 2, args: ["-P", "50"] }, 10);
  await assertIperf({ ...ends, seconds: 2, args: ["-P", "50", "-R"] }, 10);
}, ["iperf3"]);

serviceTest(
  "twenty million bytes arrive as they were, and the answer after the peer's end too",
  "LocalServices = 8000:127.0.0.1:9000",
  async ({ serve, ask }) => {
    await serve("sum-server", 9000);
    for (const [address, bytes] of [[INNER_V4, 20e6], [INNER_V6, 20e6], [INNER_V4, 0]] as const) {
      const { answer } = await ask("sum-client", address, 8000, bytes);
      assertEquals(answer, digestOf(bytes));
    }
  },
);

serviceTest(
  "twenty million bytes come out as they were, and what the peer says after the host's end goes in",
  "LocalServices = 9001",
  async ({ serve, net, away }) => {
    const server = await serve("give-server", 9001, 20e6);
    Foreground.start(net, away, program("give-client", INNER_V4, 9001));
    await server.says(/"answer"/, 30_000);
    assert(server.log.includes(digestOf(20e6)), server.log);
  },
);

for (const setting of ["Encryptors = 1", "Encryptors = 2", "Offload = no-udp-gso, no-udp-gro"]) {
  serviceTest(
    `streams are exact with ${setting}`,
    ["LocalServices = 8000:127.0.0.1:9000, 9001", setting],
    async ({ serve, ask, net, away }) => {
      await serve("sum-server", 9000);
      const giver = await serve("give-server", 9001, 5e6);
      assertEquals((await ask("sum-client", INNER_V6, 8000, 5e6)).answer, digestOf(5e6));
      Foreground.start(net, away, program("give-client", INNER_V6, 9001));
      await giver.says(/"answer"/, 30_000);
      assert(giver.log.includes(digestOf(5e6)), giver.log);
    },
  );
}

serviceTest(
  "a port that nobody listens at and one that is not offered are refused at once",
  "LocalServices = 7000",
  async ({ ask }) => {
    for (const port of [7000, 7001]) {
      for (const address of [INNER_V4, INNER_V6]) {
        const { code, ms } = await ask("refused-client", address, port);
        assertEquals(code, "ECONNREFUSED");
        assert(Number(ms) < 2000, `after ${ms} ms`);
      }
    }
  },
);

serviceTest(
  "UDP datagrams of any length come back, a dead port is told, also to IPv6",
  "LocalServices = udp:6000:127.0.0.1:6100, udp:6001",
  async ({ serve, ask, away }) => {
    await serve("echo-server", 6100);
    for (const address of [INNER_V4, INNER_V6]) {
      assertEquals(await ask("echo-client", address, 6000, 100), { code: "", answers: 100 });
      for (const port of [6001, 6002]) {
        await assertUdpRefused(away, address, port);
      }
    }
  },
);

serviceTest(
  "a web server of the host is reached by its pages",
  "LocalServices = 80:127.0.0.1:8080",
  async (scene) => {
    const { net, home, away } = scene;
    const handler = `Deno.serve({ hostname: "127.0.0.1", port: 8080 }, (request) => {
    const bytes = Number(new URL(request.url).searchParams.get("bytes"));
    return new Response(new Uint8Array(bytes).fill(120));
  })`;
    const server = Foreground.start(net, home, [Deno.execPath(), "eval", handler]);
    await server.says(/Listening/);
    for (const bytes of [1, 100_000, 10_000_000]) {
      const argv = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
      const page = `http://${INNER_V4}/?bytes=${bytes}`;
      const { stdout } = await run([...argv, page], { namespace: away });
      assertEquals(stdout, `200 ${bytes}`);
    }
    const [a, b] = [`http://${INNER_V4}/?bytes=3`, `http://[${INNER_V6}]/?bytes=4`];
    const { stdout } = await run(["curl", "-sSg", a, a, b], { namespace: away });
    assertEquals(stdout, "x".repeat(10));
  },
  ["curl"],
);

serviceTest("a client that is killed in a transfer leaves nothing behind", IPERF, async (scene) => {
  const { home, away, kernel } = scene;
  const transfer = iperf3({ client: away, server: home, address: INNER_V4, seconds: 20 });
  await waitFor("the transfer runs", 5000, async () => {
    return (await kernel.show()).peers[0].sentBytes > 20e6;
  });
  await killAll(away, "iperf3");
  await transfer.catch(() => {});
  await assertIperf({ client: away, server: home, address: INNER_V4, seconds: 1 }, 10);
}, ["iperf3"]);

/** Kills the programs of that name in a namespace, by their ids. */
async function killAll(namespace: string, name: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "pids", namespace]);
  for (const pid of stdout.trim().split("\n")) {
    const comm = await Deno.readTextFile(`/proc/${pid}/comm`).catch(() => "");
    if (comm.trim() === name) Deno.kill(Number(pid), "SIGKILL");
  }
}

/** Asserts that a second datagram cannot be sent because the first was answered by ICMP. */
async function assertUdpRefused(namespace: string, address: string, port: number): Promise<void> {
  const script = `exec 3<>/dev/udp/${address}/${port}; for i in $(seq 50); do
    echo x >&3 || exit 7; sleep 0.1; done`;
  const { code, stderr } = await run(["bash", "-c", script], { namespace, mayFail: true });
  assertEquals(code, 7, stderr);
  assert(stderr.includes("Connection refused"), stderr);
}
