/** Finds what somebody may have meant. */

/** The Levenshtein distance of two texts: insertions, deletions and replacements of a character. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[j] + 1, current[j - 1] + 1));
    }
    previous = current;
  }
  return previous[b.length];
}

/** The known name that resembles `text` most, case aside; null when none is close. */
export function nearest(text: string, known: Iterable<string>): string | null {
  if (text.length > 40) return null;
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const name of known) {
    const distance = editDistance(text.toLowerCase(), name.toLowerCase());
    const tolerated = Math.max(2, Math.floor(Math.max(text.length, name.length) / 3));
    if (distance <= tolerated && distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** The nearest known name as the end of a message, or nothing. */
export function suggestion(text: string, known: Iterable<string>): string {
  const name = nearest(text, known);
  return name === null ? "" : `; did you mean \`${name}\`?`;
}
