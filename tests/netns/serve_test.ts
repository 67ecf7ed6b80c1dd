/** A whole network, and what lies behind it, reached through a node without root and without a TUN. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Foreground } from "../cli/longhaul.ts";
import { run, waitFor } from "./command.ts";
import { INNER_V4, INNER_V6, longhaulAsNobody } from "./rootless.ts";
import {
  FAR_V4,
  FAR_V6,
  HOME_LAN_V4,
  HOME_LAN_V6,
  LAN_V4,
  LAN_V6,
  listens,
  type ServedScene,
  servedTest,
} from "./served.ts";
import { lanProgram } from "./lan_program.ts";
import { SSH_NEEDS, sshCommand, SSHD_PORT, startSshd } from "./ssh.ts";
import { assertIperf, assertPing } from "./traffic.ts";

const EVERYTHING = ["Serve = 0.0.0.0/0, ::/0"];
const BOTH = [FAR_V4, FAR_V6];

/** What a shell command prints at the peer. */
async function ask(scene: ServedScene, script: string, mayFail = false): Promise<string> {
  const { stdout, stderr } = await run(["bash", "-c", script], {
    namespace: scene.away,
    timeoutMs: 60_000,
    mayFail,
  });
  return stdout + (mayFail ? stderr : "");
}

servedTest(
  "pages of nginx on a second host of the LAN, over both families",
  EVERYTHING,
  async (scene) => {
    await startNginx(scene, scene.lan, 8080);
    await startNginx(scene, scene.far, 8080);
    for (const address of [LAN_V4, FAR_V4, `[${LAN_V6}]`, `[${FAR_V6}]`]) {
      const curl = "curl -sSg -o /dev/null -w '%{http_code} %{size_download}'";
      assertEquals(await ask(scene, `${curl} http://${address}:8080/`), "200 5000000");
      const many = Array(5).fill(`http://${address}:8080/small`).join(" ");
      assertEquals(await ask(scene, `curl -sSg ${many}`), "small\n".repeat(5));
    }
  },
  ["curl", "nginx"],
);

servedTest(
  "a shell by ssh at a second host of the LAN, over both families",
  EVERYTHING,
  async (scene) => {
    const key = await startSshd(scene.net, scene.far, "0.0.0.0", "::");
    for (const address of BOTH) {
      const ssh = sshCommand(scene.net, key, address, SSHD_PORT).join(" ");
      assertEquals(await ask(scene, `${ssh} 'echo $((6 * 7))'`), "42\n");
      assertEquals(await ask(scene, `${ssh} head -c 5000000 /dev/zero | wc -c`), "5000000\n");
    }
  },
  SSH_NEEDS,
);

servedTest(
  "names are resolved by UDP and by TCP, at a server of the LAN",
  EVERYTHING,
  async (scene) => {
    await startDns(scene, scene.far);
    for (const server of BOTH) await assertResolves(scene, server);
    const large = await ask(scene, `dig +bufsize=4096 +tries=2 +time=3 @${FAR_V4} large.test TXT`);
    assertMatch(large, /MSG SIZE {2}rcvd: 3\d\d\d/);
  },
  ["dig"],
);

servedTest(
  "of two name servers the one that answers is asked, after some seconds",
  ["LocalServices = dns"],
  async (scene) => {
    await startDns(scene, scene.far);
    await scene.net.ip(scene.lan, ["route add blackhole 10.99.0.0/16"]);
    const { stdout } = await run(
      ["dig", "+short", "+tries=4", "+time=3", `@${INNER_V4}`, "a.test"],
      {
        namespace: scene.away,
      },
    );
    assertEquals(stdout.trim().split("\n").at(-1), "192.0.2.99");
  },
  ["dig"],
  { resolvConf: `nameserver 10.99.0.1\nnameserver ${FAR_V4}\n` },
);

servedTest(
  "the node passes questions on to its host's name server, and hears when that changes",
  [
    "LocalServices = dns",
  ],
  async (scene) => {
    await startDns(scene, scene.far);
    for (const server of [FAR_V4, FAR_V6]) {
      Deno.writeTextFileSync(`${scene.sandbox}/resolv.conf`, `search test\nnameserver ${server}\n`);
      await waitFor(`the server ${server} is asked`, 15_000, async () => {
        const dig = `dig +short +tries=1 +time=1 @${INNER_V4} a.test A`;
        return (await ask(scene, dig, true)).trim() === "192.0.2.99";
      });
      for (const own of [INNER_V4, INNER_V6]) await assertResolves(scene, own);
      // Whoever were asked over IPv4 next would have no way to answer.
      await scene.net.ip(scene.far, [`route replace blackhole ${HOME_LAN_V4}`]);
    }
  },
  ["dig"],
  { resolvConf: "nameserver 10.60.0.99\n" },
);

servedTest(
  "pings of any length, and ways traced by UDP, ICMP and TCP, show the node as a hop",
  EVERYTHING,
  async (scene) => {
    const { away } = scene;
    for (const address of BOTH) {
      await assertPing(away, address);
      await assertPing(away, address, { size: 4000 });
    }
    const hops4 = ["10.77.0.1", LAN_V4, FAR_V4];
    const hops6 = ["fd77::1", LAN_V6, FAR_V6];
    for (const method of ["", "-I"]) {
      assertEquals(await trace(scene, `${method} ${FAR_V4}`), hops4);
      assertEquals(await trace(scene, `-6 ${method} ${FAR_V6}`), hops6);
    }
    assertEquals(await trace(scene, `-T -p 80 ${FAR_V4}`), [hops4[0], FAR_V4]);
  },
  ["traceroute"],
);

for (const address of BOTH) {
  servedTest(`iperf3 runs both ways to ${address}`, EVERYTHING, async (scene) => {
    const ends = { client: scene.away, server: scene.far, address };
    for (const args of [[], ["-R"], ["--bidir"], ["-P", "20"]]) {
      await assertIperf({ ...ends, seconds: 1, args }, 10);
    }
    await assertIperf({ ...ends, args: ["-u", "-b", "30M"] });
    await assertIperf({ ...ends, args: ["-u", "-b", "30M", "-R"] });
  }, ["iperf3"]);
}

servedTest(
  "many datagrams of one flow come back as they were, as HTTP/3 would send them",
  EVERYTHING,
  async (scene) => {
    await scene.start(scene.far, lanProgram("echo", 6100), /listening/);
    for (const address of BOTH) {
      for (const bytes of [1200, 20]) {
        const { stdout } = await run(lanProgram("flow", address, 6100, 5000, bytes), {
          namespace: scene.away,
          timeoutMs: 60_000,
        });
        const { answers, lost } = JSON.parse(stdout);
        assertEquals(answers + lost, 5000);
        assert(lost < 50, `${lost} of 5,000 lost`);
      }
    }
  },
);

servedTest(
  "what is refused and what cannot be reached is told as the host would",
  EVERYTHING,
  async (scene) => {
    for (const address of BOTH) {
      const refused = await connectError(scene, address, 9);
      assertMatch(refused, /Connection refused/);
      const udp = await ask(
        scene,
        `exec 3<>/dev/udp/${address}/9; for i in $(seq 50); do echo x >&3 || exit; sleep 0.1; done`,
        true,
      );
      assertMatch(udp, /Connection refused/);
    }
    assertMatch(await connectError(scene, "10.50.0.77", 80), /No route to host/);
    for (const own of [HOME_LAN_V4, "169.254.169.254"]) {
      assertMatch(await connectError(scene, own, 22), /No route to host/);
      assertMatch(await ask(scene, `ping -c 1 -W 2 ${own}`, true), /Packet filtered/);
    }
    assertMatch(
      await ask(scene, `ping -c 1 -W 2 ${HOME_LAN_V6}`, true),
      /Administratively prohibited/,
    );
  },
);

servedTest(
  "a thousand dials to a black hole leave a working flow and new ones alone",
  EVERYTHING,
  async (scene) => {
    await startNginx(scene, scene.far, 8080);
    await scene.net.ip(scene.lan, ["route add blackhole 10.99.0.0/16"]);
    const hole =
      `for i in $(seq 1000); do (exec 3<>/dev/tcp/10.99.0.1/80) 2>/dev/null & done; wait`;
    const transfer = ask(
      scene,
      `curl -sS --limit-rate 2M -o /dev/null -w '%{size_download}' http://${FAR_V4}:8080/`,
    );
    await scene.start(scene.away, ["bash", "-c", hole]);
    for (let i = 0; i < 10; i++) {
      assertEquals(await ask(scene, `curl -sS -m 5 http://${FAR_V4}:8080/small`), "small\n");
    }
    assertEquals(await transfer, "5000000");
    const { flows } = await flowsOf(scene);
    const dialling = flows.filter(({ state }) => state === "dialling");
    assert(dialling.length > 50 && dialling.length <= 128, `${dialling.length} dials`);
  },
  ["curl", "nginx"],
);

servedTest("rules keep peers out of a part of what is served", [
  ...EVERYTHING,
  `Allow = in to ${LAN_V4} tcp 8080`,
  "Deny = in to 10.50.0.0/16, in udp 53",
], async (scene) => {
  for (const host of [scene.lan, scene.far]) await startNginx(scene, host, 8080);
  const code = (url: string) =>
    ask(scene, `curl -sS -m 2 -o /dev/null -w '%{http_code}' ${url}`, true).then((text) =>
      text.slice(0, 3)
    );
  assertEquals(await code(`http://${LAN_V4}:8080/small`), "200");
  assertEquals(await code(`http://${FAR_V4}:8080/small`), "200");
  assertEquals(await code(`http://${LAN_V4}:80/`), "000");
  assertMatch(await ask(scene, `ping -c 1 -W 1 ${LAN_V4}`, true), /100% packet loss/);
}, ["curl", "nginx"]);

servedTest(
  "without ping sockets up says so, and TCP goes on",
  EVERYTHING,
  async (scene) => {
    assertMatch(scene.up.log, /pings to there are not forwarded.*ping_group_range/);
    assertMatch(await ask(scene, `ping -c 1 -W 1 ${FAR_V4}`, true), /100% packet loss/);
    assertMatch(await connectError(scene, FAR_V4, 9), /Connection refused/);
  },
  [],
  { pings: false },
);

servedTest(
  "a narrow link behind the node is told to who sends datagrams that may not be cut",
  EVERYTHING,
  async (scene) => {
    const ping = (size: number, address: string) =>
      ask(scene, `ping -M do -c 2 -i 0.3 -W 2 -s ${size} ${address}`, true);
    assertMatch(await ping(1200, FAR_V4), /2 received/);
    assertMatch(await ping(1350, FAR_V4), /mtu ?= ?1300/i);
    assertMatch(await ping(1350, FAR_V6), /mtu ?= ?1300/i);
    // What may be cut is.
    assertMatch(await ask(scene, `ping -M dont -c 1 -W 2 -s 1350 ${FAR_V4}`), /1 received/);
  },
  [],
  { lanMtu: 1300 },
);

servedTest(
  "status lists the flows with their peer, their target and what they have moved",
  EVERYTHING,
  async (scene) => {
    await startNginx(scene, scene.far, 8080);
    const client = Foreground.start(scene.net, scene.away, [
      "bash",
      "-c",
      `exec 3<>/dev/tcp/${FAR_V4}/8080; printf 'GET /small HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; sleep 60`,
    ]);
    const flow = await waitFor("the flow has moved something", 10_000, async () => {
      const { flows } = await flowsOf(scene);
      return flows.find(({ destination, toPeerBytes }) =>
        destination === FAR_V4 && toPeerBytes > 0
      );
    });
    assertEquals([flow.protocol, flow.state, flow.client, flow.targetPort], [
      "tcp",
      "open",
      "10.77.0.2",
      8080,
    ]);
    assert(flow.peer !== null && flow.toHostBytes > 0);
    const { stdout } = await longhaulAsNobody(scene, "status", scene.name, "--flows");
    assertMatch(stdout, /tcp .* 10\.77\.0\.2:\d+ +10\.60\.0\.2:8080 +open /);
    client.kill("SIGKILL");
    await waitFor(
      "the flow is gone",
      10_000,
      async () => (await flowsOf(scene)).flows.length === 0,
    );
  },
  ["nginx"],
);

servedTest("a reload serves other prefixes and other rules, and flows go on", [
  "Serve = 10.50.0.0/16",
], async (scene) => {
  for (const host of [scene.lan, scene.far]) await startNginx(scene, host, 8080);
  const reaches = (address: string) =>
    ask(scene, `curl -sS -m 2 http://${address}:8080/small`, true).then((text) =>
      text === "small\n"
    );
  assertEquals([await reaches(LAN_V4), await reaches(FAR_V4)], [true, false]);
  const transfer = ask(
    scene,
    `curl -sS --limit-rate 1M -o /dev/null -w '%{size_download}' http://${LAN_V4}:8080/`,
  );
  await waitFor("it has begun", 5000, async () => (await flowsOf(scene)).flows.length > 0);
  const text = Deno.readTextFileSync(scene.file);
  const serve = "Serve = 10.60.0.0/16, 10.50.0.0/24\nDeny = in to 10.60.0.0/16 tcp 8081";
  Deno.writeTextFileSync(scene.file, text.replace("Serve = 10.50.0.0/16", serve));
  const { code, stdout } = await longhaulAsNobody(scene, "reload", scene.name);
  assertEquals(code, 0);
  assertMatch(stdout, /served prefixes[^]*rules of Allow and Deny/);
  assertEquals([await reaches(LAN_V4), await reaches(FAR_V4)], [true, true]);
  assertEquals(await transfer, "5000000");
}, ["curl", "nginx"]);

async function flowsOf(scene: ServedScene) {
  const { stdout } = await longhaulAsNobody(scene, "status", scene.name, "--flows", "--json");
  const [status] = JSON.parse(stdout).interfaces;
  return status as {
    flows: {
      protocol: string;
      state: string;
      peer: string | null;
      client: string;
      destination: string;
      targetPort: number;
      toHostBytes: number;
      toPeerBytes: number;
    }[];
  };
}

function connectError(scene: ServedScene, address: string, port: number): Promise<string> {
  return ask(scene, `exec 3<>/dev/tcp/${address}/${port}`, true);
}

/** The addresses that answer, hop by hop. */
async function trace(scene: ServedScene, args: string): Promise<string[]> {
  const text = await ask(scene, `traceroute -n -q 1 -w 2 -N 1 ${args}`);
  return text.trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/)[1]);
}

/** A web server with a large page and a small one, over both families. */
async function startNginx(scene: ServedScene, namespace: string, port: number): Promise<void> {
  const folder = `${scene.net.folder}/www-${namespace}`;
  Deno.mkdirSync(folder);
  Deno.chmodSync(folder, 0o777);
  Deno.writeTextFileSync(`${folder}/index.html`, "x".repeat(5_000_000));
  Deno.writeTextFileSync(`${folder}/small`, "small\n");
  const config = `${folder}/nginx.conf`;
  Deno.writeTextFileSync(
    config,
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1;
    events { worker_connections 1000; }
    http {
      access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder};
      fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      server { listen ${port}; listen [::]:${port}; root ${folder}; }
    }`,
  );
  await scene.start(namespace, ["nginx", "-p", folder, "-c", config]);
  await listens(namespace, port);
}

async function assertResolves(scene: ServedScene, server: string): Promise<void> {
  for (const transport of ["+notcp", "+tcp"]) {
    const dig = `dig +short +tries=2 +time=3 ${transport} @${server} a.test A`;
    assertEquals((await ask(scene, dig)).trim(), "192.0.2.99");
  }
}

/** A name server that knows a.test, and a long text. */
async function startDns(scene: ServedScene, namespace: string): Promise<void> {
  await scene.start(namespace, lanProgram("dns", 53), /listening/);
}
