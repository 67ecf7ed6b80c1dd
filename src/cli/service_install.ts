/**
 * What `service install` puts on a machine: a copy of the Deno binary, of the program and of the
 * modules that it needs, in a folder of this version. A service must not depend on a launcher (npm's
 * runs Deno as a child, whose messages systemd would not take), on somebody's home (hidden from a
 * sandboxed service) or on the network.
 */
import { copyFile, copyFolder, removeTree, renamePath } from "../../ffi/copy.ts";
import { environmentList } from "../../ffi/environment.ts";
import { exists, makeFolders } from "../../ffi/files.ts";
import { runProgram } from "../../ffi/run_program.ts";
import { VERSION } from "../base/version.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { serviceEnvironment, type UnitOptions } from "./service_units.ts";

/** Folders and files of the program; those of tests and tools are left out. */
const PROGRAM_FILES = ["main.ts", "deno.json", "deno.lock", "LICENSE"];
const PROGRAM_FOLDERS = ["src", "ffi"];
const TIMEOUT_MS = 120_000;

/** Where the versions are. */
const LIBRARY_FOLDER = "/usr/local/lib/longhaul";

/** A package in Deno's module cache. */
interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** Its folder: `.../npm/REGISTRY/NAME/VERSION`. */
  readonly localPath: string;
}

/** A module cache of Deno, and which of its packages the program uses. */
interface ModuleCache {
  readonly npmFolder: string;
  readonly packages: readonly NpmPackage[];
}

/** The folder of this version, as the service sees it. */
export function libraryFolder(): string {
  return `${LIBRARY_FOLDER}/${VERSION}`;
}

/** The folder of all versions, as the service sees it. */
export function allVersionsFolder(): string {
  return LIBRARY_FOLDER;
}

/**
 * Makes the folder of this version below `rootFolder` (empty for the machine itself), replacing one
 * that is there, and proves that the program starts from it without home and network. Throws
 * `SetupError` or `SystemCallError`; what was there before is then still there.
 */
export async function installProgram(rootFolder: string, mainUrl: string): Promise<void> {
  const target = rootFolder + libraryFolder();
  const fresh = `${target}.new`, old = `${target}.old`;
  const source = programFolder(mainUrl);
  const cache = await findModules(mainUrl);
  removeTree(fresh);
  try {
    makeFolders(fresh, 0o755);
    copyFile(Deno.execPath(), `${fresh}/deno`, 0o755);
    copyProgram(source, fresh);
    copyModules(cache, `${fresh}/cache/npm`);
    await prove(fresh);
  } catch (error) {
    removeTree(fresh);
    throw error;
  }
  removeTree(old);
  if (exists(target)) renamePath(target, old);
  renamePath(fresh, target);
  removeTree(old);
}

function programFolder(mainUrl: string): string {
  const url = new URL(".", mainUrl);
  if (url.protocol === "file:") return decodeURIComponent(url.pathname).replace(/\/$/, "");
  throw new SetupError(
    `Only a program in a folder can be installed, not one from ${url.protocol}//${url.host}: ` +
      "clone the repository and run it from there",
  );
}

function copyProgram(from: string, to: string): void {
  for (const name of PROGRAM_FILES) {
    if (exists(`${from}/${name}`)) copyFile(`${from}/${name}`, `${to}/${name}`, 0o644);
  }
  for (const name of PROGRAM_FOLDERS) copyFolder(`${from}/${name}`, `${to}/${name}`);
}

/** Asks Deno itself where its modules are and which of them the program uses. */
async function findModules(mainUrl: string): Promise<ModuleCache> {
  const { npmCache } = await denoInfo();
  // Told by name: Deno would look for it from the folder that we were started in.
  const config = `${programFolder(mainUrl)}/deno.json`;
  const { npmPackages, modules } = await denoInfo("--config", config, mainUrl);
  const broken = modules?.find(({ error }) => error !== undefined);
  if (broken !== undefined) {
    throw new SetupError(`The program is not whole: ${broken.specifier}: ${broken.error}`);
  }
  if (npmCache === undefined || npmPackages === undefined) {
    throw new SetupError("Deno does not tell where its modules are (deno info --json)");
  }
  return { npmFolder: npmCache, packages: Object.values(npmPackages) };
}

interface DenoInfo {
  readonly npmCache?: string;
  readonly npmPackages?: Readonly<Record<string, NpmPackage>>;
  readonly modules?: readonly { readonly specifier: string; readonly error?: string }[];
}

async function denoInfo(...args: string[]): Promise<DenoInfo> {
  const result = await runProgram({
    program: Deno.execPath(),
    args: ["info", "--json", ...args],
    environment: environmentList(),
    timeoutMs: TIMEOUT_MS,
    outputBytesMax: 64 * 1024 * 1024,
  });
  if (result.code === 0) return JSON.parse(result.stdout);
  throw new SetupError(`deno info failed: ${result.stderr.trim() || `exit code ${result.code}`}`);
}

/**
 * Copies packages, with what the registry says of them. Of those that only tests use some may be
 * missing.
 */
function copyModules({ npmFolder, packages }: ModuleCache, to: string): void {
  for (const { localPath } of packages) {
    if (!localPath.startsWith(`${npmFolder}/`) || !exists(localPath)) continue;
    copyFolder(localPath, `${to}${localPath.slice(npmFolder.length)}`);
    const about = `${localPath.slice(0, localPath.lastIndexOf("/"))}/registry.json`;
    const aboutCopy = `${to}${about.slice(npmFolder.length)}`;
    if (exists(about) && !exists(aboutCopy)) copyFile(about, aboutCopy, 0o644);
  }
}

/** Starts the copy as a service would: without a home, from its own modules alone. */
async function prove(folder: string): Promise<void> {
  const options: UnitOptions = { libraryFolder: folder };
  const result = await runProgram({
    program: `${folder}/deno`,
    args: ["run", "--no-prompt", "--cached-only", "--allow-ffi", `${folder}/main.ts`, "--version"],
    environment: [...serviceEnvironment(options), "NO_COLOR=1"],
    timeoutMs: TIMEOUT_MS,
  });
  if (result.code === 0) return;
  throw new SetupError(`The copy of the program does not start: ${result.stderr.trim()}`);
}
