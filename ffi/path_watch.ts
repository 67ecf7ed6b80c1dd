/** Notices that a file is deleted or replaced: inotify(7). */
import { closeFd, readFd } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { fileStatus } from "./files.ts";
import { checked, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";

const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;
const IN_ATTRIB = 0x004;
const IN_MOVE_SELF = 0x800;
const IN_DELETE_SELF = 0x400;

/** Many events; what they say does not matter, the file itself is looked at. */
const EVENTS_BYTES = 4096;

/**
 * Watches one path. A socket's file is held by the socket itself, so that its removal shows as a
 * change of attributes (the link count), not as a deletion.
 */
export class PathWatch {
  /** Readable when something about the file has changed. */
  readonly fd: number;
  readonly #identity: string | undefined;
  readonly #events = fixedBytes(EVENTS_BYTES);

  /** `path` must exist. Throws SystemCallError. */
  constructor(readonly path: string) {
    this.fd = orThrow(checked(libc().inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), "inotify_init1");
    const mask = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;
    const watch = checked(libc().inotify_add_watch(this.fd, cString(path), mask));
    if (watch < 0) closeFd(this.fd);
    orThrow(watch, `inotify_add_watch("${path}")`);
    this.#identity = fileStatus(path)?.identity;
  }

  /** Takes note of all events so far; true when the path no longer leads to the same file. */
  isGone(): boolean {
    while (readFd(this.fd, this.#events) > 0);
    return this.#identity === undefined || fileStatus(this.path)?.identity !== this.#identity;
  }

  close(): void {
    closeFd(this.fd);
  }
}
