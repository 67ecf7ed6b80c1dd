/** The search for the highest rate of datagrams at which next to none is lost. */

/** What came of one second or so at some rate. */
export interface RateTrial {
  /** Datagrams per second that the sender got rid of: less than asked for when it could not. */
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
  /** Of those that were sent, in 0..1. */
  readonly lostShare: number;
}

/** Where a search begins and ends. */
export interface RateSearch {
  readonly firstPerSecond: number;
  /** At this share of loss, in 0..1, a trial has failed. */
  readonly lossLimit: number;
  /** Trials in all. */
  readonly trialsMax: number;
}

/** By how much the rate is raised or lowered until there is a bracket. */
const STRIDE = 1.5;
/** A bracket so narrow is narrow enough. */
const PRECISION = 1.03;
/** A sender that manages less than this share of what it was asked for is at its own limit. */
const SENDER_SHARE = 0.95;

/**
 * The most datagrams per second that arrived in a trial that lost less than the limit; 0 when every
 * trial lost more.
 *
 * The rate is raised by half until a trial fails (or lowered until one passes), then the bracket is
 * halved geometrically. A sender at its own limit ends the rise: a higher rate would be the same one.
 */
export async function highestRate(
  search: RateSearch,
  attempt: (perSecond: number) => Promise<RateTrial>,
): Promise<number> {
  let best = 0;
  let passed = 0, failed = Infinity;
  let rate = search.firstPerSecond;
  for (let trial = 0; trial < search.trialsMax && failed > passed * PRECISION; trial++) {
    const result = await attempt(rate);
    if (result.lostShare < search.lossLimit) {
      best = Math.max(best, result.receivedPerSecond);
      passed = rate;
      if (result.sentPerSecond < rate * SENDER_SHARE) break;
    } else {
      failed = rate;
    }
    rate = failed === Infinity
      ? passed * STRIDE
      : passed === 0
      ? failed / STRIDE
      : Math.sqrt(passed * failed);
  }
  return best;
}
