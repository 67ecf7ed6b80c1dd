/** The other end of `ffi/unix_datagram.ts`: what systemd and its journal are to this program. */
import { closeFd } from "../../ffi/descriptor.ts";
import { SockaddrUn } from "../../ffi/layout.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "../../ffi/socket.ts";

export class DatagramListener implements Disposable {
  readonly #fd: number;
  readonly #received: string[] = [];

  /** `name` is a path, or `@name` in the abstract namespace. */
  constructor(readonly name: string) {
    const text = new TextEncoder().encode(
      name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`,
    );
    const address = fixedBytes(SockaddrUn.path + text.length);
    new DataView(address.buffer).setUint16(SockaddrUn.family, AF_UNIX, true);
    address.set(text, SockaddrUn.path);
    this.#fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (checked(libc().bind(this.#fd, address, address.length)) < 0) {
      throw new Error(`bind ${name}`);
    }
  }

  /** Everything that has been sent so far. */
  get received(): readonly string[] {
    const buffer = fixedBytes(65_536);
    for (;;) {
      const length = checked(libc().recv(this.#fd, buffer, buffer.length, 0));
      if (length < 0) return this.#received;
      this.#received.push(new TextDecoder().decode(buffer.subarray(0, length)));
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}
