/** What the name and the mode of a config file say. */

/** Whether a text can name an interface: what wg-quick takes, within the kernel's 15 bytes. */
export function isInterfaceName(text: string): boolean {
  return /^[a-zA-Z0-9_=+.-]{1,15}$/.test(text) && text !== "." && text !== "..";
}

/** The interface that a config file is for, `wg0` of `/etc/wireguard/wg0.conf`; null for none. */
export function interfaceNameOf(path: string): string | null {
  const name = /([^/]+)\.conf$/.exec(path)?.[1] ?? "";
  return isInterfaceName(name) ? name : null;
}

/**
 * A warning when a file with keys, whose mode bits are `mode`, can be read or written by users other
 * than its owner and group; null when it cannot.
 */
export function modeWarning(path: string, mode: number): string | null {
  if ((mode & 0o006) === 0) return null;
  return `${path} can be ${
    (mode & 0o002) === 0 ? "read" : "changed"
  } by every user of this machine;` +
    ` fix: chmod 600 ${path}`;
}
