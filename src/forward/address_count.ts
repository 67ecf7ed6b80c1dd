/** Counts things by address. */

/** How many there are of each; addresses without any take no room. */
export class AddressCount {
  readonly #counts = new Map<string, number>();

  /** How many there are of an address. */
  of(address: Uint8Array): number {
    return this.#counts.get(String(address)) ?? 0;
  }

  /** One more. */
  add(address: Uint8Array): void {
    this.#counts.set(String(address), this.of(address) + 1);
  }

  /** One less. */
  remove(address: Uint8Array): void {
    const left = this.of(address) - 1;
    if (left > 0) this.#counts.set(String(address), left);
    else this.#counts.delete(String(address));
  }
}
