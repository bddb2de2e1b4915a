/** Recordings of every released format version, kept as they were: they must verify for ever. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAuthorizedLine, formatPublicLine } from '#schemas/ssh/public-key.js';
import { openVerifier } from '#runtime/ssh/verifier.js';

const folder = new URL('./', import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.cast.zst'))
  .map((name) => name.replace(/\.cast\.zst$/, ''));

describe('test vectors', () => {
  it('there is one for each format version up to now', () => {
    expect(names).toEqual(['recording-1']);
  });

  for (const name of names) {
    it(`${name} verifies, and says the same as when it was made`, async () => {
      const file = readFileSync(new URL(`${name}.cast.zst`, folder));
      const ca = parseAuthorizedLine(readFileSync(new URL(`${name}.ca.pub`, folder), 'utf8'));
      const verdict = (await openVerifier([formatPublicLine(ca.blob)]))(file);
      expect(verdict).toMatchObject({
        ok: true,
        blocks: 18,
        parts: 1,
        checkpoint: { session: '01m81krgqv6mg1356zdaq08hnc', gateway: 'local', counter: 1, end: 'complete' },
      });
    });
  }
});
