/**
 * Network namespaces, veth pairs and NAT for one test. Everything made through a `Net` is taken
 * away when it is disposed (`await using net = new Net()`), also when the test fails; what a killed
 * run has left behind is taken away by the next run.
 */
import { run, type RunResult } from "./command.ts";

const PREFIX = "lh-";
const SOCKET_FOLDER = "/var/run/wireguard";
const RECORD_FOLDER = "/run/longhaul";
/** Test files share a process, but each has its own copy of this module. */
const COPY = Math.floor(Math.random() * 36 ** 3).toString(36).padStart(3, "0");
let serial = 0;
let leftoversRemoved = false;

/** One end of a veth pair: where it lives, what it is called, and its addresses with prefix. */
export interface VethEnd {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly mtu?: number;
}

export class Net implements AsyncDisposable {
  readonly #serial = ++serial;
  readonly #id = `${Deno.pid}-${COPY}${this.#serial}`;
  readonly #namespaces: string[] = [];
  readonly #cleanups: (() => Promise<void> | void)[] = [];
  #folder: string | undefined;
  #interfaces = 0;

  /** A folder for files of this test, removed with it. */
  get folder(): string {
    this.#folder ??= Deno.makeTempDirSync({ prefix: "longhaul-netns-" });
    return this.#folder;
  }

  /** Registers something to undo; the last registered is undone first, before any namespace goes. */
  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup);
  }

  /**
   * A name for a WireGuard interface that no other test or process uses: control sockets share one
   * folder across namespaces.
   */
  interfaceName(): string {
    const name = `lh${Deno.pid.toString(36)}${COPY}${this.#serial.toString(36)}${
      (this.#interfaces++).toString(36)
    }`;
    this.defer(() => removeIfThere(`${SOCKET_FOLDER}/${name}.sock`));
    // What a killed `up` would have to undo goes with the namespace.
    this.defer(() => removeIfThere(`${RECORD_FOLDER}/${name}.json`));
    return name;
  }

  /** Makes a namespace with loopback up, and returns its name. */
  async namespace(label: string): Promise<string> {
    if (!leftoversRemoved) {
      leftoversRemoved = true;
      await removeLeftovers();
    }
    const name = `${PREFIX}${this.#id}-${label}`;
    await run(["ip", "netns", "add", name]);
    this.#namespaces.push(name);
    await batch(name, [
      "link set lo up",
    ]);
    // Addresses are usable at once: no duplicate address detection, no router is waited for.
    await run(["sh", "-c", "for f in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >$f; done"], {
      namespace: name,
      mayFail: true,
    });
    return name;
  }

  /** Joins two namespaces by a veth pair, both ends up. */
  async veth(a: VethEnd, b: VethEnd): Promise<void> {
    await batch(a.namespace, [
      `link add ${a.name} mtu ${a.mtu ?? 1500} type veth peer name ${b.name} mtu ${
        b.mtu ?? 1500
      } netns ${b.namespace}`,
    ]);
    for (const end of [a, b]) {
      await batch(end.namespace, [
        ...end.addresses.map((address) => addAddress(end.name, address)),
        `link set ${end.name} up`,
      ]);
    }
  }

  /** Two namespaces joined by `eth0`, where they are 192.0.2.1 and 192.0.2.2. */
  async twoHosts(): Promise<[string, string]> {
    const spaces: [string, string] = [await this.namespace("a"), await this.namespace("b")];
    await this.veth(
      { namespace: spaces[0], name: "eth0", addresses: ["192.0.2.1/24"] },
      { namespace: spaces[1], name: "eth0", addresses: ["192.0.2.2/24"] },
    );
    return spaces;
  }

  /** Runs `ip` commands in `namespace`, in order; each line is what follows `ip`. */
  ip(namespace: string, lines: string[]): Promise<RunResult> {
    return batch(namespace, lines);
  }

  /** Sets a sysctl below /proc/sys/net of `namespace`, named by its path. */
  async sysctl(namespace: string, path: string, value: string | number): Promise<void> {
    await run(["sh", "-c", `echo '${value}' > /proc/sys/net/${path}`], { namespace });
  }

  /**
   * Makes `namespace` forward, and hide everything that leaves through `outside` behind that
   * interface's own address; mappings of UDP end after `timeoutSeconds` without traffic.
   */
  async masquerade(namespace: string, outside: string, timeoutSeconds: number): Promise<void> {
    await this.forward(namespace);
    await run(["nft", "-f", "-"], {
      namespace,
      stdin: `table ip lhnat {
        chain post {
          type nat hook postrouting priority srcnat;
          oifname "${outside}" masquerade
        }
      }`,
    });
    await this.sysctl(namespace, "netfilter/nf_conntrack_udp_timeout", timeoutSeconds);
    await this.sysctl(namespace, "netfilter/nf_conntrack_udp_timeout_stream", timeoutSeconds);
  }

  /** Switches IPv4 and IPv6 forwarding on. */
  async forward(namespace: string): Promise<void> {
    await this.sysctl(namespace, "ipv4/ip_forward", 1);
    await this.sysctl(namespace, "ipv6/conf/all/forwarding", 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (const cleanup of this.#cleanups.reverse()) {
      try {
        await cleanup();
      } catch (error) {
        errors.push(error);
      }
    }
    for (const name of this.#namespaces) await removeNamespace(name);
    if (this.#folder !== undefined) await Deno.remove(this.#folder, { recursive: true });
    if (errors.length > 0) throw new AggregateError(errors, "clean-up failed");
  }
}

/** The `ip` command that gives `device` an address with prefix; IPv6 without duplicate detection. */
export function addAddress(device: string, address: string): string {
  return `address add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`;
}

/** True when `device` exists in the network namespace of process `pid`. */
export function deviceExists(device: string, pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/net/dev`).split("\n")
      .some((line) => line.trimStart().startsWith(device + ":"));
  } catch {
    return false;
  }
}

function batch(namespace: string, lines: string[]): Promise<RunResult> {
  return run(["ip", "-n", namespace, "-batch", "-"], { stdin: lines.join("\n") + "\n" });
}

async function removeNamespace(name: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "pids", name], { mayFail: true });
  for (const pid of stdout.split("\n").filter((line) => line !== "")) {
    try {
      Deno.kill(Number(pid), "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  await run(["ip", "netns", "del", name], { mayFail: true });
}

/** Takes away the namespaces of this process at once, for who is ended by a signal. */
export function removeOwnNamespaces(): Promise<void> {
  return removeNamespacesOf((pid) => pid === Deno.pid);
}

/** Takes away namespaces whose test process is gone, with the processes inside them. */
function removeLeftovers(): Promise<void> {
  return removeNamespacesOf((pid) => !exists(`/proc/${pid}`));
}

async function removeNamespacesOf(wanted: (pid: number) => boolean): Promise<void> {
  const { stdout } = await run(["ip", "netns", "list"], { mayFail: true });
  for (const line of stdout.split("\n")) {
    const match = /^lh-(\d+)-\w+-\S+/.exec(line);
    if (match !== null && wanted(Number(match[1]))) await removeNamespace(match[0]);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // The node has removed it itself.
  }
}
