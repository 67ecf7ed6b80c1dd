/**
 * `LocalServices`: ports of this host that peers may reach through the stack. An item is
 *
 *     [tcp:|udp:] PORT | FIRST-LAST  [:HOST:PORT]
 *
 * and means TCP unless it says otherwise. Without HOST it leads to the same port of this host's
 * loopback addresses; with it, the first port leads to PORT, the next to the port behind that, and
 * so on. HOST is an address, IPv6 in brackets. `dns` alone stands for port 53 of both transports and
 * leads to the name servers of this host, so that peers can resolve the names of its network. Nothing stands for "all": what listens on loopback
 * often trusts whoever can reach it.
 */
import { parseAddress, parseDecimal } from "../control/address_text.ts";
import { type LocalService, RESOLVER, type Transport } from "../forward/local_services.ts";
import type { ConfigValue } from "./value.ts";

const PORT_MAX = 65_535;
const DNS_PORT = 53;
const EXPECTED = "ports such as 22, 5000-5010, udp:53 or 8080:127.0.0.1:3000, or dns";

/** Reads the list of one line; what is wrong is reported and left out. */
export function readLocalServices(value: ConfigValue): LocalService[] {
  const services: LocalService[] = [];
  for (const item of value.items()) {
    if (item.text.toLowerCase() === "dns") {
      services.push(dnsService("udp"), dnsService("tcp"));
      continue;
    }
    const service = readService(item);
    if (service !== undefined) services.push(service);
  }
  return services;
}

function dnsService(transport: Transport): LocalService {
  return { transport, firstPort: DNS_PORT, lastPort: DNS_PORT, host: RESOLVER, port: DNS_PORT };
}

function readService(item: ConfigValue): LocalService | undefined {
  if (item.text.toLowerCase() === "all") {
    return item.error("list the ports that peers may reach; there is no word for all of them");
  }
  const match = /^(?:(tcp|udp):)?([^:]+)(?::(.+):([^:\]]+))?$/i.exec(item.text);
  if (match === null) return item.expected(EXPECTED);
  const [, prefix, range, hostText, portText] = match;
  const transport = (prefix?.toLowerCase() ?? "tcp") as Transport;
  const [firstText, lastText] = range.split("-", 2);
  const firstPort = parseDecimal(firstText, PORT_MAX);
  const lastPort = lastText === undefined ? firstPort : parseDecimal(lastText, PORT_MAX);
  if (firstPort < 1 || lastPort < firstPort || range.split("-").length > 2) {
    return item.expected(EXPECTED);
  }
  if (hostText === undefined) {
    return { transport, firstPort, lastPort, host: null, port: firstPort };
  }
  const host = parseHost(hostText);
  if (host === null) return item.expected("an address before the last port, IPv6 in brackets");
  const port = parseDecimal(portText, PORT_MAX);
  if (port < 1 || port + lastPort - firstPort > PORT_MAX) {
    return item.expected(`a port from 1 to ${PORT_MAX - lastPort + firstPort} behind the address`);
  }
  return { transport, firstPort, lastPort, host, port };
}

function parseHost(text: string): Uint8Array | null {
  const bracketed = /^\[(.+)\]$/.exec(text);
  const address = parseAddress(bracketed?.[1] ?? text);
  return address !== null && (address.length === 16) === (bracketed !== null) ? address : null;
}
