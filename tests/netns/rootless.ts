/**
 * A node without root beside one with a TUN: `longhaul up` as the user nobody in one namespace, and
 * in the other an interface of the kernel, driven by wireguard-go or by Longhaul itself.
 *
 *     rootless 192.0.2.1 -- 192.0.2.2 kernel        inside: 10.77.0.1, fd77::1 / 10.77.0.2, fd77::2
 */
import { command, Foreground, writeConfig } from "../cli/longhaul.ts";
import { run } from "./command.ts";
import type { Net } from "./net.ts";
import { type Kind, NodeProcess } from "./node_process.ts";
import { pingUntilAnswered } from "./traffic.ts";
import { newKeyPair } from "./wg.ts";

/** What these scenes need beside what the other programs need. */
export const ROOTLESS_NEEDS = ["root", "tun", "ip", "nsenter", "unshare", "setpriv", "ping", "wg"];

const NOBODY = 65534;
const PROJECT = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");
const RUN_AS_NOBODY = `
set -e
mount --make-rprivate /
mount --bind "$PROGRAM_FOLDER" "$SANDBOX/program"
mount --bind "$CACHE" "$SANDBOX/cache"
mount --bind "$PROJECT" "$SANDBOX/project"
[ ! -f "$SANDBOX/resolv.conf" ] || mount --bind "$SANDBOX/resolv.conf" /etc/resolv.conf
cd "$SANDBOX/home"
exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups --bounding-set -all \\
  --inh-caps -all --no-new-privs \\
  env -i "PATH=$PATH" "HOME=$SANDBOX/home" "DENO_DIR=$SANDBOX/cache" LOG_LEVEL=debug "$@"
`;

/** Both nodes, and what their tests ask about. */
export interface RootlessScene {
  readonly up: Foreground;
  readonly name: string;
  /** The rootless node's config. */
  readonly file: string;
  /** Namespace of the node without root, and of the services that it offers. */
  readonly home: string;
  /** Namespace of the node with the interface. */
  readonly away: string;
  readonly kernel: NodeProcess;
  /** The folder that belongs to nobody. */
  readonly sandbox: string;
}

/** The rootless node's addresses inside the tunnel. */
export const INNER_V4 = "10.77.0.1";
export const INNER_V6 = "fd77::1";
/** The kernel's. */
export const AWAY_V4 = "10.77.0.2";
export const AWAY_V6 = "fd77::2";

/** `argv` as nobody, without a capability, with this project and Deno's cache readable. */
export function asNobody(sandbox: string, argv: readonly string[]): string[] {
  const program = Deno.execPath();
  const replaced = argv.map((word) =>
    word === program
      ? `${sandbox}/program/${program.slice(program.lastIndexOf("/") + 1)}`
      : word.startsWith(`${PROJECT}/`)
      ? `${sandbox}/project${word.slice(PROJECT.length)}`
      : word
  );
  const variables = [
    `PROGRAM_FOLDER=${program.slice(0, program.lastIndexOf("/"))}`,
    `CACHE=${denoCache()}`,
    `PROJECT=${PROJECT}`,
    `SANDBOX=${sandbox}`,
  ];
  return ["env", ...variables, "unshare", "--mount", "sh", "-c", RUN_AS_NOBODY, "sh", ...replaced];
}

/** A folder that nobody may write to, with places for what is mounted into it. */
export function makeSandbox(net: Net): string {
  Deno.chmodSync(net.folder, 0o755);
  const sandbox = `${net.folder}/nobody`;
  for (const name of ["program", "cache", "project", "home"]) {
    Deno.mkdirSync(`${sandbox}/${name}`, { recursive: true });
  }
  Deno.chownSync(`${sandbox}/home`, NOBODY, NOBODY);
  return sandbox;
}

/** How the rootless node is started. */
export interface RootlessOptions {
  /** What drives the interface at the other end; wireguard-go by default. */
  readonly kind?: Kind;
  readonly mtu?: number;
  /** For `--mode`. */
  readonly mode?: string;
  /** Descriptors that the node may have open. */
  readonly openFiles?: number;
  /** Addresses that the other end knows the node by, IPv4 and IPv6, in the place of its own. */
  readonly knownAs?: readonly [string, string];
  /** What the other end may reach through the node beside its own addresses. */
  readonly served?: readonly string[];
  /** Runs it as root instead, with or without /dev/net/tun. */
  readonly asRoot?: "with a TUN" | "without a TUN";
  /** Called before the rootless node starts, with its namespace. */
  readonly prepare?: (home: string) => Promise<void>;
  /** What stands in /etc/resolv.conf of a node that nobody runs. */
  readonly resolvConf?: string;
  /** Runs a copy of the project that belongs to nobody, instead of this one. */
  readonly freshCopy?: boolean;
}

/** Starts both nodes; `longhaul` are lines of the rootless one's `[Longhaul]` section. */
export async function startRootless(
  net: Net,
  longhaul: readonly string[],
  options: RootlessOptions = {},
): Promise<RootlessScene> {
  const [home, away] = [await net.namespace("home"), await net.namespace("away")];
  await net.veth(
    { namespace: home, name: "eth0", addresses: ["192.0.2.1/24", "2001:db8::1/64"] },
    { namespace: away, name: "eth0", addresses: ["192.0.2.2/24", "2001:db8::2/64"] },
  );
  const [homeKey, awayKey] = [newKeyPair(), newKeyPair()];
  const kernel = await NodeProcess.start(net, options.kind ?? "wireguard-go", away);
  const [homeV4, homeV6] = options.knownAs ?? [INNER_V4, INNER_V6];
  const homePeer = {
    publicKey: homeKey.publicKey,
    allowedIps: [`${homeV4}/32`, `${homeV6}/128`, ...options.served ?? []],
  };
  await kernel.configure({ privateKey: awayKey.privateKey, listenPort: 51_820 }, [homePeer]);
  const mtu = options.mtu ?? 1420;
  await net.ip(away, [
    `address add ${AWAY_V4}/24 dev ${kernel.name}`,
    `address add ${AWAY_V6}/64 dev ${kernel.name} nodad`,
    `link set ${kernel.name} up mtu ${mtu}`,
    ...(options.knownAs ?? []).map((address) => `route add ${address} dev ${kernel.name}`),
  ]);
  const sandbox = makeSandbox(net);
  const name = net.interfaceName();
  const file = writeConfig(
    net,
    name,
    `[Interface]
PrivateKey = ${homeKey.privateKey}
Address = ${INNER_V4}/24, ${INNER_V6}/64
MTU = ${mtu}

[Peer]
PublicKey = ${awayKey.publicKey}
AllowedIPs = ${AWAY_V4}/32, ${AWAY_V6}/128
Endpoint = 192.0.2.2:51820
PersistentKeepalive = 1
${options.knownAs === undefined ? "" : `NatAddress = ${options.knownAs.join(", ")}`}

[Longhaul]
${longhaul.join("\n")}
`,
  );
  Deno.chownSync(file, NOBODY, NOBODY);
  if (options.freshCopy) await copyProject(`${sandbox}/home/longhaul`);
  const mode = options.mode === undefined ? [] : ["--mode", options.mode];
  await options.prepare?.(home);
  if (options.resolvConf !== undefined) {
    Deno.writeTextFileSync(`${sandbox}/resolv.conf`, options.resolvConf);
  }
  const plain = command("up", file, ...mode);
  const argv = startedBy(options, sandbox, plain).map((word) =>
    options.freshCopy ? word.replace(`${sandbox}/project`, `${sandbox}/home/longhaul`) : word
  );
  const limit = options.openFiles === undefined ? [] : ["prlimit", `--nofile=${options.openFiles}`];
  const up = Foreground.start(net, home, [...limit, ...argv]);
  await up.says(/ is up, UDP port /);
  try {
    await pingUntilAnswered(away, homeV4);
  } catch (error) {
    throw new Error(up.log, { cause: error });
  }
  return { up, name, file, home, away, kernel, sandbox };
}

function startedBy({ asRoot }: RootlessOptions, sandbox: string, argv: string[]): string[] {
  if (asRoot === undefined) return asNobody(sandbox, argv);
  if (asRoot === "with a TUN") return argv;
  const hideDevice = 'mount --make-rprivate / && mount -t tmpfs none /dev/net && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", hideDevice, "sh", ...argv];
}

/** What a clone has, as files of nobody. */
async function copyProject(target: string): Promise<void> {
  Deno.mkdirSync(target);
  await run([
    "sh",
    "-c",
    'cd "$0" && cp -r deno.json deno.lock main.ts main.bundle.js src ffi scripts "$1"',
    PROJECT,
    target,
  ]);
  await run(["chown", "-R", `${NOBODY}:${NOBODY}`, target]);
}

function denoCache(): string {
  return Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
}

/** Runs one of our commands as nobody in the rootless node's namespace. */
export function longhaulAsNobody(scene: RootlessScene, ...args: string[]) {
  return run(asNobody(scene.sandbox, command(...args)), { namespace: scene.home, mayFail: true });
}
