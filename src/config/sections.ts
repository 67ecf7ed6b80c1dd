/**
 * The sections that a file may have and the keys in each, as tables: how a key is spelt, and how
 * its value gets into the draft of its section. Names compare without case.
 */
import { OFFLOAD_SWITCHES } from "./offload.ts";
import type { InterfaceIndex } from "../control/address_text.ts";
import { parseAddress } from "../control/address_text.ts";
import type { LocalService } from "../forward/local_services.ts";
import { FilterAction, type FilterRule } from "../nat/filter.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { readLocalServices } from "./local_services.ts";
import { MTU_MAX, MTU_MIN } from "./mtu.ts";
import { type NatAddressDraft, readNatAddresses } from "./nat_address.ts";
import { suggestion } from "./nearest.ts";
import { readServe } from "./serve.ts";
import { readFilterRules } from "./filter.ts";
import { isMode } from "./mode.ts";
import type { DeviceConfig, Hooks, InterfaceConfig, LonghaulConfig, PeerConfig } from "./types.ts";
import {
  type ConfigValue,
  readEndpoint,
  readFwMark,
  readKeepalive,
  readKey,
  readNumber,
  readPrefix,
  readSize,
} from "./value.ts";
import { type CountRange, ENCRYPTORS, LANES, rangeText, readWorkerCount } from "./worker_counts.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Undefinable<T> = { [K in keyof T]: T[K] | undefined };

/** `[Interface]` under construction. */
export interface InterfaceDraft
  extends
    Undefinable<Mutable<Omit<DeviceConfig, "peers">>>,
    Mutable<Pick<InterfaceConfig, "table" | "saveConfig">> {
  addresses: Prefix[];
  mtu: { bytes: number; value: ConfigValue } | null;
  dnsServers: Uint8Array[];
  dnsSearchDomains: string[];
  hooks: { [When in keyof Hooks]: string[] };
}

/** An allowed IP and the place where it was given, for what is said about it later. */
export interface AllowedIpDraft {
  readonly prefix: Prefix;
  readonly value: ConfigValue;
}

/** `[Peer]` under construction. */
export interface PeerDraft
  extends Undefinable<Mutable<Omit<PeerConfig, "allowedIps" | "natAddresses" | "publicKey">>> {
  publicKey: Uint8Array | undefined;
  /** Whether a PublicKey stands there, right or wrong. */
  hasPublicKey: boolean;
  allowedIps: AllowedIpDraft[];
  natAddresses: NatAddressDraft[];
  line: number;
  column: number;
}

/** `[Longhaul]` under construction. */
export interface LonghaulDraft extends Mutable<Omit<LonghaulConfig, "offload" | ListKey>> {
  offload: Mutable<LonghaulConfig["offload"]>;
  localServices: LocalService[];
  serve: Prefix[];
  netstack: Prefix[];
  filter: FilterRule[];
}

type ListKey = "localServices" | "serve" | "netstack" | "filter";

/** What readers may need from outside the file. */
export interface ReadContext {
  readonly interfaceIndex?: InterfaceIndex;
  readonly routingTable?: RoutingTableNumber;
}

/** The number of a routing table that has a name on this machine; undefined when it has none. */
export type RoutingTableNumber = (name: string) => number | undefined;

/** One key: its spelling, and what to do with its value. */
export interface KeySpec<Draft> {
  readonly name: string;
  /** Whether a second line adds to the first instead of replacing it. */
  readonly isList?: boolean;
  read(value: ConfigValue, draft: Draft, context: ReadContext): void;
}

type KeyTable<Draft> = ReadonlyMap<string, KeySpec<Draft>>;

function table<Draft>(...specs: KeySpec<Draft>[]): KeyTable<Draft> {
  return new Map(specs.map((spec) => [spec.name.toLowerCase(), spec]));
}

/** A key that is known but cannot be obeyed: better to stop than to ignore it. */
function unsupported<Draft>(name: string): KeySpec<Draft> {
  return { name, isList: true, read: (value) => value.error("not supported yet; remove the line") };
}

/** A key that adds a command. */
function hook(name: string, when: keyof Hooks): KeySpec<InterfaceDraft> {
  const read = (value: ConfigValue, draft: InterfaceDraft) => {
    if (value.text !== "") draft.hooks[when].push(value.text);
  };
  return { name, isList: true, read };
}

/** A key that takes a number of workers. */
function workerCount(
  name: string,
  count: "lanes" | "encryptors",
  range: CountRange,
): KeySpec<LonghaulDraft> {
  const read = (value: ConfigValue, draft: LonghaulDraft) => {
    const wanted = readWorkerCount(value.text, range);
    if (wanted !== undefined) draft[count] = wanted;
    else value.expected(`\`auto\` or ${rangeText(range)}`);
  };
  return { name, read };
}

export const INTERFACE_KEYS: KeyTable<InterfaceDraft> = table<InterfaceDraft>(
  { name: "PrivateKey", read: (value, draft) => draft.privateKey = readKey(value) },
  { name: "ListenPort", read: (value, draft) => draft.listenPort = readNumber(value, 0, 65_535) },
  { name: "FwMark", read: (value, draft) => draft.fwmark = readFwMark(value) },
  { name: "Address", isList: true, read: readAddresses },
  { name: "MTU", read: readMtu },
  { name: "Table", read: readTable },
  { name: "DNS", isList: true, read: readDns },
  { name: "SaveConfig", read: readSaveConfig },
  hook("PreUp", "preUp"),
  hook("PostUp", "postUp"),
  hook("PreDown", "preDown"),
  hook("PostDown", "postDown"),
);

export const PEER_KEYS: KeyTable<PeerDraft> = table<PeerDraft>(
  {
    name: "PublicKey",
    read(value, draft) {
      draft.hasPublicKey = true;
      draft.publicKey = readKey(value);
    },
  },
  { name: "PresharedKey", read: (value, draft) => draft.presharedKey = readKey(value) },
  { name: "AllowedIPs", isList: true, read: readAllowedIps },
  {
    name: "Endpoint",
    read: (value, draft, context) => draft.endpoint = readEndpoint(value, context.interfaceIndex),
  },
  {
    name: "PersistentKeepalive",
    read: (value, draft) => draft.keepaliveSeconds = readKeepalive(value),
  },
  {
    name: "NatAddress",
    isList: true,
    read: (value, draft) => draft.natAddresses.push(...readNatAddresses(value)),
  },
);

export const LONGHAUL_KEYS: KeyTable<LonghaulDraft> = table<LonghaulDraft>(
  { name: "Mode", read: readMode },
  workerCount("Lanes", "lanes", LANES),
  workerCount("Encryptors", "encryptors", ENCRYPTORS),
  { name: "SocketBuffer", read: readSocketBuffer },
  { name: "Offload", isList: true, read: readOffload },
  {
    name: "LocalServices",
    isList: true,
    read: (value, draft) => draft.localServices.push(...readLocalServices(value)),
  },
  { name: "Serve", isList: true, read: (value, draft) => readServe(value, draft.serve) },
  { name: "Netstack", isList: true, read: (value, draft) => readServe(value, draft.netstack) },
  {
    name: "Allow",
    isList: true,
    read: (value, draft) => readFilterRules(value, FilterAction.Allow, draft.filter),
  },
  {
    name: "Deny",
    isList: true,
    read: (value, draft) => readFilterRules(value, FilterAction.Deny, draft.filter),
  },
  unsupported("CongestionControl"),
  unsupported("Memory"),
  unsupported("Status"),
);

/** Sections of the format that this version cannot serve. */
export const UNSUPPORTED_SECTIONS: readonly string[] = [
  "Socks5",
  "http",
  "TCPClientTunnel",
  "TCPServerTunnel",
  "UDPProxyTunnel",
];

function readAddresses(value: ConfigValue, draft: InterfaceDraft): void {
  for (const item of value.words()) {
    const prefix = readPrefix(item);
    if (prefix !== undefined) draft.addresses.push(prefix);
  }
}

function readMtu(value: ConfigValue, draft: InterfaceDraft): void {
  const bytes = readNumber(value, MTU_MIN, MTU_MAX);
  draft.mtu = bytes === undefined ? null : { bytes, value };
}

function readTable(value: ConfigValue, draft: InterfaceDraft, context: ReadContext): void {
  const text = value.text.toLowerCase();
  if (text === "auto" || text === "off") draft.table = text;
  else draft.table = readTableNumber(value, context.routingTable) ?? "auto";
}

/** Tables that need no file to have a name (include/uapi/linux/rtnetlink.h). */
const TABLE_NAMES: ReadonlyMap<string, number> = new Map([
  ["default", 253],
  ["main", 254],
  ["local", 255],
]);

function readTableNumber(value: ConfigValue, named?: RoutingTableNumber): number | undefined {
  const { text } = value;
  const isNumber = /^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text);
  const number = isNumber ? Number(text) : TABLE_NAMES.get(text) ?? named?.(text) ?? -1;
  if (number > 0 && number < 2 ** 32) return number;
  return value.expected("`auto`, `off`, or the number or name of a routing table");
}

function readDns(value: ConfigValue, draft: InterfaceDraft): void {
  for (const item of value.words()) {
    const server = parseAddress(item.text);
    if (server !== null) draft.dnsServers.push(server);
    else if (isSearchDomain(item.text)) draft.dnsSearchDomains.push(item.text);
    else item.expected("the address of a server or a search domain");
  }
}

/** A name, or one behind `~`; digits and dots alone would be a misspelt address. */
function isSearchDomain(text: string): boolean {
  return text === "~." || (/^~?[A-Za-z0-9._-]{1,253}$/.test(text) && !/^[0-9.]+$/.test(text));
}

function readSaveConfig(value: ConfigValue, draft: InterfaceDraft): void {
  const text = value.text.toLowerCase();
  if (text === "true" || text === "false") draft.saveConfig = text === "true";
  else value.expected("`true` or `false`");
}

function readAllowedIps(value: ConfigValue, draft: PeerDraft): void {
  for (const item of value.items()) {
    const prefix = readPrefix(item);
    if (prefix === undefined) continue;
    if (hasHostBits(prefix)) item.warning(`${item.text} has host bits; they are ignored`);
    draft.allowedIps.push({ prefix, value: item });
  }
}

function hasHostBits({ address, bits }: Prefix): boolean {
  return address.some((byte, i) => (byte & (0xff >> Math.min(Math.max(bits - i * 8, 0), 8))) !== 0);
}

function readMode(value: ConfigValue, draft: LonghaulDraft): void {
  const text = value.text.toLowerCase();
  if (isMode(text)) draft.mode = text;
  else value.expected("`auto`, `tun`, `rootless` or `hybrid`");
}

function readSocketBuffer(value: ConfigValue, draft: LonghaulDraft): void {
  draft.socketBufferBytes = readSize(value, 65_536, 2 ** 30) ?? null;
}

function readOffload(value: ConfigValue, draft: LonghaulDraft): void {
  for (const item of value.items()) {
    const name = OFFLOAD_SWITCHES.get(item.text.toLowerCase());
    if (name !== undefined) {
      draft.offload[name] = false;
      continue;
    }
    const known = [...OFFLOAD_SWITCHES.keys()];
    item.expected(`one of ${known.join(", ")}`, suggestion(item.text, known));
  }
}
