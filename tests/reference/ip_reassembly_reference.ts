/** Reassembly of one datagram as RFC 8200 section 4.5 and RFC 5722 tell it, byte by byte. */

/** A fragment: its place in bytes, its data, and whether more follow. */
export interface PlainFragment {
  offset: number;
  data: Uint8Array;
  hasMore: boolean;
}

/**
 * Feeds fragments one by one. Returns what each of them led to: the whole data, "poisoned" from the
 * first contradiction on, or null while something is missing.
 */
export function reassemble(fragments: PlainFragment[]): (Uint8Array | "poisoned" | null)[] {
  const kept: PlainFragment[] = [];
  let isPoisoned = false;
  return fragments.map((fragment) => {
    if (isPoisoned || contradicts(fragment, kept)) {
      isPoisoned = true;
      return "poisoned";
    }
    if (!kept.some((other) => isCopy(fragment, other))) kept.push(fragment);
    const whole = join(kept);
    // What was completed is forgotten: the next fragment begins another datagram.
    if (whole !== null) kept.length = 0;
    return whole;
  });
}

function contradicts(fragment: PlainFragment, kept: PlainFragment[]): boolean {
  const end = fragment.offset + fragment.data.length;
  return kept.some((other) => {
    const otherEnd = other.offset + other.data.length;
    if (!fragment.hasMore && (otherEnd > end || (!other.hasMore && otherEnd !== end))) return true;
    if (!other.hasMore && (end > otherEnd || (fragment.hasMore && end === otherEnd))) return true;
    if (fragment.hasMore !== other.hasMore && end === otherEnd) return true;
    if (isCopy(fragment, other)) return false;
    return fragment.offset < otherEnd && other.offset < end;
  });
}

function isCopy(a: PlainFragment, b: PlainFragment): boolean {
  return a.offset === b.offset && a.hasMore === b.hasMore && a.data.length === b.data.length &&
    a.data.every((byte, i) => byte === b.data[i]);
}

function join(kept: PlainFragment[]): Uint8Array | null {
  const last = kept.find(({ hasMore }) => !hasMore);
  if (last === undefined) return null;
  const bytes = new Map<number, number>();
  for (const { offset, data } of kept) data.forEach((byte, i) => bytes.set(offset + i, byte));
  const length = last.offset + last.data.length;
  for (let i = 0; i < length; i++) if (!bytes.has(i)) return null;
  return new Uint8Array(length).map((_, i) => bytes.get(i)!);
}
