/** Longhaul: arguments in, exit code out. */
import { runCommand } from "./src/cli/command.ts";

if (import.meta.main) Deno.exit(await runCommand(Deno.args, import.meta.url));
