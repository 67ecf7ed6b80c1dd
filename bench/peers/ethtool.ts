/** Switches a device's offloads off, as `ethtool -K` does (linux/ethtool.h, linux/sockios.h). */
import { closeFd } from "../../ffi/descriptor.ts";
import { orThrow } from "../../ffi/error.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM } from "../../ffi/socket.ts";
import { inside } from "../../tests/hostile/sockets.ts";

const SIOCETHTOOL = 0x8946;
/** `struct ifreq`: the name, then a pointer to `struct ethtool_value`. */
const IFREQ_BYTES = 40;
const IFREQ_DATA = 16;

/** Commands that take 0 or 1: checksums, scatter-gather, TSO, GSO, GRO. */
const SWITCHES = {
  ETHTOOL_SGRO: 0x2c,
  ETHTOOL_SGSO: 0x24,
  ETHTOOL_STSO: 0x1f,
  ETHTOOL_SSG: 0x19,
  ETHTOOL_SRXCSUM: 0x15,
  ETHTOOL_STXCSUM: 0x17,
} as const;

/** Switches every offload of `device` off. */
export function switchOffloadsOff(namespace: string, device: string): void {
  const fd = inside(
    namespace,
    () => orThrow(checked(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "socket"),
  );
  try {
    for (const [name, command] of Object.entries(SWITCHES)) {
      const value = fixedBytes(8);
      new DataView(value.buffer).setUint32(0, command, true);
      const request = fixedBytes(IFREQ_BYTES);
      request.set(new TextEncoder().encode(device));
      const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(value));
      new DataView(request.buffer).setBigUint64(IFREQ_DATA, BigInt(address), true);
      orThrow(checked(libc().ioctl(fd, SIOCETHTOOL, request)), `ioctl(${name}, "${device}")`);
    }
  } finally {
    closeFd(fd);
  }
}
