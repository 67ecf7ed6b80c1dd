/**
 * Looks names up beside a tunnel that has taken the default route.
 *
 * When a peer's address changes, the tunnel is dead until its name is looked up again, and so is
 * every name server behind it. The servers that the host had before are asked then, by sockets that
 * bear the mark of the tunnel's own datagrams. The system's resolver comes first: it knows more
 * (hosts files, other sources), and a server of the local network answers it as ever.
 */
import { Errno } from "../base/errno.ts";
import { systemClock } from "../../ffi/clock.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { orThrow } from "../../ffi/error.ts";
import { exists, readTextFile } from "../../ffi/files.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { systemRandom } from "../../ffi/random.ts";
import { type HostAddress, resolveHost } from "../../ffi/resolver.ts";
import {
  AF_INET,
  AF_INET6,
  internetAddress,
  setSocketMark,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
} from "../../ffi/socket.ts";
import { parseAddress } from "../control/address_text.ts";
import { type AddressType, buildQuery, DnsType, parseAnswer } from "../wire/dns_message.ts";

const DNS_PORT = 53;
/** As resolv.conf's defaults: five seconds for an answer, three servers. */
const ANSWER_WAIT_MS = 5000;
const SERVERS_MAX = 3;
const POLL_MS = 20;
const MESSAGE_BYTES_MAX = 4096;

const RESOLV_CONF = "/etc/resolv.conf";
/** Behind systemd-resolved's local server: those that it asks itself. */
const RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf";

/** The name servers in the text of a resolv.conf, those of this host itself left out. */
export function nameServers(text: string): Uint8Array[] {
  const servers = text.split("\n").flatMap((line) => {
    const server = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return server === undefined ? [] : parseAddress(server) ?? [];
  });
  return servers.filter((server) => !isLoopback(server)).slice(0, SERVERS_MAX);
}

function isLoopback(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 127;
  return address.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

/** The name servers of this host as it is now; none when only local ones are known. */
export function currentNameServers(): Uint8Array[] {
  for (const path of [RESOLV_CONF, RESOLVED_UPSTREAM]) {
    const servers = exists(path) ? nameServers(readTextFile(path, 65_536)) : [];
    if (servers.length > 0) return servers;
  }
  return [];
}

/** Resolves the names of endpoints. */
export class OuterResolver {
  readonly #servers: readonly Uint8Array[];
  /** The mark of the tunnel's own datagrams; 0 as long as nothing leads through the tunnel. */
  mark = 0;

  /** `servers` are those to ask beside the tunnel. */
  constructor(servers: readonly Uint8Array[]) {
    this.#servers = servers;
  }

  /** The address of a host; rejects with an `Error` that says why there is none. */
  async resolve(host: string): Promise<HostAddress> {
    try {
      return await resolveHost(host);
    } catch (error) {
      const address = this.mark === 0 ? null : await this.#askServers(host);
      if (address === null) throw error;
      return { address, scopeId: 0 };
    }
  }

  async #askServers(host: string): Promise<Uint8Array | null> {
    for (const server of this.#servers) {
      const answers = await Promise.all(
        [DnsType.A, DnsType.AAAA].map((type) => this.#ask(server, host, type)),
      );
      const address = answers.flat().at(0);
      if (address !== undefined) return address;
    }
    return null;
  }

  /** What a server answers; nothing when it does not, or cannot be asked. */
  async #ask(server: Uint8Array, host: string, type: AddressType): Promise<readonly Uint8Array[]> {
    const id = new DataView(systemRandom.fill(new Uint8Array(2)).buffer).getUint16(0);
    const query = buildQuery(id, host, type);
    if (query === null) return [];
    const fd = this.#open(server);
    try {
      if (fd < 0 || checked(libc().send(fd, query, query.length, 0)) < 0) return [];
      return await receiveAnswer(fd, query);
    } finally {
      if (fd >= 0) closeFd(fd);
    }
  }

  /** A marked socket that hears this server alone, on a port of the kernel's choice. */
  #open(server: Uint8Array): number {
    const family = server.length === 4 ? AF_INET : AF_INET6;
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = orThrow(checked(libc().socket(family, type, 0)), "socket");
    const address = internetAddress(server, DNS_PORT);
    if (
      setSocketMark(fd, this.mark) < 0 || checked(libc().connect(fd, address, address.length)) < 0
    ) {
      closeFd(fd);
      return -1;
    }
    return fd;
  }
}

async function receiveAnswer(
  fd: number,
  query: Uint8Array,
): Promise<readonly Uint8Array[]> {
  const bytes = fixedBytes(MESSAGE_BYTES_MAX);
  const deadlineMs = systemClock.nowMs() + ANSWER_WAIT_MS;
  while (systemClock.nowMs() < deadlineMs) {
    const length = checked(libc().recv(fd, bytes, bytes.length, 0));
    if (length >= 0) {
      // Something else, or something forged, may come before the answer.
      const answer = parseAnswer(bytes.subarray(0, length), query);
      if (answer !== null) return answer.addresses;
    } else if (length !== -Errno.EAGAIN && length !== -Errno.EINTR) return [];
    else await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return [];
}
