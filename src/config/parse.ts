/**
 * Reads a config file in wg-quick's format, with our own keys in `[Longhaul]`. It reports everything
 * that is wrong with a file at once, and gives a config only when nothing is. Text in, result out.
 */
import { ALL_OFFLOADS } from "./offload.ts";
import type { InterfaceIndex } from "../control/address_text.ts";
import { toHex } from "../wireguard/bytes.ts";
import { type Diagnostic, Diagnostics, quote } from "./diagnostic.ts";
import { friendlyNames } from "./friendly_name.ts";
import { type KeyLine, readLines, type SectionLine } from "./lines.ts";
import { suggestion } from "./nearest.ts";
import {
  INTERFACE_KEYS,
  type InterfaceDraft,
  type KeySpec,
  LONGHAUL_KEYS,
  type LonghaulDraft,
  PEER_KEYS,
  type PeerDraft,
  type RoutingTableNumber,
  UNSUPPORTED_SECTIONS,
} from "./sections.ts";
import { checkNatAddresses } from "./nat_address.ts";
import { checkMtu, mergePeers, type PublicKeyOf, routesOf } from "./peers.ts";
import type { NodeConfig } from "./types.ts";
import { ConfigValue } from "./value.ts";

/** What a file is read with. */
export interface ParseOptions {
  /** The name that diagnostics begin with. */
  readonly file: string;
  /** Tells our own key among the peers; without it nobody looks. */
  readonly publicKeyOf?: PublicKeyOf;
  /** Resolves the zone of an IPv6 endpoint; a zone that it does not know is left to the resolver. */
  readonly interfaceIndex?: InterfaceIndex;
  /** Resolves the name of a routing table; without it only the kernel's own names are known. */
  readonly routingTable?: RoutingTableNumber;
}

/** A config, or null when there are errors among the diagnostics. */
export interface ParseResult {
  readonly config: NodeConfig | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** A section that is being read: sets a key of its draft. */
interface OpenSection {
  readonly name: string;
  readonly line: number;
  readonly column: number;
  readonly keys: ReadonlyMap<string, { readonly name: string; readonly isList?: boolean }>;
  /** Where each key that is not a list was set last. */
  readonly lineOf: Map<string, number>;
  set(key: string, value: ConfigValue): void;
}

const SECTION_NAMES = ["Interface", "Peer", "Longhaul"];

/** Parses the text of a config file. */
export function parseConfig(text: string, options: ParseOptions): ParseResult {
  const parser = new ConfigParser(options);
  for (const line of readLines(text, parser.diagnostics)) {
    if (line.kind === "section") parser.section(line);
    else parser.key(line);
  }
  const config = parser.finish(friendlyNames(text));
  return { config, diagnostics: parser.diagnostics.list() };
}

/** The section that a key is known in, as the end of a message; null when there is none. */
function homeOf(key: string): string | null {
  const name = key.toLowerCase();
  const home = INTERFACE_KEYS.has(name)
    ? "Interface"
    : PEER_KEYS.has(name)
    ? "Peer"
    : LONGHAUL_KEYS.has(name)
    ? "Longhaul"
    : null;
  return home === null ? null : `; it belongs in [${home}]`;
}

class ConfigParser {
  readonly diagnostics: Diagnostics;
  readonly #options: ParseOptions;
  /** The sections of ordinary lines and of `#:` lines; null where keys are skipped. */
  #plain: OpenSection | null | undefined = undefined;
  #marked: OpenSection | null | undefined = undefined;
  readonly #interface: InterfaceDraft = {
    privateKey: undefined,
    listenPort: undefined,
    fwmark: undefined,
    addresses: [],
    mtu: null,
    table: "auto",
    dnsServers: [],
    dnsSearchDomains: [],
    hooks: { preUp: [], postUp: [], preDown: [], postDown: [] },
    saveConfig: false,
  };
  readonly #longhaul: LonghaulDraft = {
    mode: "auto",
    lanes: "auto",
    encryptors: "auto",
    socketBufferBytes: null,
    offload: { ...ALL_OFFLOADS },
    localServices: [],
    serve: [],
    netstack: [],
    filter: [],
  };
  readonly #peers: PeerDraft[] = [];
  #interfaceSection: OpenSection | null = null;
  #longhaulSection: OpenSection | null = null;

  constructor(options: ParseOptions) {
    this.#options = options;
    this.diagnostics = new Diagnostics(options.file);
  }

  section(line: SectionLine): void {
    const section = this.#open(line);
    this.#marked = section;
    if (!line.isMarked) this.#plain = section;
  }

  key(line: KeyLine): void {
    const section = line.isMarked ? this.#marked : this.#plain;
    if (section === null) return;
    if (section === undefined) {
      this.diagnostics.error(
        line.line,
        line.keyColumn,
        "expected a section such as `[Interface]` before any key",
      );
      return;
    }
    const spec = section.keys.get(line.key.toLowerCase());
    if (spec === undefined) {
      const known = Array.from(section.keys.values(), (spec) => spec.name);
      const near = homeOf(line.key) ?? suggestion(line.key, known);
      const message = `unknown key ${quote(line.key)} in [${section.name}]${near}`;
      this.diagnostics.error(line.line, line.keyColumn, message);
      return;
    }
    const earlier = section.lineOf.get(spec.name);
    if (earlier !== undefined && !spec.isList) {
      const message = `${spec.name} replaces that of line ${earlier}`;
      this.diagnostics.warning(line.line, line.keyColumn, message);
    }
    section.lineOf.set(spec.name, line.line);
    const { value, valueColumn } = line;
    section.set(
      line.key.toLowerCase(),
      new ConfigValue(value, spec.name, line.line, valueColumn, this.diagnostics),
    );
  }

  /** The config, null when there is an error. */
  finish(friendlyNames: ReadonlyMap<string, string>): NodeConfig | null {
    const { diagnostics } = this;
    const draft = this.#interface;
    const section = this.#interfaceSection;
    if (section === null) {
      diagnostics.error(1, 1, "there is no [Interface] section");
    } else if (!section.lineOf.has("PrivateKey")) {
      const message = "[Interface] has no PrivateKey: no peer can connect until one is set";
      diagnostics.warning(section.line, section.column, message);
    }
    const peers = mergePeers(this.#peers, draft.privateKey, this.#options.publicKeyOf, diagnostics);
    checkNatAddresses(this.#peers, draft.addresses);
    checkMtu(draft.mtu, [...draft.addresses, ...peers.flatMap((peer) => peer.allowedIps)]);
    if (diagnostics.hasErrors) return null;
    const { privateKey, listenPort, fwmark, mtu, ...rest } = draft;
    return {
      interface: { ...rest, mtu: mtu?.bytes ?? null },
      device: {
        ...(privateKey !== undefined && { privateKey }),
        ...(listenPort !== undefined && { listenPort }),
        ...(fwmark !== undefined && { fwmark }),
        peers: peers.map((peer) => {
          const friendlyName = friendlyNames.get(toHex(peer.publicKey));
          return friendlyName === undefined ? peer : { ...peer, friendlyName };
        }),
      },
      routes: rest.table === "off" ? [] : routesOf(peers),
      longhaul: this.#longhaul,
    };
  }

  #open(line: SectionLine): OpenSection | null {
    switch (line.name.toLowerCase()) {
      case "interface":
        return this.#interfaceSection ??= this.#make(
          line,
          "Interface",
          INTERFACE_KEYS,
          this.#interface,
        );
      case "longhaul":
        return this.#longhaulSection ??= this.#make(
          line,
          "Longhaul",
          LONGHAUL_KEYS,
          this.#longhaul,
        );
      case "peer":
        return this.#make(line, "Peer", PEER_KEYS, this.#newPeer(line));
    }
    const known = UNSUPPORTED_SECTIONS.find((name) =>
      name.toLowerCase() === line.name.toLowerCase()
    );
    const message = known === undefined
      ? `unknown section ${quote(line.name)}${suggestion(line.name, SECTION_NAMES)}`
      : `[${known}] is not supported yet; remove the section`;
    this.diagnostics.error(line.line, line.column, message);
    return null;
  }

  #newPeer(line: SectionLine): PeerDraft {
    const peer: PeerDraft = {
      publicKey: undefined,
      hasPublicKey: false,
      presharedKey: undefined,
      endpoint: undefined,
      keepaliveSeconds: undefined,
      allowedIps: [],
      natAddresses: [],
      line: line.line,
      column: line.column,
    };
    this.#peers.push(peer);
    return peer;
  }

  #make<Draft>(
    { line, column }: SectionLine,
    name: string,
    keys: ReadonlyMap<string, KeySpec<Draft>>,
    draft: Draft,
  ): OpenSection {
    const { interfaceIndex, routingTable } = this.#options;
    const context = { interfaceIndex, routingTable };
    const set = (key: string, value: ConfigValue) => keys.get(key)!.read(value, draft, context);
    return { name, line, column, keys, lineOf: new Map(), set };
  }
}
