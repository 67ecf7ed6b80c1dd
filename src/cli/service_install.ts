/**
 * What `service install` puts on a machine: a copy of the Deno binary and of the program in a folder of
 * this version. A service must not depend on a launcher (npm's runs Deno as a child, whose messages
 * systemd would not take), on somebody's home (hidden from a sandboxed service) or on the network. The
 * program's bundle has all packages inside.
 */
import { copyFile, copyFolder, removeTree, renamePath } from "../../ffi/copy.ts";
import { exists, makeFolders } from "../../ffi/files.ts";
import { runProgram } from "../../ffi/run_program.ts";
import { VERSION } from "../base/version.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { serviceEnvironment, type UnitOptions } from "./service_units.ts";

/** Folders and files of the program; those of tests and tools are left out. */
const PROGRAM_FILES = ["main.ts", "main.bundle.js", "deno.json", "deno.lock", "LICENSE", "NOTICES"];
const PROGRAM_FOLDERS = ["src", "ffi"];
const TIMEOUT_MS = 120_000;

/** Where the versions are. */
const LIBRARY_FOLDER = "/usr/local/lib/longhaul";

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
  removeTree(fresh);
  try {
    makeFolders(fresh, 0o755);
    copyFile(Deno.execPath(), `${fresh}/deno`, 0o755);
    copyProgram(source, fresh);
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

/** Starts the copy as a service would: without a home and with nothing else. */
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
