/**
 * The short run: every target gets its seeds, the inputs that once broke it, some thousand mutants of its seeds and some
 * random noise. `STENO_FUZZ_RUNS` makes it longer. The long run is coverage-guided: `npm run fuzz`.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { mutate, mutation } from '#runtime/testing/mutations.js';
import type { OpenTarget } from './target.js';
import { targets } from './targets.js';

const runs = Number(process.env['STENO_FUZZ_RUNS'] ?? 1_500);
const found = (name: string): URL => new URL(`found/${name}/`, import.meta.url);

test('names are unique, and every found input belongs to a target', () => {
  const names = targets.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  const folder = new URL('found/', import.meta.url);
  if (existsSync(folder)) for (const name of readdirSync(folder)) expect(names).toContain(name);
});

describe.each(targets)('$name', ({ name, words = [], maxLength, open }) => {
  let target: OpenTarget;
  beforeAll(async () => {
    target = await open();
  });

  test('accepts its seeds and the inputs that once broke it', () => {
    expect(target.seeds.length).toBeGreaterThan(0);
    for (const seed of target.seeds) target.check(Buffer.from(seed));
    if (existsSync(found(name))) for (const file of readdirSync(found(name))) target.check(readFileSync(new URL(file, found(name))));
  });

  test('holds its properties for mutants and noise', () => {
    const dictionary = words.map((word) => Buffer.from(word));
    const mutant = fc
      .tuple(fc.nat(63), fc.array(mutation, { minLength: 1, maxLength: 6 }))
      .map(([seed, list]) => mutate(target.seeds[seed % target.seeds.length]!, list, target.seeds, dictionary).subarray(0, maxLength));
    const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: mutant }, { weight: 1, arbitrary: noise }), (input) => target.check(input)),
      {
        numRuns: runs,
        interruptAfterTimeLimit: runs === 1_500 ? 4_000 : 600_000,
      },
    );
  }, 900_000);
});
