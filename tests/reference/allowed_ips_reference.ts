/** The allowed-IPs table as its definition reads: a list of prefixes, searched from end to end. */

interface Entry {
  readonly address: Uint8Array;
  readonly bits: number;
  readonly peer: number;
}

function isInside(address: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  if (address.length !== prefix.length) return false;
  for (let i = 0; i < bits; i++) {
    const mask = 0x80 >> (i % 8);
    if ((address[i >> 3] & mask) !== (prefix[i >> 3] & mask)) return false;
  }
  return true;
}

export class AllowedIpsReference {
  #entries: Entry[] = [];

  insert(address: Uint8Array, bits: number, peer: number): void {
    const old = this.#entries.find((entry) => this.#isSame(entry, address, bits));
    if (old?.peer === peer) return;
    this.#entries = this.#entries.filter((entry) => entry !== old);
    const masked = address.map((byte, i) => {
      const kept = Math.min(Math.max(bits - i * 8, 0), 8);
      return byte & (0xff00 >> kept);
    });
    this.#entries.push({ address: masked, bits, peer });
  }

  remove(address: Uint8Array, bits: number, peer: number): boolean {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) =>
      entry.peer !== peer || !this.#isSame(entry, address, bits)
    );
    return this.#entries.length < before;
  }

  removePeer(peer: number): void {
    this.#entries = this.#entries.filter((entry) => entry.peer !== peer);
  }

  lookup(address: Uint8Array): number {
    let best = -1, owner = -1;
    for (const entry of this.#entries) {
      if (entry.bits > best && isInside(address, entry.address, entry.bits)) {
        best = entry.bits;
        owner = entry.peer;
      }
    }
    return owner;
  }

  list(peer: number): { address: Uint8Array; bits: number }[] {
    return this.#entries.filter((entry) => entry.peer === peer)
      .map(({ address, bits }) => ({ address, bits }));
  }

  copy(): AllowedIpsReference {
    const copy = new AllowedIpsReference();
    copy.#entries = [...this.#entries];
    return copy;
  }

  #isSame(entry: Entry, address: Uint8Array, bits: number): boolean {
    return entry.bits === bits && isInside(address, entry.address, bits);
  }
}
