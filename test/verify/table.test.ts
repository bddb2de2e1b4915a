/** The table in docs/format.md, row by row: both verifiers give its codes, and every row is tried. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openZstd } from '#runtime/zstd.js';
import { makeCases } from './cases.js';
import type { Case } from './cases.js';
import { makeCorpus } from './recordings.js';
import { openVerifiers } from './verifiers.js';
import type { Verifiers } from './verifiers.js';

const page = readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8');
const table = [...page.slice(page.indexOf('\n## Cases'), page.indexOf('\n## What it does not')).matchAll(/^\| (.+) \| (\d+) \|$/gm)].map(
  ([, row, code]) => ({ row, code: Number(code) }),
);

let cases: Case[];
let verifiers: Verifiers;
beforeAll(async () => {
  const corpus = await makeCorpus();
  cases = makeCases(corpus, await openZstd());
  verifiers = await openVerifiers([corpus.ca.line]);
});
afterAll(() => verifiers?.close());

describe('cases of docs/format.md', () => {
  it('are all tried here', () => {
    expect(cases.map(({ row, code }) => ({ row, code }))).toEqual(table);
  });

  it.each(table)('$row: $code', async ({ row }) => {
    const found = cases.find((each) => each.row === row)!;
    for (const [i, file] of found.files.entries()) {
      const [ours, theirs] = [verifiers.ours(file), await verifiers.theirs(file)];
      const answers = { i, ours: ours.code, theirs: theirs.code, why: `${ours.text} | ${theirs.text}` };
      expect(answers).toEqual({ ...answers, ours: found.code, theirs: found.blind ?? found.code });
      if (found.blind === 0) expect(theirs.keyframes).toBeGreaterThan(0);
    }
  });
});

describe('the description of verify.py', () => {
  it('states its length in README.md and format.md', () => {
    const lines = readFileSync(new URL('../../docs/verify.py', import.meta.url), 'utf8').split('\n').length - 1;
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    expect([readme, page].map((text) => /(\d+) lines of Python/.exec(text)?.[1])).toEqual([String(lines), String(lines)]);
  });
});
