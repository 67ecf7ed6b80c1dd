/**
 * `longhaul setconf|addconf|syncconf NAME FILE`: a config file of `wg` for a running interface.
 *
 * `setconf` makes the interface what the file says, from nothing; `addconf` adds what the file says;
 * `syncconf` changes what differs, and peers that stay keep their sessions.
 */
import { readTextFile } from "../../ffi/files.ts";
import { isNamed, toDeviceChange, wipeKeys } from "../config/device_change.ts";
import { parseDeviceFile } from "../config/device_file.ts";
import { syncDevice } from "../config/device_sync.ts";
import { formatDiagnostic } from "../config/diagnostic.ts";
import type { DeviceConfig, NamedEndpoint } from "../config/types.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import type { DeviceChange, SocketAddress } from "../wireguard/configuration.ts";
import type { CommandSpec } from "./command_spec.ts";
import { changeDevice, readDevice, zoneIndex } from "./device_client.ts";
import { warnIfOpen } from "./key_file.ts";
import { resolveEndpoint } from "./resolve_endpoints.ts";
import { wipeStatus } from "./show_command.ts";

const FILE_BYTES_MAX = 64 * 1024 * 1024;

type Resolve = (endpoint: NamedEndpoint) => SocketAddress | null;
/** From a file to the change of a running interface. */
type MakeChange = (device: DeviceConfig, resolve: Resolve, name: string) => DeviceChange;

function loadCommand(
  name: string,
  summary: string,
  does: string,
  makeChange: MakeChange,
): CommandSpec {
  return {
    name,
    summary,
    words: "NAME FILE",
    count: { min: 2, max: 2, rule: `${name} takes an interface and a file` },
    flags: [],
    examples: [[`${name} wg0 ./wg0.device`, does]],
    about: "The file is one of `wg`, without the keys of wg-quick; /dev/stdin is one, too. " +
      "A bad file changes nothing.",
    run: ({ words }) => load(words[0], words[1], makeChange),
  };
}

export const setconfCommand = loadCommand(
  "setconf",
  "make a running interface what a file says",
  "keys, port, mark and peers of the file, and no others",
  (device, resolve) => ({
    // What the file leaves out is cleared.
    privateKey: new Uint8Array(KEY_BYTES),
    listenPort: 0,
    fwmark: 0,
    ...toDeviceChange(device, resolve),
  }),
);

export const addconfCommand = loadCommand(
  "addconf",
  "add what a file says to a running interface",
  "add the peers of the file",
  (device, resolve) => ({ ...toDeviceChange(device, resolve), replacePeers: false }),
);

export const syncconfCommand = loadCommand(
  "syncconf",
  "change what differs between a file and a running interface",
  "the same as setconf, but peers that stay keep their sessions",
  (device, resolve, name) => {
    const status = readDevice(name);
    try {
      const cleared = { privateKey: new Uint8Array(KEY_BYTES), listenPort: 0, fwmark: 0 };
      const whole = { ...cleared, ...device };
      return syncDevice(whole, status, { resolve, removeAbsent: true, incremental: false });
    } finally {
      wipeStatus(status);
    }
  },
);

async function load(name: string, path: string, makeChange: MakeChange): Promise<number> {
  warnIfOpen(path);
  const { device, errors } = parseDeviceFile(readTextFile(path, FILE_BYTES_MAX), path, zoneIndex);
  for (const error of errors) console.error(formatDiagnostic(error));
  if (device === null) return 1;
  try {
    const addresses = await resolveAll(device);
    const resolve: Resolve = (endpoint) => addresses.get(endpoint) ?? null;
    changeDevice(name, makeChange(device, resolve, name));
  } finally {
    wipeKeys(device);
  }
  return 0;
}

async function resolveAll(device: DeviceConfig): Promise<Map<NamedEndpoint, SocketAddress>> {
  const addresses = new Map<NamedEndpoint, SocketAddress>();
  for (const { endpoint } of device.peers) {
    if (endpoint === undefined || !isNamed(endpoint)) continue;
    addresses.set(endpoint, await resolveEndpoint(endpoint));
  }
  return addresses;
}
