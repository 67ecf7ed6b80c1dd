/**
 * Where the peers come from: PATH, else a cache outside of the repository, built there from the
 * registries with the toolchain of their language. A peer that cannot be had is a reason, not an error.
 */
import { run } from "../../../tests/netns/command.ts";
import { findProgram } from "../../../tests/requires.ts";
import type { ProgramName } from "./spec.ts";

const BUILD_TIMEOUT_MS = 15 * 60_000;
const WIREGUARD_GO = "golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446";
const TAILSCALE = "tailscale.com";
const TAILSCALE_VERSION = "v1.98.9";
const BORINGTUN_VERSION = "0.7.1";

/** The programs of each contestant, and how a missing one is made in the folder `bin`. */
const RECIPES: Partial<Record<ProgramName, Recipe>> = {
  "wireguard-go": {
    programs: ["wireguard-go"],
    build: async (bin) => {
      await goInstall(bin, WIREGUARD_GO);
      // The module's name ends so.
      await Deno.rename(`${bin}/wireguard`, `${bin}/wireguard-go`);
    },
  },
  "boringtun": {
    programs: ["boringtun-cli"],
    build: (bin) => {
      const root = bin.replace(/\/bin$/, "");
      const version = ["--version", BORINGTUN_VERSION];
      return command(["cargo", "install", "boringtun-cli", ...version, "--root", root]);
    },
  },
  "tailscaled": {
    programs: ["tailscaled", "tailscale"],
    build: async (bin) => {
      for (const program of ["tailscaled", "tailscale"]) {
        await goInstall(bin, `${TAILSCALE}/cmd/${program}@${TAILSCALE_VERSION}`);
      }
    },
  },
};

interface Recipe {
  readonly programs: readonly string[];
  readonly build: (bin: string) => Promise<void>;
}

/** The folder in which peers and helpers are built and kept. */
export function cacheFolder(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return Deno.env.get("LONGHAUL_BENCH_CACHE") ?? `${base}/longhaul-bench`;
}

/** Makes a program available on PATH, building it if need be; why that is impossible, or null. */
export async function ensureProgram(name: ProgramName): Promise<string | null> {
  const recipe = RECIPES[name];
  if (recipe === undefined || hasAll(recipe)) return null;
  const bin = `${cacheFolder()}/bin`;
  await Deno.mkdir(bin, { recursive: true });
  putOnPath(bin);
  if (hasAll(recipe)) return null;
  console.error(`building ${name} into ${bin}`);
  try {
    await recipe.build(bin);
  } catch (error) {
    return `cannot be built: ${error instanceof Error ? error.message : error}`;
  }
  return hasAll(recipe) ? null : `cannot be built: no ${recipe.programs.join(" and ")} in ${bin}`;
}

/** What a program on PATH says of its version; Go's programs carry it inside. */
export async function versionOf(name: ProgramName): Promise<string> {
  const program = RECIPES[name]?.programs[0] ?? name;
  const path = findProgram(program);
  if (path === null) return "unknown version";
  const go = await run(["go", "version", "-m", path], { mayFail: true }).catch(() => null);
  const module = /^\tmod\t\S+\t(v\S+)/m.exec(go?.stdout ?? "")?.[1];
  if (module !== undefined) return module;
  const { stdout } = await run([path, "--version"], { mayFail: true });
  return stdout.trim().split("\n")[0] || "unknown version";
}

function hasAll({ programs }: Recipe): boolean {
  return programs.every((program) => findProgram(program) !== null);
}

/** Behind everything else: what the user has installed comes first. */
function putOnPath(folder: string): void {
  const path = Deno.env.get("PATH") ?? "";
  if (!path.split(":").includes(folder)) Deno.env.set("PATH", `${path}:${folder}`);
}

function goInstall(bin: string, module: string): Promise<void> {
  return command(["go", "install", module], { GOBIN: bin });
}

async function command(argv: string[], env: Record<string, string> = {}): Promise<void> {
  await run(argv, { env, timeoutMs: BUILD_TIMEOUT_MS });
}
