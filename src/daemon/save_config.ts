/** SaveConfig: at the end of a tunnel, its state goes back into the file that it came from. */
import { fileStatus, readTextFile, writeFileAtomic } from "../../ffi/files.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { RouteScope } from "../../ffi/rtnetlink_route_message.ts";
import { listAddresses } from "../../ffi/rtnetlink_address.ts";
import { findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { formatPrefix } from "../control/address_text.ts";
import { mergeState, type RunningState } from "../config/save.ts";
import { parseConfig } from "../config/parse.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { DeviceStatus, Prefix } from "../wireguard/configuration.ts";
import { SetupError } from "./setup_error.ts";

const CONFIG_BYTES_MAX = 64 * 1024 * 1024;

/** What is saved where. */
export interface SaveOptions {
  /** The file, links followed. */
  readonly path: string;
  readonly interfaceName: string;
  readonly device: DeviceStatus;
  /** The addresses that the config gave. */
  readonly configAddresses: readonly Prefix[];
  readonly chosenFwmark: number | null;
}

/**
 * Writes the running state into the file, as it stands there by now; the keys of `device` are wiped.
 * Throws `SystemCallError` or `SetupError`; the file is then as it was.
 */
export function saveConfig(options: SaveOptions): void {
  const { path, interfaceName, device, chosenFwmark } = options;
  try {
    const before = readTextFile(path, CONFIG_BYTES_MAX);
    const link = interfaceState(interfaceName, options.configAddresses);
    const after = mergeState(before, { device, chosenFwmark, ...link });
    if (after === before) return;
    const { config } = parseConfig(after, { file: path });
    if (config === null) {
      throw new SetupError(`The state of ${interfaceName} is not saved: ${path} has errors by now`);
    }
    writeFileAtomic(path, after, fileStatus(path)?.mode ?? 0o600);
  } finally {
    if (device.privateKey !== null) wipe(device.privateKey);
    wipe(...device.peers.map((peer) => peer.presharedKey));
  }
}

/** Addresses and MTU; what the kernel made by itself (IPv6 link-local) is left out. */
function interfaceState(
  name: string,
  configAddresses: readonly Prefix[],
): Pick<RunningState, "addresses" | "mtu"> {
  using socket = NetlinkSocket.open();
  const link = findLinkByName(socket, name);
  if (link === null) return { addresses: null, mtu: null };
  const given = new Set(configAddresses.map(formatPrefix));
  const addresses = listAddresses(socket, { index: link.index }).filter((each) =>
    each.scope !== RouteScope.RT_SCOPE_LINK || given.has(formatPrefix(each))
  );
  return { addresses, mtu: link.mtu };
}
