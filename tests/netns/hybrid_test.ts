/** An interface and a userspace stack beside it; and a host where no interface can be made. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { run } from "./command.ts";
import { lanProgram } from "./lan_program.ts";
import { AWAY_V4, AWAY_V6, INNER_V4, INNER_V6 } from "./rootless.ts";
import { FAR_V4, FAR_V6, LAN_V4, servedTest } from "./served.ts";
import { assertIperf, assertPing } from "./traffic.ts";

for (
  const [name, lines] of [
    ["prefixes of Netstack go to the stack, the interface keeps the rest", [
      "Mode = hybrid",
      "Netstack = 10.50.0.0/16, 10.60.0.0/16, fd60::/64",
    ]],
    ["a node that serves everything as root has an interface and a stack", [
      "Serve = 0.0.0.0/0, ::/0",
    ]],
  ] as const
) {
  servedTest(
    name,
    lines,
    async (scene) => {
      const { home, away, far } = scene;
      // The kernel's own address, both ways.
      for (const address of [INNER_V4, INNER_V6]) await assertPing(away, address);
      for (const address of [AWAY_V4, AWAY_V6]) await assertPing(home, address);
      await assertIperf({ client: away, server: home, address: INNER_V4, seconds: 1 }, 10);
      // Through the stack, although the kernel forwards nothing.
      const { stdout: forwards } = await run(["cat", "/proc/sys/net/ipv4/ip_forward"], {
        namespace: home,
      });
      assertEquals(forwards.trim(), "0");
      for (const address of [FAR_V4, FAR_V6]) {
        await assertPing(away, address);
        await assertIperf({ client: away, server: far, address, seconds: 1 }, 10);
        await assertIperf({ client: away, server: far, address, seconds: 1, args: ["-R"] }, 10);
      }
      await scene.start(far, lanProgram("echo", 6100), /listening/);
      const { stdout } = await run(lanProgram("flow", FAR_V4, 6100, 500, 1200), {
        namespace: away,
      });
      const { answers, lost } = JSON.parse(stdout);
      assert(answers >= 480, `${answers} answers, ${lost} lost`);
      const { stdout: hops } = await run(["traceroute", "-n", "-q", "1", "-w", "2", "-I", FAR_V4], {
        namespace: away,
      });
      assertMatch(hops, new RegExp(`1 +10\\.77\\.0\\.1 .*\n *2 +${LAN_V4} .*\n *3 +${FAR_V4} `));
    },
    ["iperf3", "traceroute"],
    { asRoot: "with a TUN" },
  );
}

servedTest(
  "where there is no /dev/net/tun, root gets a node without an interface, and is told",
  [
    "Serve = 10.0.0.0/8",
  ],
  async ({ up, away }) => {
    assertMatch(up.log, /rootless \(\/dev\/net\/tun cannot be opened/);
    await assertPing(away, INNER_V4);
    await assertPing(away, FAR_V4);
  },
  [],
  { asRoot: "without a TUN" },
);
