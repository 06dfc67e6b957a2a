// Guesses what somebody meant to write.

/**
 * The choice most like `word`, or null when none is like enough: about one slip in three letters,
 * where a swap of neighbours is one slip and upper case is none.
 */
export function nearest(word: string, choices: readonly string[]): string | null {
  if (word.length > 80) return null;
  let best: string | null = null;
  let fewest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const choice of choices) {
    const slips = distance(word.toLowerCase(), choice.toLowerCase());
    if (slips < fewest) {
      best = choice;
      fewest = slips;
    }
  }
  return best;
}

/** Edit distance with swaps of neighbours (optimal string alignment), one row of the table at a time. */
function distance(a: string, b: string): number {
  let twoUp: number[] = [];
  let up = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(at(up, j) + 1, at(row, j - 1) + 1, at(up, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, at(twoUp, j - 2) + 1);
      row.push(cost);
    }
    twoUp = up;
    up = row;
  }
  return at(up, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
