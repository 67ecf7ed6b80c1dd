/**
 * The model of lanes, encryptors and memory beyond two cores: prints the tables of docs/scaling.md.
 *
 *     deno run bench/scaling.ts
 *
 * Pure computation from the figures in scaling/costs.ts: the same everywhere.
 */
import { allTables } from "./scaling/tables.ts";

if (import.meta.main) {
  for (const [name, text] of allTables()) console.log(`${name}\n\n${text}\n`);
}
