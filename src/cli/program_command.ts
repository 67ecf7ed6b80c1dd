/** How the user calls this program, for commands that are there to be pasted. */
import { getEnvironment } from "../../ffi/environment.ts";
import { canonicalPath } from "../../ffi/files.ts";

/** Set by `scripts/longhaul` to its own path. */
const PROGRAM_VARIABLE = "LONGHAUL_PROGRAM";

/** The words before a command: `sudo deno run --allow-ffi /path/main.ts`. */
export function programCommand(mainUrl: string): string {
  const words = getEnvironment(PROGRAM_VARIABLE) || `${deno()} run --allow-ffi ${mainOf(mainUrl)}`;
  return getEnvironment("SUDO_USER") === undefined ? words : `sudo ${words}`;
}

function mainOf(mainUrl: string): string {
  if (!mainUrl.startsWith("file://")) return mainUrl;
  const path = decodeURIComponent(new URL(mainUrl).pathname);
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** `deno` where the shell finds this one by that name, else what starts it. */
function deno(): string {
  const own = Deno.execPath();
  const folders = (getEnvironment("PATH") ?? "").split(":").filter((folder) => folder !== "");
  // npx puts its own folder in front of the PATH of what it runs.
  const isNpx = own.includes("/_npx/");
  const first = folders.map((folder) => canonicalPath(`${folder}/deno`))
    .find((path) => path !== undefined);
  if (!isNpx && first === canonicalPath(own)) return "deno";
  return isNpx ? `npx -y deno@${Deno.version.deno}` : own;
}
