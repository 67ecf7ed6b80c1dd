/** Finding and reading the config file that a command line names. */
import { effectiveUserId } from "../../ffi/environment.ts";
import { exists, fileStatus, readTextFile } from "../../ffi/files.ts";
import { interfaceIndex } from "../../ffi/socket.ts";
import { cString } from "../../ffi/memory.ts";
import { formatDiagnostic } from "../config/diagnostic.ts";
import { interfaceNameOf, isInterfaceName, modeWarning } from "../config/file_name.ts";
import { parseConfig, type ParseResult } from "../config/parse.ts";
import type { PublicKeyOf } from "../config/peers.ts";
import type { NodeConfig } from "../config/types.ts";
import { routingTableNumber } from "../daemon/routing_table_names.ts";
import { stateFolder } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { UsageError } from "./environment.ts";

/** Where the file of a bare name is. */
const CONFIG_FOLDER = "/etc/wireguard";
/** 130,000 allowed IPs take some 5 MB. */
export const CONFIG_BYTES_MAX = 64 * 1024 * 1024;

/** A config file and the interface that it is for. */
export interface ConfigPlace {
  readonly path: string;
  readonly interfaceName: string;
}

/**
 * The place that `NAME` (of `/etc/wireguard/NAME.conf`) or `path/to/NAME.conf` means. Throws
 * `UsageError` when no interface can have that name.
 */
export function findConfig(argument: string): ConfigPlace {
  const isPath = argument.includes("/") || argument.endsWith(".conf");
  if (!isPath) {
    checkInterfaceName(argument);
    return { path: pathOfName(argument), interfaceName: argument };
  }
  const interfaceName = interfaceNameOf(argument);
  if (interfaceName === null) {
    throw new UsageError(
      `"${argument}" does not name an interface: the file's name must be NAME.conf, ` +
        `with a NAME of ${INTERFACE_NAME_RULE}`,
    );
  }
  return { path: argument, interfaceName };
}

/** A name means wg-quick's folder, and else what `up` has made in the state folder. */
function pathOfName(name: string): string {
  const shared = `${CONFIG_FOLDER}/${name}.conf`;
  const state = stateFolder();
  const own = state === null ? shared : `${state}/${name}.conf`;
  // Users other than root may not look into wg-quick's folder.
  if (!exists(own)) return shared;
  return effectiveUserId() === 0 && exists(shared) ? shared : own;
}

const INTERFACE_NAME_RULE = "1 to 15 characters of a-z A-Z 0-9 _ = + . -";

/** Throws `UsageError` unless an interface can have that name. */
export function checkInterfaceName(name: string): void {
  if (isInterfaceName(name)) return;
  throw new UsageError(`"${name}" is not a name for an interface: ${INTERFACE_NAME_RULE}`);
}

/**
 * Reads a config file and prints what there is to say about it to standard error. Null when it has
 * errors. Throws `SystemCallError` when it cannot be read, `SetupError` when there is none.
 */
export function readConfig(place: ConfigPlace, publicKeyOf: PublicKeyOf): NodeConfig | null {
  const { path } = place;
  if (!exists(path)) throw new SetupError(`There is no config file ${path}`);
  const warning = modeWarning(path, fileStatus(path)?.mode ?? 0);
  if (warning !== null) console.error(`longhaul: warning: ${warning}`);
  const { config, diagnostics } = parseConfigFile(path, publicKeyOf);
  for (const diagnostic of diagnostics) console.error(formatDiagnostic(diagnostic));
  return config;
}

/** Reads and parses a config file, and prints nothing. Throws `SystemCallError`, `SetupError`. */
export function parseConfigFile(path: string, publicKeyOf: PublicKeyOf): ParseResult {
  if (!exists(path)) throw new SetupError(`There is no config file ${path}`);
  return parseConfigText(readTextFile(path, CONFIG_BYTES_MAX), path, publicKeyOf);
}

/** Parses the text of a config file as this machine reads it. */
export function parseConfigText(
  text: string,
  path: string,
  publicKeyOf: PublicKeyOf,
): ParseResult {
  return parseConfig(text, {
    file: path,
    publicKeyOf,
    interfaceIndex: (name) => Math.max(0, interfaceIndex(cString(name))),
    routingTable: routingTableNumber,
  });
}
