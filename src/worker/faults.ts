/**
 * Faults that a test asks a worker to act out, so that what the supervisor does about them can be
 * tried on the real program: `lane:crash`, `lane:hang`, `encryptor:crash`, `encryptor:hang`,
 * `lane:delay`, `encryptor:delay`; `encryptor1:crash` means the second one alone. They strike after
 * some rounds of work; `delay` stalls the worker for 100 ms every 1,000 rounds.
 */
const ROUNDS_BEFORE_FAULT = 20;
const ROUNDS_BETWEEN_DELAYS = 1000;
const DELAY_MS = 100;

/** A function to call once per round of work of a worker with this role and number; null for none. */
export function makeFault(fault: string, role: string, number: number): (() => void) | null {
  const [faultRole, kind] = fault.split(":");
  if (faultRole !== role && faultRole !== `${role}${number}`) return null;
  let rounds = 0;
  if (kind === "delay") {
    return () => {
      if (++rounds % ROUNDS_BETWEEN_DELAYS === 0) sleepMs(DELAY_MS);
    };
  }
  return () => {
    if (++rounds < ROUNDS_BEFORE_FAULT) return;
    if (kind === "crash") throw new Error(`the ${role} was asked to crash`);
    if (kind === "hang") sleepMs(Infinity);
  };
}

function sleepMs(durationMs: number): void {
  const word = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(word, 0, 0, durationMs);
}
