/**
 * The config that `up` makes where there is none: keys, a port, addresses that nothing on this
 * machine uses. It is `longhaul0.conf` in the state folder, and it is the user's from then on.
 */
import { exists, fileStatus, makeFolders, setFileMode, writeFileAtomic } from "../../ffi/files.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { AddressFamily } from "../../ffi/rtnetlink.ts";
import { listAddresses } from "../../ffi/rtnetlink_address.ts";
import { listRoutes } from "../../ffi/rtnetlink_route.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { systemRandom } from "../../ffi/random.ts";
import { closeUdpSockets, openUdpSockets } from "../../ffi/udp_open.ts";
import { firstHost, freeNetworks } from "../config/free_network.ts";
import { formatPrefix } from "../control/address_text.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { STATE_FOLDER_FIX, stateFolder } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import { clampPrivateKey } from "../wireguard/noise.ts";

/** The interface of a config that `up` has made. */
export const DEFAULT_INTERFACE = "longhaul0";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** WireGuard's own, which firewalls are opened for. */
const PORT = 51_820;
const PROBE_BUFFER_BYTES = 65_536;

/** The path of the config that `up` makes; null for a user without a home. */
export function defaultConfigPath(): string | null {
  const folder = stateFolder();
  return folder === null ? null : `${folder}/${DEFAULT_INTERFACE}.conf`;
}

/**
 * The path of the config, which is made when there is none yet. Throws `SetupError` and
 * `SystemCallError`.
 */
export function obtainFirstConfig(): string {
  const path = defaultConfigPath();
  if (path === null) {
    throw new SetupError("There is no folder for keys and config: set HOME or XDG_STATE_HOME");
  }
  if (exists(path)) return path;
  const folder = path.slice(0, path.lastIndexOf("/"));
  makeFolders(folder, FOLDER_MODE, STATE_FOLDER_FIX);
  closeToOthers(folder);
  writeFileAtomic(path, firstConfig(), FILE_MODE);
  return path;
}

/** A state folder that somebody has made with a wider mode becomes private, too. */
function closeToOthers(folder: string): void {
  const mode = fileStatus(folder)?.mode ?? 0;
  if ((mode & 0o077) !== 0) setFileMode(folder, FOLDER_MODE);
}

function firstConfig(): string {
  const { v4, v6 } = freeNetworks(takenPrefixes(), systemRandom);
  const addresses = [v4, v6].filter((network) => network !== null).map(firstHost);
  const privateKey = clampPrivateKey(systemRandom.fill(new Uint8Array(KEY_BYTES)));
  const text = [
    `# Made by \`longhaul up\`. It is yours to change: \`longhaul reload ${DEFAULT_INTERFACE}\``,
    "# applies changes, `longhaul peer add NAME` adds a peer.",
    "[Interface]",
    `PrivateKey = ${formatKeyBase64(privateKey)}`,
    `ListenPort = ${freePort()}`,
    `Address = ${addresses.map(formatPrefix).join(", ")}`,
    "",
  ].join("\n");
  wipe(privateKey);
  return text;
}

/** All addresses with their networks, and where all routes lead. */
function takenPrefixes(): Prefix[] {
  using socket = NetlinkSocket.open();
  const families = [AddressFamily.AF_INET, AddressFamily.AF_INET6];
  return [
    ...listAddresses(socket),
    ...families.flatMap((family) => listRoutes(socket, { family }))
      .map(({ destination, bits }) => ({ address: destination, bits })),
  ];
}

/** The usual port, or another one that is free. */
function freePort(): number {
  for (const port of [PORT, 0]) {
    try {
      const sockets = openUdpSockets({ port, bufferBytes: PROBE_BUFFER_BYTES, gro: false });
      closeUdpSockets(sockets);
      return sockets.port;
    } catch (error) {
      if (!(error instanceof SystemCallError) || port === 0) throw error;
    }
  }
  return PORT;
}
