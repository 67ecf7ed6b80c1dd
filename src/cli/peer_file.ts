/**
 * The config file that peers are added to and removed from: which one it is, and how a change gets
 * into it and into the running interface, both or neither.
 */
import { formatDiagnostic, quote } from "../config/diagnostic.ts";
import { modeWarning } from "../config/file_name.ts";
import type { NodeConfig, PeerConfig } from "../config/types.ts";
import { nodeDifference } from "../config/node_difference.ts";
import { isPartOfEverything } from "../daemon/default_route.ts";
import { InterfaceChange } from "../daemon/interface_change.ts";
import { liveInterfaces } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import {
  canonicalPath,
  exists,
  fileStatus,
  readTextFile,
  writeFileAtomic,
} from "../../ffi/files.ts";
import { withFolderLock } from "../../ffi/file_lock.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { suggestion } from "../config/nearest.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import type { DeviceChange, Prefix } from "../wireguard/configuration.ts";
import type { FlagSpec } from "./command_spec.ts";
import { type ConfigPlace, findConfig, parseConfigText } from "./config_file.ts";
import { changeDevice } from "./device_client.ts";
import { DEFAULT_INTERFACE, defaultConfigPath } from "./first_config.ts";
import {
  configOfTunnel,
  isServiceCopy,
  reloadFromText,
  reloadTunnel,
  tunnelsWithConfig,
} from "./reload_command.ts";

const CONFIG_BYTES_MAX = 64 * 1024 * 1024;

/** The flag that all `peer` commands have. */
export const INTERFACE_FLAG: FlagSpec = {
  name: "interface",
  alias: "i",
  value: "NAME|FILE",
  help: "the tunnel that is meant, where there are several",
};

/** A config file, and who runs it. */
export interface PeerFile extends ConfigPlace {
  /** Whether something runs under the interface's name. */
  readonly isLive: boolean;
  /** Whether it is this program's `up` with this file, or with a copy of it. */
  readonly isOwn: boolean;
  /** Whether it is a service that has a copy of the file and cannot read the file itself. */
  readonly isCopy: boolean;
}

/** The file that is meant. Throws `SetupError` when there is none, or none that stands out. */
export function findPeerFile(wanted: string | undefined): PeerFile {
  const place = wanted === undefined ? onlyPlace() : findConfig(wanted);
  const { interfaceName } = place;
  const isLive = liveInterfaces().includes(interfaceName);
  const running = isLive ? configOfTunnel(interfaceName) : null;
  const isPath = wanted !== undefined && wanted.includes("/");
  // What systemd hands to a service is a copy; the file to edit is the one that it was made from.
  const isCopy = running !== null && isServiceCopy(running);
  const isHere = running !== null && !isCopy && !isPath;
  const path = isHere ? running : canonicalPath(place.path) ?? place.path;
  if (!exists(path)) throw new SetupError(`There is no config file ${path}`);
  return { path, interfaceName, isLive, isOwn: running === path || isCopy, isCopy };
}

function onlyPlace(): ConfigPlace {
  const { names, hint } = tunnelsWithConfig();
  if (names.length === 1) return findConfig(names[0]);
  const path = defaultConfigPath();
  const hasDefault = path !== null && exists(path);
  if (names.length === 0 && hasDefault) return { path, interfaceName: DEFAULT_INTERFACE };
  throw new SetupError(
    names.length === 0
      ? `There is no tunnel yet: make one (longhaul up), or name its file (--interface FILE)${hint}`
      : `Which one: ${names.join(", ")}? Say it with --interface`,
  );
}

/** A config with the text that it was read from. */
export interface ReadFile {
  readonly text: string;
  readonly config: NodeConfig;
}

/** Reads a file. Throws `SetupError` with everything that is wrong with it. */
export function readPeerFile({ path }: ConfigPlace): ReadFile {
  const text = readTextFile(path, CONFIG_BYTES_MAX);
  return { text, config: parse(text, path) };
}

function parse(text: string, path: string): NodeConfig {
  const { crypto } = selectNoiseCrypto();
  const publicKeyOf = (privateKey: Uint8Array) => crypto.x25519PublicKey(privateKey);
  const { config, diagnostics } = parseConfigText(text, path, publicKeyOf);
  if (config !== null) return config;
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  throw new SetupError(`Cannot use ${path}:\n${errors.map(formatDiagnostic).join("\n")}`);
}

/** What is to be done to a file, and to a device that another program runs. */
export interface PeerEdit {
  readonly text: string;
  readonly change: DeviceChange;
}

/**
 * Edits the file and brings the change to what runs; nobody else edits it meanwhile. When the
 * running interface refuses, the file is as it was. Throws `SetupError`. What is worth knowing goes
 * to standard error.
 */
export async function editPeerFile(
  file: PeerFile,
  edit: (read: ReadFile) => PeerEdit,
): Promise<void> {
  const folder = file.path.slice(0, file.path.lastIndexOf("/")) || "/";
  await withFolderLock(folder, async () => {
    const read = readPeerFile(file);
    const { text, change } = edit(read);
    // What comes out has to be a config again.
    const after = parse(text, file.path);
    const mode = fileStatus(file.path)?.mode ?? 0o600;
    const warning = modeWarning(file.path, mode);
    if (warning !== null) console.error(`longhaul: warning: ${warning}`);
    writeFileAtomic(file.path, text, mode);
    try {
      if (file.isLive && !file.isOwn) await changeForeign(file, read.config, after, change);
      else applyEdit(file);
    } catch (error) {
      writeFileAtomic(file.path, read.text, mode);
      throw error;
    }
  });
}

/** Has our own `up` load the file again. */
function applyEdit(file: PeerFile): void {
  const { interfaceName, path } = file;
  if (!file.isLive) {
    console.error(`longhaul: ${path} is changed; ${interfaceName} is not up`);
    return;
  }
  const reloaded = file.isCopy
    ? reloadFromText(interfaceName, path)
    : reloadTunnel(interfaceName, path);
  if (reloaded === "foreign") throw new SetupError(`${interfaceName} has just ended`);
  if (reloaded.errors.length > 0) {
    throw new SetupError(`${interfaceName} refuses: ${reloaded.errors.join("\n")}`);
  }
  for (const note of reloaded.notes) console.error(`longhaul: warning: ${note}`);
  console.error(`longhaul: ${path} and the running ${interfaceName} are changed`);
}

/**
 * Changes a device that another program runs, or our own with another file, and the routes into it.
 * What is refused takes back what was added.
 */
async function changeForeign(
  { interfaceName, path }: PeerFile,
  before: NodeConfig,
  after: NodeConfig,
  change: DeviceChange,
): Promise<void> {
  const difference = nodeDifference(before, after);
  const { table } = after.interface;
  const isOwn = (route: Prefix) => table !== "auto" || !isPartOfEverything(route);
  using routes = new InterfaceChange(interfaceName, {
    ...difference,
    routesAdded: difference.routesAdded.filter(isOwn),
  }, after);
  await routes.add();
  try {
    changeDevice(interfaceName, change);
  } catch (error) {
    routes.takeBack();
    throw error;
  }
  await routes.remove();
  console.error(`longhaul: ${path} and the running ${interfaceName} are changed`);
  if (difference.routesAdded.every(isOwn)) return;
  console.error("longhaul: warning: the default route comes with the next start of the interface");
}

/** The peer that a name or a public key means. Throws `SetupError` when there is none. */
export function findPeer(config: NodeConfig, nameOrKey: string): PeerConfig {
  const { peers } = config.device;
  const named = peers.filter(({ friendlyName }) => friendlyName === nameOrKey);
  if (named.length > 1) {
    throw new SetupError(
      `${named.length} peers are called ${nameOrKey}: say which by its public key (peer list)`,
    );
  }
  const found = named[0] ??
    peers.find(({ publicKey }) => formatKeyBase64(publicKey) === nameOrKey);
  if (found !== undefined) return found;
  const known = peers.flatMap(({ friendlyName }) => friendlyName ?? []);
  throw new SetupError(`There is no peer ${quote(nameOrKey)}${suggestion(nameOrKey, known)}`);
}
