/** What somebody may have meant who wrote a word that is none. Tested in document.test.ts. */
import { z } from 'zod';

/** `; did you mean "x"?`, or the words there are when none is near and they are few. */
export function suggestion(word: string, known: readonly string[]): string {
  if (word.length <= 64) {
    const near = known.map((candidate) => ({ candidate, far: distance(word.toLowerCase(), candidate) })).sort((a, b) => a.far - b.far)[0];
    if (near !== undefined && near.far <= Math.max(1, Math.floor(near.candidate.length / 3))) return `; did you mean "${near.candidate}"?`;
  }
  return known.length > 0 && known.length <= 16 ? `; there are ${known.join(', ')}` : '';
}

/** The fields that a schema has at a path, through defaults, options, lists and records. */
export function knownFields(schema: z.ZodType, path: readonly (string | number)[]): readonly string[] {
  let here: z.ZodType | undefined = bare(schema);
  for (const part of path) {
    if (here instanceof z.ZodObject) here = bare((here.shape as Record<string, z.ZodType>)[part]);
    else if (here instanceof z.ZodArray) here = bare(here.element as z.ZodType);
    else return [];
  }
  return here instanceof z.ZodObject ? Object.keys(here.shape as object) : [];
}

function bare(schema: z.ZodType | undefined): z.ZodType | undefined {
  // Of what is written in short or in full, the full form has the fields.
  if (schema instanceof z.ZodUnion)
    return (schema.options as readonly z.ZodType[]).find((option) => option instanceof z.ZodObject) ?? schema;
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
    ? bare(schema.unwrap() as z.ZodType)
    : schema;
}

/** How many letters are to be added, taken away, changed or swapped with their neighbour. */
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
