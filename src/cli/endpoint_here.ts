/** Where other machines reach this one, for the config of another end. */
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkError } from "../../ffi/netlink_error.ts";
import { findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { lookUpRoute } from "../../ffi/rtnetlink_route.ts";
import { formatAddress, parseAddress, parseDecimal, parsePrefix } from "../control/address_text.ts";
import type { NodeConfig } from "../config/types.ts";
import { contains } from "../daemon/tunnel_routes.ts";
import { readDevice } from "./device_client.ts";
import { UsageError } from "./environment.ts";
import type { PeerFile } from "./peer_file.ts";
import { wipeStatus } from "./show_command.ts";

/** Far away by every machine's routes: only the default route leads there. Nothing is sent. */
const FAR_AWAY = ["1.1.1.1", "2606:4700:4700::1111"];
/** Addresses that mean something in their own network only. */
const PRIVATE = [
  ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"],
  ...["127.0.0.0/8", "fc00::/7", "fe80::/10"],
].map((text) => parsePrefix(text)!);

/** A host with a port behind it; a bare IPv6 address has none. */
const HAS_PORT = /^(\[[^\]]*\]|[^:]*):\d{1,5}$/;

/** An address of this machine, and whether it is one that only its own network knows. */
export interface OwnAddress {
  readonly address: Uint8Array;
  readonly isPrivate: boolean;
}

/**
 * The source address of this machine's default route, past the tunnel `interfaceName` itself, whose
 * own datagrams bear `fwmark`; null when there is none.
 */
export function guessAddress(interfaceName: string, fwmark: number): OwnAddress | null {
  using socket = NetlinkSocket.open();
  const tunnel = findLinkByName(socket, interfaceName)?.index;
  for (const text of FAR_AWAY) {
    const route = lookUp(socket, parseAddress(text)!, fwmark);
    const address = route?.preferredSource;
    if (address === undefined || route?.outInterface === tunnel) continue;
    const host = { address, bits: address.length * 8 };
    return { address, isPrivate: PRIVATE.some((prefix) => contains(prefix, host)) };
  }
  return null;
}

function lookUp(socket: NetlinkSocket, destination: Uint8Array, fwmark: number) {
  try {
    return lookUpRoute(socket, destination, fwmark === 0 ? {} : { mark: fwmark });
  } catch (error) {
    // A machine without IPv6 answers in several ways.
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

/** An address and a port as the config has them. */
export function endpointText(address: Uint8Array, port: number): string {
  const text = formatAddress(address);
  return address.length === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

/** `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT` with the port filled in. Throws `UsageError`. */
function completeEndpoint(text: string, port: number): string {
  const bare = parseAddress(text);
  if (bare !== null) return endpointText(bare, port);
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  const given = match?.[2] === undefined ? port : parseDecimal(match[2], 65_535);
  if (match === null || given <= 0) {
    throw new UsageError(`--endpoint-here wants HOST or HOST:PORT, not "${text}"`);
  }
  return `${match[1]}:${given}`;
}

/**
 * Where the other end of a tunnel calls this one: as given, or guessed; null when nothing tells. Says
 * on standard error what is doubtful.
 */
export function endpointOfHere(
  file: PeerFile,
  config: NodeConfig,
  given: string | undefined,
): string | null {
  const { port, fwmark } = socketsOf(file, config);
  if (given !== undefined && (port !== 0 || HAS_PORT.test(given))) {
    return completeEndpoint(given, port);
  }
  if (port === 0) {
    console.error(
      "longhaul: its config has no Endpoint: this end's port is not known. " +
        `Set ListenPort in ${file.path}, or say --endpoint-here HOST:PORT`,
    );
    return null;
  }
  const guess = guessAddress(file.interfaceName, fwmark);
  if (guess === null) {
    console.error(
      "longhaul: its config has no Endpoint: this machine has no default route to tell its " +
        "address by. Say --endpoint-here HOST",
    );
    return null;
  }
  if (guess.isPrivate) {
    console.error(
      `longhaul: ${formatAddress(guess.address)} is a private address, reached from its own ` +
        "network alone: for peers elsewhere say --endpoint-here HOST, with the port " +
        `${port}/udp forwarded to this machine`,
    );
  }
  return endpointText(guess.address, port);
}

/** The port and the mark of the tunnel's sockets, as they run or as the file has them. */
function socketsOf(file: PeerFile, config: NodeConfig): { port: number; fwmark: number } {
  const { listenPort, fwmark } = config.device;
  if (!file.isLive) return { port: listenPort ?? 0, fwmark: fwmark ?? 0 };
  const status = readDevice(file.interfaceName);
  wipeStatus(status);
  return { port: status.listenPort, fwmark: status.fwmark };
}
