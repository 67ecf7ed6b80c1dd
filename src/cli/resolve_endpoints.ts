/** The addresses of named endpoints, for commands that do one thing and end. */
import { getEnvironment } from "../../ffi/environment.ts";
import { ResolveError, resolveHost } from "../../ffi/resolver.ts";
import type { NamedEndpoint } from "../config/types.ts";
import { SetupError } from "../daemon/setup_error.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";

/** As `wg`: after 1 s, then 1.2 times as long each time, at most 20 s; 15 times in all. */
const RETRY_MS_MIN = 1000;
const RETRY_FACTOR = 1.2;
const RETRY_MS_MAX = 20_000;
const RETRIES_DEFAULT = 15;

/**
 * The address of a named endpoint. A name that does not exist fails at once; where only the resolver
 * has trouble it is asked again, as often as WG_ENDPOINT_RESOLUTION_RETRIES says (a number or
 * `infinity`). Rejects with `SetupError`.
 */
export async function resolveEndpoint({ host, port }: NamedEndpoint): Promise<SocketAddress> {
  let delayMs = RETRY_MS_MIN;
  for (let left = retries();; left--) {
    try {
      return { ...await resolveHost(host), port };
    } catch (error) {
      if (!(error instanceof ResolveError)) throw error;
      const problem = `${host}:${port}: ${error.message}`;
      if (!error.isTemporary || left <= 0) throw new SetupError(`Cannot resolve ${problem}`);
      console.error(`longhaul: ${problem}; trying again in ${(delayMs / 1000).toFixed(2)} s`);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      delayMs = Math.min(delayMs * RETRY_FACTOR, RETRY_MS_MAX);
    }
  }
}

function retries(): number {
  const text = getEnvironment("WG_ENDPOINT_RESOLUTION_RETRIES");
  if (text === "infinity") return Infinity;
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : RETRIES_DEFAULT;
}
