/** What `--help` prints. */
import { VERSION } from "../base/version.ts";

export const HELP = `longhaul ${VERSION}: WireGuard on 64 KB segments

  longhaul up FILE|NAME            bring up the tunnel that a config file describes, until a signal
  longhaul down NAME|FILE          end the program that runs an interface
  longhaul status [NAME] [--json]  show interfaces, peers and traffic
  longhaul [-f] INTERFACE          make an interface to be set up by wg(8), as wireguard-go does
  longhaul --help | --version

FILE is path/to/NAME.conf in wg-quick's format; NAME alone means /etc/wireguard/NAME.conf.
up stays in the foreground; INTERFACE goes to the background unless -f (--foreground) is given.

Environment
  LOG_LEVEL               verbose (or debug), info, error, silent; up: info, INTERFACE: error
  LONGHAUL_ENCRYPTORS     for INTERFACE: 0 encrypts in the data plane's own thread, 1 in another one,
                          auto chooses by the number of cores
  LONGHAUL_OFFLOAD        for INTERFACE: offloads to switch off, as in the config file's Offload
  WG_PROCESS_FOREGROUND   for INTERFACE: 1 is the same as -f
  WG_TUN_FD, WG_UAPI_FD   for INTERFACE: open descriptors of the TUN and of the control socket
  WG_HIDE_KEYS            for status: never shows private and preshared keys
`;
