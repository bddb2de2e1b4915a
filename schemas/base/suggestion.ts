/**
 * Suggests what a user may have meant by an unknown word. Tested in runtime/resources/document.test.ts and
 * search/parse.test.ts.
 */

/** `; did you mean "x"?`, or the list of known words if none is near and they are few. */
export function suggestion(word: string, known: readonly string[]): string {
  if (word.length <= 64) {
    const near = known.map((candidate) => ({ candidate, far: distance(word.toLowerCase(), candidate) })).sort((a, b) => a.far - b.far)[0];
    if (near !== undefined && near.far <= Math.max(1, Math.floor(near.candidate.length / 3))) return `; did you mean "${near.candidate}"?`;
  }
  return known.length > 0 && known.length <= 16 ? `; there are ${known.join(', ')}` : '';
}

/** Number of letters to add, remove, change or swap with a neighbour. */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
