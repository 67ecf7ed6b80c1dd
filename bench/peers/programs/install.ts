/**
 * Where the programs come from: PATH, else a cache outside of the repository, built there from the
 * registries with the toolchain of their language. A peer that cannot be had is a reason, not an error.
 */
import { run } from "../../../tests/netns/command.ts";
import { findProgram } from "../../../tests/requires.ts";
import type { ProgramName } from "./spec.ts";

const BUILD_TIMEOUT_MS = 15 * 60_000;
const WIREGUARD_GO = "golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446";
const TAILSCALE_VERSION = "v1.98.9";
const BORINGTUN_VERSION = "0.7.1";
/** The folders below `go/`, each a module, and the package that is built in it. */
const GO_PACKAGES = {
  load: ".",
  control: ".",
  wireproxy: "github.com/windtf/wireproxy/cmd/wireproxy",
  wireproxy_earlier: "github.com/pufferffish/wireproxy/cmd/wireproxy",
} as const;

/** Modules that count, in what `go version -m` prints. */
const MODULE_LINE = /^\t(?:mod|dep)\t(\S*(?:wireguard|wireproxy|tailscale.com))\t(\S+)/gm;

interface Recipe {
  readonly programs: readonly string[];
  /** Makes the programs in the folder `bin`. */
  readonly build: (bin: string) => Promise<void>;
}

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
      const version = ["--version", BORINGTUN_VERSION];
      const root = bin.replace(/\/bin$/, "");
      return command(["cargo", "install", "boringtun-cli", ...version, "--root", root]);
    },
  },
  "tailscaled": {
    programs: ["tailscaled", "tailscale"],
    build: async (bin) => {
      for (const program of ["tailscaled", "tailscale"]) {
        await goInstall(bin, `tailscale.com/cmd/${program}@${TAILSCALE_VERSION}`);
      }
    },
  },
  "wireproxy": {
    programs: [wireproxyPath()],
    build: async (bin) => {
      try {
        await buildGo("wireproxy");
      } catch {
        // Its module is not to be had everywhere; the last release under its former name is.
        await Deno.rename(await buildGo("wireproxy_earlier"), `${bin}/wireproxy`);
      }
    },
  },
};

/** The folder in which peers and helpers are built and kept. */
function cacheFolder(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return Deno.env.get("LONGHAUL_BENCH_CACHE") ?? `${base}/longhaul-bench`;
}

/** The path or name of wireproxy's program: `WIREPROXY` has the last word. */
export function wireproxyPath(): string {
  return Deno.env.get("WIREPROXY") ?? "wireproxy";
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
  return hasAll(recipe) ? null : `no ${recipe.programs.join(" and ")} after building it`;
}

/** What a program says of its version; those of Go carry it, and that of their engine, inside. */
export async function versionOf(name: ProgramName): Promise<string> {
  const path = findProgram(RECIPES[name]?.programs[0] ?? name);
  if (path === null) return "unknown version";
  const go = await run(["go", "version", "-m", path], { mayFail: true }).catch(() => null);
  const modules = (go?.stdout ?? "").matchAll(MODULE_LINE);
  const versions = [...modules].map(([, module, version]) => `${module} ${version}`);
  if (versions.length > 0) return versions.join(", ");
  const { stdout } = await run([path, "--version"], { mayFail: true });
  return stdout.trim().split("\n")[0] || "unknown version";
}

/** Builds a module of the folder `go/` into the cache, and returns the program's path. */
export async function buildGo(name: keyof typeof GO_PACKAGES): Promise<string> {
  const cache = cacheFolder();
  const program = `${cache}/bin/${name}`;
  const source = new URL("../go", import.meta.url).pathname;
  // A copy, since the toolchain writes its lock file beside the sources.
  await command(["sh", "-c", 'mkdir -p "$1" && cp -r "$0" "$1"', source, cache]);
  const build = 'cd "$0" && go build -mod=mod -o "$1" "$2"';
  await command(["sh", "-c", build, `${cache}/go/${name}`, program, GO_PACKAGES[name]]);
  return program;
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
