/**
 * Whether the program runs from its sources or from the bundles that `scripts/bundle.ts` makes of
 * them. Without permission to read there are only the bundles: what a worker starts from has to be in
 * the module graph already. And one file loads in a third of the time of hundreds.
 */

/** Whether modules beside the one at `url` may be loaded while the program runs. */
export function mayReadSources(url: string): boolean {
  if (!url.startsWith("file:")) return false;
  const { state } = Deno.permissions.querySync({ name: "read" });
  return state === "granted";
}
