/** Longhaul: arguments in, exit code out. */
import { mayReadSources } from "./src/worker/sources.ts";

/** What the sources and their bundle export alike. */
type Program = typeof import("./src/cli/command.ts");

if (import.meta.main) {
  const { runCommand }: Program = mayReadSources(import.meta.url)
    ? await import(new URL("./src/cli/command.ts", import.meta.url).href)
    // @ts-types="./src/cli/command.ts"
    : await import("./main.bundle.js");
  Deno.exit(await runCommand(Deno.args, import.meta.url));
}
