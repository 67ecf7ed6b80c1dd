/** Settings of a network interface through struct ifreq (man 7 netdevice). */
import { closeFd } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { Ifreq } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM } from "./socket.ts";

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const IFF_UP = 1;

/** A zeroed `struct ifreq` with that name. Throws TypeError for a name that cannot be one. */
export function interfaceRequest(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= Ifreq.nameBytes || /[\0/\s]/.test(name)) {
    throw new TypeError(
      `Cannot use "${name}" as an interface name: 1 to 15 bytes without blanks and slashes`,
    );
  }
  const request = fixedBytes(Ifreq.bytes);
  request.set(bytes, Ifreq.name);
  return request;
}

/** The name in a `struct ifreq` that the kernel has filled in. */
export function readInterfaceName(request: Uint8Array): string {
  const end = request.indexOf(0);
  return new TextDecoder().decode(request.subarray(0, end));
}

/** Runs one request on a socket of the calling thread's network namespace. */
function control(request: Uint8Array<ArrayBuffer>, operation: number, what: string): DataView {
  const fd = orThrow(checked(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "socket");
  try {
    const call = `ioctl(${what}, "${readInterfaceName(request)}")`;
    orThrow(checked(libc().ioctl(fd, operation, request)), call);
  } finally {
    closeFd(fd);
  }
  return new DataView(request.buffer);
}

/** The MTU in bytes. Throws SystemCallError, with ENODEV when there is no such interface. */
export function interfaceMtu(name: string): number {
  return control(interfaceRequest(name), SIOCGIFMTU, "SIOCGIFMTU").getInt32(Ifreq.value, true);
}

/** Sets the MTU. */
export function setInterfaceMtu(name: string, mtu: number): void {
  const request = interfaceRequest(name);
  new DataView(request.buffer).setInt32(Ifreq.value, mtu, true);
  control(request, SIOCSIFMTU, "SIOCSIFMTU");
}

/** Whether the interface is administratively up. */
export function isInterfaceUp(name: string): boolean {
  const flags = control(interfaceRequest(name), SIOCGIFFLAGS, "SIOCGIFFLAGS");
  return (flags.getUint16(Ifreq.value, true) & IFF_UP) !== 0;
}

/** Brings the interface up or takes it down. */
export function setInterfaceUp(name: string, up: boolean): void {
  const request = interfaceRequest(name);
  const view = control(request, SIOCGIFFLAGS, "SIOCGIFFLAGS");
  const flags = view.getUint16(Ifreq.value, true);
  view.setUint16(Ifreq.value, up ? flags | IFF_UP : flags & ~IFF_UP, true);
  control(request, SIOCSIFFLAGS, "SIOCSIFFLAGS");
}
