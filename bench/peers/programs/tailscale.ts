/**
 * Two tailscaled nodes in two namespaces, one with a TUN and one in userspace-networking mode, with
 * a coordination server of their own between them. The programs come from PATH; the server is built
 * from `go/control` with the Go toolchain.
 */
import { run, waitFor } from "../../../tests/netns/command.ts";
import type { Net } from "../../../tests/netns/net.ts";
import { Foreground } from "../../../tests/cli/longhaul.ts";
import { buildGo } from "./install.ts";

/** Where a node runs and what stands for it. */
export interface TailscaleNode {
  readonly pid: number;
  readonly address: string;
}

const NO_LOGS = { TS_NO_LOGS_NO_SUPPORT: "1" };

let control: Promise<string> | undefined;

/** Starts the server in `tunSpace` on `underlay`, then both nodes; they reach each other directly. */
export async function startTailscale(
  net: Net,
  spaces: { tunSpace: string; userSpace: string; underlay: string },
): Promise<{ tun: TailscaleNode; user: TailscaleNode }> {
  const { tunSpace, userSpace, underlay } = spaces;
  control ??= buildGo("control");
  const server = Foreground.start(net, tunSpace, [await control, underlay]);
  await server.says(/ready/);
  const url = `http://${underlay}:9911`;
  const tun = await startNode(net, tunSpace, net.interfaceName(), url, "tun");
  const user = await startNode(net, userSpace, "userspace-networking", url, "user");
  await waitFor("the nodes reach each other directly", 30_000, async () => {
    const target = user.address;
    const argv = ["tailscale", `--socket=${tun.socket}`, "ping", "-c", "3", target];
    return (await run(argv, { mayFail: true })).stdout.includes(" via ") &&
      (await status(tun.socket)).includes("direct");
  });
  return { tun, user };
}

async function startNode(
  net: Net,
  namespace: string,
  device: string,
  url: string,
  hostname: string,
): Promise<TailscaleNode & { socket: string }> {
  const folder = `${net.folder}/${hostname}`;
  await Deno.mkdir(folder);
  const socket = `${folder}/socket`;
  const argv = ["tailscaled", `--tun=${device}`, `--statedir=${folder}`, `--state=${folder}/state`];
  const daemon = Foreground.start(net, namespace, [...argv, `--socket=${socket}`], NO_LOGS);
  await waitFor("tailscaled listens", 20_000, async () => (await status(socket)) !== "");
  const up = ["tailscale", `--socket=${socket}`, "up", `--login-server=${url}`];
  const flags = ["--accept-dns=false", "--netfilter-mode=off", `--hostname=${hostname}`];
  await run([...up, ...flags], { namespace, timeoutMs: 40_000 });
  const { stdout } = await run(["tailscale", `--socket=${socket}`, "ip", "-4"]);
  return { pid: daemon.child.pid, address: stdout.trim(), socket };
}

async function status(socket: string): Promise<string> {
  const { stdout, stderr } = await run(["tailscale", `--socket=${socket}`, "status"], {
    mayFail: true,
  });
  return /failed to connect|doesn't appear/.test(stderr + stdout) ? "" : stdout + " ";
}
