/**
 * Where control sockets and our own files are.
 *
 * A control socket lies in `/var/run/wireguard`, where `wg` looks, when this user may write there.
 * Else it lies in a folder of the user: `$XDG_RUNTIME_DIR/longhaul`, or `run` in the state folder.
 * Our own commands look in both.
 */
import { effectiveUserId, getEnvironment, homeFolder } from "../../ffi/environment.ts";
import { exists, isWritable, listFolder } from "../../ffi/files.ts";
import { isUnixLive } from "../../ffi/unix_socket.ts";

/** The folder that `wg` looks in. */
export const UAPI_FOLDER = "/var/run/wireguard";

/** Its mode: everybody may see which interfaces there are, as with other implementations. */
const UAPI_FOLDER_MODE = 0o755;
/** For the user alone. */
const PRIVATE_FOLDER_MODE = 0o700;
/** Where root's configs and keys are made by `up` without a config. */
const SYSTEM_STATE_FOLDER = "/etc/longhaul";

/** What helps a user whose folders cannot be made. */
export const STATE_FOLDER_FIX =
  "Set XDG_STATE_HOME to the path of a folder that this user may write to";

/** A folder for sockets, and the mode it is made with. */
export interface SocketFolder {
  readonly path: string;
  readonly mode: number;
  /** What the user can do when it cannot be made. */
  readonly fix?: string;
}

/**
 * The folder of what `up` makes without a config: `/etc/longhaul` for root, else
 * `$XDG_STATE_HOME/longhaul` or `~/.local/state/longhaul`; null for a user without a home.
 */
export function stateFolder(): string | null {
  if (effectiveUserId() === 0) return SYSTEM_STATE_FOLDER;
  const state = getEnvironment("XDG_STATE_HOME");
  // The XDG specification tells programs to ignore paths that are not absolute.
  if (state?.startsWith("/")) return `${state}/longhaul`;
  const home = homeFolder();
  return home === undefined ? null : `${home}/.local/state/longhaul`;
}

/** The user's own folder for sockets; null for root, and for a user without a home. */
function userSocketFolder(): string | null {
  if (effectiveUserId() === 0) return null;
  const runtime = getEnvironment("XDG_RUNTIME_DIR");
  if (runtime?.startsWith("/") && isWritable(runtime)) return `${runtime}/longhaul`;
  const state = stateFolder();
  return state === null ? null : `${state}/run`;
}

/** Where a new control socket goes. */
export function newSocketFolder(): SocketFolder {
  const own = userSocketFolder();
  const isShared = own === null || isWritable(UAPI_FOLDER) ||
    (!exists(UAPI_FOLDER) && isWritable(UAPI_FOLDER.slice(0, UAPI_FOLDER.lastIndexOf("/"))));
  return isShared
    ? { path: UAPI_FOLDER, mode: UAPI_FOLDER_MODE }
    : { path: own, mode: PRIVATE_FOLDER_MODE, fix: STATE_FOLDER_FIX };
}

/** Where the control socket of a new interface goes. */
export function newSocketPath(interfaceName: string): string {
  return `${newSocketFolder().path}/${interfaceName}.sock`;
}

/** All folders with control sockets that this user may ask, the user's own first. */
function socketFolders(): string[] {
  const own = userSocketFolder();
  return own === null ? [UAPI_FOLDER] : [own, UAPI_FOLDER];
}

/**
 * The control socket of an interface: the file that is there, in one folder or the other, else the
 * place where a new one goes.
 */
export function uapiPath(interfaceName: string): string {
  const paths = socketFolders().map((folder) => `${folder}/${interfaceName}.sock`);
  return paths.find(exists) ?? newSocketPath(interfaceName);
}

/** The names of all interfaces whose control sockets answer, sorted. */
export function liveInterfaces(): string[] {
  const names = new Set<string>();
  for (const folder of socketFolders().filter(exists)) {
    for (const file of listFolder(folder)) {
      if (!file.endsWith(".sock")) continue;
      if (isUnixLive(`${folder}/${file}`)) names.add(file.slice(0, -".sock".length));
    }
  }
  return [...names].sort();
}
