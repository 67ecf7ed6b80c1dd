/** The programs of the system that `up` calls: nft, iptables, resolvconf, resolvectl, a shell. */
import { environmentList, getEnvironment } from "../../ffi/environment.ts";
import { isExecutable } from "../../ffi/files.ts";
import { runProgram, type RunResult } from "../../ffi/run_program.ts";

/** Where administrators' programs are; a PATH may lack them. */
const SYSTEM_FOLDERS = [
  "/usr/local/sbin",
  "/usr/sbin",
  "/sbin",
  "/usr/local/bin",
  "/usr/bin",
  "/bin",
];
const TIMEOUT_MS = 30_000;
/** The firewall rules of a host with thousands of containers take some megabytes. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** What a program says, for an error. */
const TOLD_CHARACTERS = 300;

/** The path of a program: on PATH, else in the system's folders; null when there is none. */
export function findProgram(name: string): string | null {
  const folders = searchPath().split(":").filter((folder) => folder !== "");
  return folders.map((folder) => `${folder}/${name}`).find(isExecutable) ?? null;
}

/** Our environment, its PATH completed by the system's folders. */
export function programEnvironment(): string[] {
  const others = environmentList().filter((entry) => !entry.startsWith("PATH="));
  return [...others, `PATH=${searchPath()}`];
}

function searchPath(): string {
  const own = (getEnvironment("PATH") ?? "").split(":").filter((folder) => folder !== "");
  return [...own, ...SYSTEM_FOLDERS.filter((folder) => !own.includes(folder))].join(":");
}

/** Runs a program to its end, at most half a minute. Throws SystemCallError when it cannot start. */
export function runTool(program: string, args: readonly string[], input = ""): Promise<RunResult> {
  return runProgram({
    program,
    args,
    environment: programEnvironment(),
    input,
    timeoutMs: TIMEOUT_MS,
    outputBytesMax: OUTPUT_BYTES_MAX,
  });
}

/** Why a program failed, in its own words; null when it did not. */
export function failureOf(result: RunResult): string | null {
  if (result.timedOut) return `no end after ${TIMEOUT_MS / 1000} s`;
  if (result.code === 0 && result.signal === 0) return null;
  const words = (result.stderr.trim() || result.stdout.trim()).slice(0, TOLD_CHARACTERS);
  const how = result.signal === 0 ? `exit code ${result.code}` : `signal ${result.signal}`;
  return words === "" ? how : words;
}
