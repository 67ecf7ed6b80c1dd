/**
 * The systemd units, as text, and the choice between them.
 *
 * `longhaul@` runs a tunnel as a user of its own that has nothing but CAP_NET_ADMIN and the TUN
 * device. `longhaul-quick@` runs as root, for what only root can do: hooks, name servers, the
 * default route with its firewall rules, and a config that is written back.
 *
 * Both work with systemd 247 and later; `Type=notify-reload` (253) is not used. What Deno needs is
 * left open on purpose: V8 compiles at run time (no MemoryDenyWriteExecute), the TUN device must be
 * there (no PrivateDevices), and CAP_NET_ADMIN must be that of the host (no PrivateUsers).
 */
import { isNamed } from "../config/device_change.ts";
import type { NodeConfig } from "../config/types.ts";
import { contains } from "../daemon/tunnel_routes.ts";

/** The names of the two templates. */
export const SANDBOXED_UNIT = "longhaul@";
export const ROOT_UNIT = "longhaul-quick@";

/** Where the config of an instance is unless a drop-in says otherwise. */
export const CONFIG_FOLDER = "/etc/wireguard";

/** Prefixes shorter than this are parts of everything: halves and quarters of a default route. */
const SPLIT_BITS = 8;
/** Programs below these ports need root or one capability more. */
const PRIVILEGED_PORTS = 1024;

/** What units are made of. */
export interface UnitOptions {
  /** The folder with the Deno binary and the program, as the service sees it. */
  readonly libraryFolder: string;
}

/** Why a config needs root; empty when the sandboxed unit does. */
export function reasonsForRoot(config: NodeConfig): string[] {
  const { interface: setUp, device, routes } = config;
  const reasons: string[] = [];
  if (Object.values(setUp.hooks).some((hooks) => hooks.length > 0)) reasons.push("it has hooks");
  if (setUp.dnsServers.length + setUp.dnsSearchDomains.length > 0) reasons.push("it sets DNS");
  if (setUp.saveConfig) reasons.push("it has SaveConfig");
  if (setUp.table === "auto") {
    const endpoints = device.peers.flatMap(({ endpoint }) => {
      return endpoint === undefined || isNamed(endpoint) ? [] : [endpoint.address];
    });
    const leadsInside = (address: Uint8Array) =>
      routes.some((route) => contains(route, { address, bits: address.length * 8 }));
    // What `up` treats as a default route: see default_route.ts.
    if (routes.some(({ bits }) => bits < SPLIT_BITS)) reasons.push("it takes the default route");
    else if (endpoints.some(leadsInside)) reasons.push("an endpoint lies in its AllowedIPs");
  }
  const port = device.listenPort ?? 0;
  if (port > 0 && port < PRIVILEGED_PORTS) reasons.push(`its port ${port} is below 1024`);
  return reasons;
}

/** The command line of a service; `config` is the path as the unit writes it. */
function startCommand(options: UnitOptions, config: string): string {
  return `${program(options)} up ${config}`;
}

function reloadCommand(options: UnitOptions, config: string): string {
  return `${program(options)} reload %i --file ${config}`;
}

function program({ libraryFolder }: UnitOptions): string {
  const run = `${libraryFolder}/deno run --no-prompt --cached-only --allow-ffi`;
  return `${run} ${libraryFolder}/main.ts`;
}

/** Variables of both units. */
export function serviceEnvironment({ libraryFolder }: UnitOptions): string[] {
  return [`DENO_DIR=${libraryFolder}/cache`, "DENO_NO_UPDATE_CHECK=1"];
}

/** The text of the sandboxed template. */
export function sandboxedUnit(options: UnitOptions): string {
  return [
    ...head("sandboxed"),
    ...service(options, "%d/%i.conf"),
    ...comment(
      "The config is read by systemd, and is for this process alone; a changed one is sent",
    ),
    "# to it by a command outside of the sandbox.",
    `LoadCredential=%i.conf:${CONFIG_FOLDER}/%i.conf`,
    `ExecReload=+${reloadCommand(options, `${CONFIG_FOLDER}/%i.conf`)}`,
    ...comment("One user for all instances: they share the folder of the control sockets."),
    "DynamicUser=yes",
    "User=longhaul",
    "AmbientCapabilities=CAP_NET_ADMIN",
    "CapabilityBoundingSet=CAP_NET_ADMIN",
    ...comment("/run/wireguard, where wg looks. It stays when one instance of several ends."),
    "RuntimeDirectory=wireguard",
    "RuntimeDirectoryMode=0755",
    "RuntimeDirectoryPreserve=yes",
    ...comment("/dev/net/tun and nothing else."),
    "DevicePolicy=closed",
    "DeviceAllow=/dev/net/tun rw",
    ...comment(
      "Not MemoryDenyWriteExecute: V8 compiles. Not PrivateDevices, PrivateUsers: the TUN.",
    ),
    ...SANDBOX,
    ...tail(),
  ].join("\n");
}

/** The text of the template that runs as root. */
export function rootUnit(options: UnitOptions): string {
  return [
    ...head("root"),
    ...service(options, `${CONFIG_FOLDER}/%i.conf`),
    "ExecReload=/bin/kill -HUP $MAINPID",
    ...comment("Hooks may do anything, so little is taken from them."),
    ...ROOT_HARDENING,
    ...tail(),
  ].join("\n");
}

/** A drop-in for an instance whose config is elsewhere. */
export function configDropIn(options: UnitOptions, unit: string, path: string): string {
  const lines = unit === SANDBOXED_UNIT
    ? [
      "LoadCredential=",
      `LoadCredential=%i.conf:${escapePath(path)}`,
      "ExecReload=",
      `ExecReload=+${reloadCommand(options, escapePath(path))}`,
    ]
    : ["ExecStart=", `ExecStart=${startCommand(options, escapePath(path))}`];
  return ["[Service]", ...lines, ""].join("\n");
}

/** A path in a unit file: `%` introduces a specifier there, `$` a variable. */
function escapePath(path: string): string {
  return path.replaceAll("%", "%%").replaceAll("$", "$$$$");
}

function head(kind: "sandboxed" | "root"): string[] {
  const what = kind === "root" ? "with the rights of root" : "sandboxed";
  return [
    "# Made by `longhaul service install`, and replaced by it: put changes into a drop-in",
    "# (systemctl edit).",
    "[Unit]",
    `Description=Longhaul: WireGuard tunnel %i, ${what}`,
    "Documentation=man:wg(8) man:wg-quick(8)",
    "Wants=network-online.target",
    "After=network-online.target nss-lookup.target",
    "",
  ];
}

function service(options: UnitOptions, config: string): string[] {
  return [
    "[Service]",
    ...comment("Ready when the tunnel is up; alive as long as its data plane moves.", ""),
    "Type=notify",
    "NotifyAccess=main",
    `ExecStart=${startCommand(options, config)}`,
    ...serviceEnvironment(options).map((entry) => `Environment=${entry}`),
    "WatchdogSec=20",
    "Restart=on-failure",
    "RestartSec=2",
    "TimeoutStopSec=20",
    ...comment("Session keys are kept out of swap."),
    "LimitMEMLOCK=64M",
    "LimitCORE=0",
  ];
}

function tail(): string[] {
  return ["", "[Install]", "WantedBy=multi-user.target", ""];
}

function comment(text: string, before = "\n"): string[] {
  return [`${before}# ${text}`];
}

const SANDBOX = [
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "ProtectProc=invisible",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "SystemCallArchitectures=native",
  // V8 guards its code pages by protection keys where the processor has them.
  "SystemCallFilter=@system-service pkey_alloc pkey_free pkey_mprotect",
  "SystemCallErrorNumber=EPERM",
  "UMask=0077",
];

const ROOT_HARDENING = [
  "LockPersonality=yes",
  "ProtectClock=yes",
  "RestrictRealtime=yes",
  "SystemCallArchitectures=native",
  "UMask=0077",
];
