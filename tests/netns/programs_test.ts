/** Programs of every day through a node without root: ssh, a web server and a downloader. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Foreground } from "../cli/longhaul.ts";
import { run, waitFor } from "./command.ts";
import { Net } from "./net.ts";
import { INNER_V4, INNER_V6, ROOTLESS_NEEDS, startRootless } from "./rootless.ts";
import { SSH_NEEDS, sshCommand, startSshd } from "./ssh.ts";
import { listens } from "./traffic.ts";

const BOTH = [["IPv4", INNER_V4], ["IPv6", INNER_V6]] as const;
const FILE_BYTES = 20_000_000;

Deno.test({
  name: "a shell and a file by ssh, over both families",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...SSH_NEEDS, "sha256sum"),
  async fn() {
    await using net = new Net();
    const { home, away } = await startRootless(net, ["LocalServices = 22:127.0.0.1:2222"]);
    const key = await startSshd(net, home, "127.0.0.1");
    const data = `${net.folder}/data`;
    Deno.writeFileSync(data, pseudoRandom(FILE_BYTES));
    const { stdout: digest } = await run(["sha256sum", data]);
    for (const [family, address] of BOTH) {
      const ssh = sshCommand(net, key, address);
      const ask = async (argv: string[]) =>
        (await run(argv, { namespace: away, timeoutMs: 60_000 })).stdout;
      assertEquals(await ask([...ssh, "echo $((6 * 7))"]), "42\n", family);
      const copy = `${ssh.join(" ")} cat ${data} | sha256sum`;
      assertEquals(await ask(["sh", "-c", copy]), digest.replace(data, "-"), family);
    }
  },
});

Deno.test({
  name: "pages and ranges of nginx, many at a time, over both families",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go", "nginx", "curl"),
  async fn() {
    await using net = new Net();
    const { home, away } = await startRootless(net, ["LocalServices = 80:127.0.0.1:8080"]);
    const data = pseudoRandom(FILE_BYTES);
    const folder = `${net.folder}/www`;
    Deno.mkdirSync(folder);
    Deno.writeFileSync(`${folder}/data`, data);
    await startNginx(net, home, folder);
    for (const [family, address] of BOTH) {
      const host = family === "IPv6" ? `[${address}]` : address;
      const got = `${net.folder}/got-${family}`;
      const fetch = (...args: string[]) =>
        run(["curl", "-sSf", "-m", "40", ...args], { namespace: away, timeoutMs: 60_000 });
      await fetch("-o", got, `http://${host}/data`);
      assert(isEqual(Deno.readFileSync(got), data), family);
      await fetch("-o", got, "-r", "1000000-1999999", `http://${host}/data`);
      assert(isEqual(Deno.readFileSync(got), data.subarray(1_000_000, 2_000_000)), family);
      const { stdout } = await fetch(
        ...["-Z", "--parallel-max", "20", "-o", "/dev/null", "-w", "%{http_code}\\n"],
        ...["-r", "0-65535", `http://${host}/data?[1-100]`],
      );
      assertEquals(stdout, "206\n".repeat(100), family);
    }
  },
});

async function startNginx(net: Net, namespace: string, folder: string): Promise<void> {
  const config = `daemon off;
pid ${net.folder}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${net.folder}; proxy_temp_path ${net.folder};
  fastcgi_temp_path ${net.folder}; uwsgi_temp_path ${net.folder}; scgi_temp_path ${net.folder};
  server { listen 127.0.0.1:8080; root ${folder}; }
}
`;
  Deno.chmodSync(net.folder, 0o755);
  Deno.writeTextFileSync(`${net.folder}/nginx.conf`, config);
  const argv = ["nginx", "-p", net.folder, "-c", `${net.folder}/nginx.conf`];
  const server = Foreground.start(net, namespace, argv);
  await waitFor("nginx listens", 10_000, () => listens(server.child.pid, 8080));
}

/** Bytes that do not repeat, the same in every run. */
function pseudoRandom(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(length >> 2);
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
