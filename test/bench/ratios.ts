// Two series that were measured in turn, as medians with their spread and the ratio pair by pair.

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [a = Number.NaN, b = Number.NaN] = [sorted[middle - 1 + (sorted.length % 2)], sorted[middle]];
  return (a + b) / 2;
}

function spread(values: readonly number[]): string {
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
}

/** Both series in seconds and A/B, each as median (least to greatest). */
export function ratios(nameA: string, a: readonly number[], nameB: string, b: readonly number[]): string {
  const pairs = a.map((value, index) => value / (b[index] ?? Number.NaN));
  return [`${nameA}: ${spread(a)} s`, `${nameB}: ${spread(b)} s`, `ratio: ${spread(pairs)}, ${a.length} pairs`].join(
    '\n',
  );
}
