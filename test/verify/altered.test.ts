/**
 * The two verifiers over thousands of altered recordings of every kind: they agree, and every recording that they accept is the
 * same, line for line, as its original. STENO_TEST_LONG=1 tries some 32,000, different ones in every run.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import { alterations, saying } from './alterations.js';
import type { Alteration } from './alterations.js';
import { makeCorpus, random } from './recordings.js';
import type { Corpus } from './recordings.js';
import { openVerifiers } from './verifiers.js';
import type { Verifiers } from './verifiers.js';

const long = process.env['STENO_TEST_LONG'] === '1';
const kinds = [
  'terminal, sealed',
  'terminal with anchors, sealed',
  'exec',
  'sftp',
  'empty',
  'interrupted, with gaps of the kernel',
  'terminal, in parts',
  'in parts of two certificates, the last without lines',
  'live',
  'event log, in parts',
  'event log, not closed',
];

let corpus: Corpus;
let zstd: Zstd;
let verifiers: Verifiers;
beforeAll(async () => {
  zstd = await openZstd();
  corpus = await makeCorpus();
  verifiers = await openVerifiers([corpus.ca.line]);
});
afterAll(() => verifiers?.close());

/** `share`: one in `share` alterations is tried. */
function* some(all: Iterable<Alteration>, share: number, below: (n: number) => number): Generator<Alteration> {
  for (const alteration of all) if (share === 1 || below(share) === 0) yield alteration;
}

describe('altered in every way', () => {
  it('the list names all recordings', () => {
    expect(corpus.recordings.map(({ name }) => name)).toEqual(kinds);
  });

  it.each(kinds)(
    '%s',
    async (kind) => {
      const { file } = corpus.recordings.find(({ name }) => name === kind)!;
      const below = random(kind.length + (long ? Date.now() : 0));
      const said = saying(file, zstd);
      const wrong: string[] = [];
      const counts = new Map<number, number>();
      // All alterations of a small recording, but only a share for a large one, because each must be rendered.
      const [many, share] = long ? [12, 1] : file.length < 2000 ? [1, 3] : [1, Math.ceil(file.length / 8_000)];
      const asked: Promise<void>[] = [];
      for (const { what, file: make } of some(alterations(file, zstd, below, many), share, below)) {
        const altered = make();
        if (altered === null) continue;
        const ours = verifiers.ours(altered);
        counts.set(ours.code, (counts.get(ours.code) ?? 0) + 1);
        if (ours.code === 0 && saying(altered, zstd) !== said) wrong.push(`${what}: taken for good`);
        asked.push(
          verifiers.theirs(altered).then((theirs) => {
            // Only a verifier with a terminal emulator can check what a keyframe shows; the other continues with the later steps.
            const blind =
              ours.code === 10 && /keyframe before block \d+ does not match/.test(ours.text) && [0, 10, 11].includes(theirs.code);
            if (ours.code !== theirs.code && !blind) wrong.push(`${what}: ${ours.code} ${ours.text} | ${theirs.code} ${theirs.text}`);
          }),
        );
        if (asked.length % 64 === 0) await Promise.all(asked.splice(0));
      }
      await Promise.all(asked);
      if (long) console.log(kind, JSON.stringify([...counts]));
      expect(wrong).toEqual([]);
      expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(long ? 1000 : 20);
    },
    long ? 3_600_000 : 60_000,
  );
});
