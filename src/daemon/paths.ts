/** Where the control sockets are. */

/** The folder that `wg` looks in. */
export const UAPI_FOLDER = "/var/run/wireguard";

/** The UAPI socket of an interface. */
export function uapiPath(interfaceName: string): string {
  return `${UAPI_FOLDER}/${interfaceName}.sock`;
}
