/** Environment variables, the user and the host, without Deno's permissions for them. */
import { orThrow, SystemCallError } from "./error.ts";
import { Passwd } from "./layout.ts";
import { checked, environPointer, errno, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";

/** The value of an environment variable, or undefined when it is not set. */
export function getEnvironment(name: string): string | undefined {
  const value = libc().getenv(cString(name));
  return value === null ? undefined : Deno.UnsafePointerView.getCString(value);
}

/**
 * Sets a variable for this process and those it starts; undefined removes it. The C library's
 * environment has no lock: call it before any worker is started.
 */
export function setEnvironment(name: string, value: string | undefined): void {
  const result = value === undefined
    ? libc().unsetenv(cString(name))
    : libc().setenv(cString(name), cString(value), 1);
  if (result < 0) throw new SystemCallError(`setenv("${name}")`, errno());
}

/** All variables as `NAME=value`, the form that a new process takes. */
export function environmentList(): string[] {
  const list: string[] = [];
  const array = environPointer();
  if (array === null) return list;
  const view = new Deno.UnsafePointerView(array);
  for (let at = 0;; at += 8) {
    const entry = view.getPointer(at);
    if (entry === null) return list;
    list.push(Deno.UnsafePointerView.getCString(entry));
  }
}

/** The user's home folder: HOME, else what the user database says, else undefined. */
export function homeFolder(): string | undefined {
  const home = getEnvironment("HOME");
  if (home !== undefined && home.startsWith("/")) return home;
  const entry = libc().getpwuid(libc().geteuid());
  if (entry === null) return undefined;
  const folder = new Deno.UnsafePointerView(entry).getPointer(Passwd.dir);
  return folder === null ? undefined : Deno.UnsafePointerView.getCString(folder);
}

/** The effective user id; 0 is root. */
export function effectiveUserId(): number {
  return libc().geteuid();
}

/** The name of this machine. */
export function hostName(): string {
  const name = fixedBytes(256);
  orThrow(checked(libc().gethostname(name, name.length - 1)), "gethostname");
  return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
}
