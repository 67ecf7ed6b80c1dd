/** A host whose network configuration is compared before and after a tunnel. */
import { assertEquals } from "@std/assert";
import { run, waitFor } from "../netns/command.ts";
import type { Net } from "../netns/net.ts";
import { type KeyPair, newKeyPair } from "../netns/wg.ts";

/**
 * Everything that a tunnel may change in a namespace: links, addresses, routes of all tables, rules,
 * firewall, and the setting that goes with a default route.
 */
export async function snapshot(namespace: string): Promise<string> {
  await waitFor(`the links of ${namespace} have come up`, 5000, () => areLinksUp(namespace));
  const commands = [
    ["ip", "-o", "-d", "link", "show"],
    ["ip", "-o", "address", "show"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["ip", "-4", "rule", "show"],
    ["ip", "-6", "rule", "show"],
    ["nft", "list", "ruleset"],
    ["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"],
  ];
  const parts: string[] = [];
  for (const argv of commands) {
    const { stdout, stderr } = await run(argv, { namespace, mayFail: true });
    parts.push(`$ ${argv.join(" ")}\n${stdout}${stderr}`);
  }
  return parts.join("\n");
}

/** The two ends of a veth pair come up, and get their link-local addresses, a moment later. */
async function areLinksUp(namespace: string): Promise<boolean> {
  const links = (await run(["ip", "-o", "link", "show", "up"], { namespace })).stdout;
  if (links.includes("NO-CARRIER")) return false;
  const addresses = (await run(["ip", "-o", "address", "show"], { namespace })).stdout;
  const names = [...links.matchAll(/^\d+: ([^:@]+)[^<]*<BROADCAST/gm)].map(([, name]) => name);
  return !addresses.includes("tentative") &&
    names.every((name) => new RegExp(`: ${name} +inet6 fe80:`).test(addresses));
}

/** `argv` in a mount namespace of its own that `script` has prepared. */
export function inOwnMounts(script: readonly string[], argv: readonly string[]): string[] {
  return ["unshare", "--mount", "sh", "-c", [...script, 'exec "$@"'].join(" && "), "sh", ...argv];
}

/** The lines of such a script that hide programs, links followed. */
export function hiding(...programs: string[]): string[] {
  const paths = new Set<string>();
  for (const folder of ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"]) {
    for (const program of programs) {
      try {
        paths.add(Deno.realPathSync(`${folder}/${program}`));
      } catch {
        // Not there.
      }
    }
  }
  return [...paths].map((path) => `mount --bind /dev/null ${path}`);
}

/** A resolvconf that keeps what it is told in a folder; the programs of `env` find it first. */
export interface ResolvconfStub {
  readonly env: Record<string, string>;
  /** What it has been told and not been told to forget. */
  readonly state: () => string;
  /** The arguments of all its calls. */
  readonly calls: () => string[];
}

/** Makes a stub for the test; `label` tells it from others. */
export function resolvconfStub(net: Net, label: string): ResolvconfStub {
  const folder = `${net.folder}/dns-${label}`;
  Deno.mkdirSync(`${folder}/bin`, { recursive: true });
  Deno.mkdirSync(`${folder}/known`);
  const script = `#!/bin/sh
echo "$*" >>'${folder}/calls'
case $1 in
  -a) cat >'${folder}/known/'"$2" ;;
  -d) rm -f '${folder}/known/'"$2" ;;
esac
`;
  Deno.writeTextFileSync(`${folder}/bin/resolvconf`, script, { mode: 0o755 });
  return {
    env: { PATH: `${folder}/bin:${Deno.env.get("PATH")}` },
    state: () => {
      const names = [...Deno.readDirSync(`${folder}/known`)].map(({ name }) => name).sort();
      return names.map((name) => `${name}:\n${Deno.readTextFileSync(`${folder}/known/${name}`)}`)
        .join("");
    },
    calls: () => {
      try {
        return Deno.readTextFileSync(`${folder}/calls`).trimEnd().split("\n");
      } catch {
        return [];
      }
    },
  };
}

/** Asserts that a namespace is as it was. */
export async function assertRestored(namespace: string, before: string): Promise<void> {
  assertEquals(await snapshot(namespace), before);
}

/**
 * A client, a provider that it reaches through its default route, and a server behind the provider:
 *
 *     client 192.0.2.1 -- 192.0.2.2 provider 198.51.100.1 -- 198.51.100.2 server
 *
 * The server knows the way to the tunnel's networks, 10.9.0.0/24 and fd09::/64, but the provider
 * forwards nothing that comes from outside of the tunnel.
 */
export interface Country {
  readonly client: string;
  readonly provider: string;
  readonly server: string;
  readonly clientKey: KeyPair;
  readonly providerKey: KeyPair;
}

export const SERVER_4 = "198.51.100.2";
export const SERVER_6 = "2001:db8:2::2";
const PROVIDER_ENDPOINT_4 = "192.0.2.2:10002";

export async function country(net: Net): Promise<Country> {
  const client = await net.namespace("client");
  const provider = await net.namespace("provider");
  const server = await net.namespace("server");
  await net.veth(
    { namespace: client, name: "eth0", addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    { namespace: provider, name: "eth0", addresses: ["192.0.2.2/24", "2001:db8:1::2/64"] },
  );
  await net.veth(
    { namespace: provider, name: "eth1", addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
    { namespace: server, name: "eth0", addresses: [`${SERVER_4}/24`, `${SERVER_6}/64`] },
  );
  await net.ip(client, ["route add default via 192.0.2.2", "route add default via 2001:db8:1::2"]);
  await net.ip(server, ["route add 10.9.0.0/24 via 198.51.100.1"]);
  await net.ip(server, ["route add fd09::/64 via 2001:db8:2::1"]);
  await net.forward(provider);
  await run(["nft", "-f", "-"], {
    namespace: provider,
    stdin: `table inet outside {
      chain forward {
        type filter hook forward priority 0;
        iifname "eth0" oifname "eth1" drop
      }
    }`,
  });
  return { client, provider, server, clientKey: newKeyPair(), providerKey: newKeyPair() };
}

/** The provider's config: one customer. */
export function providerConfig({ clientKey, providerKey }: Country): string {
  return `[Interface]
PrivateKey = ${providerKey.privateKey}
ListenPort = 10002
Address = 10.9.0.254/24, fd09::fe/64
[Peer]
PublicKey = ${clientKey.publicKey}
AllowedIPs = 10.9.0.1/32, fd09::1/128
`;
}

/** The client's config, as providers hand it out. */
export function clientConfig(
  { clientKey, providerKey }: Country,
  more: {
    readonly interface?: string[];
    readonly allowedIps?: string;
    readonly endpoint?: string;
  } = {},
): string {
  return [
    "[Interface]",
    `PrivateKey = ${clientKey.privateKey}`,
    "Address = 10.9.0.1/32, fd09::1/128",
    ...(more.interface ?? []),
    "",
    "[Peer]",
    `PublicKey = ${providerKey.publicKey}`,
    `AllowedIPs = ${more.allowedIps ?? "0.0.0.0/0, ::/0"}`,
    `Endpoint = ${more.endpoint ?? PROVIDER_ENDPOINT_4}`,
    "",
  ].join("\n");
}
