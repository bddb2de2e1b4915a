/** Recordings and event logs of every released format version, unchanged: they must verify for ever. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyEventLog } from '#schemas/recording/event-log-check.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openVerifier } from '#runtime/ssh/verifier.js';

const folder = new URL('./', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, folder));

/** The verdict on each when it was made. */
const said = {
  'recording-1': {
    session: '01m81krgqv6mg1356zdaq08hnc',
    blocks: 18,
    head: '0f2d7498ba2b90d40136dabf4a9319a5756a4aaee86f5b3a89db1953de1b5762',
    log: null,
  },
  'events-1': {
    session: '01m8mkzzv2h8kf484pq8p317vq',
    blocks: 1,
    head: 'c590663ad0725e4d546625fde30bef792f97b30670fb293dfe46f71c8ce2782f',
    log: { blocks: 1, bytes: 38_642, head: '11cc299ed8d62f047e7827c8e0e3caf44c697069144d4d81571738fdcd5270d2' },
  },
} as const;

describe('test vectors', () => {
  it('there is one for each format version', () => {
    const names = readdirSync(folder).filter((name) => name.endsWith('.cast.zst'));
    expect(names.map((name) => name.replace(/\.cast\.zst$/, '')).sort()).toEqual(Object.keys(said).sort());
  });

  describe.each(Object.entries(said))('%s', (name, { session, blocks, head, log }) => {
    it('verifies with the same verdict as when it was made', async () => {
      const ca = parseAuthorizedLine(readFileSync(path(`${name}.ca.pub`), 'utf8'));
      const verify = await openVerifier([formatPublicLine(ca.blob)]);
      const verdict = verify(readFileSync(path(`${name}.cast.zst`)));
      const checkpoint = { session, gateway: 'local', counter: 1, end: 'complete' };
      expect(verdict).toMatchObject({ ok: true, blocks, parts: 1, logged: log !== null, checkpoint: { ...checkpoint, head } });
      if (!verdict.ok || log === null) return;
      const found = verifyEventLog(verdict, readFileSync(path(`${name}.events.zst`)), verify);
      expect(found).toMatchObject({
        ok: true,
        blocks: log.blocks,
        bytes: log.bytes,
        header: { steno: { stream: 'events' } },
        checkpoint: { ...checkpoint, head: log.head },
      });
    });

    it('verifies with the independent verifier', () => {
      const logFile = path(`${name}.events.zst`);
      const files = [path(`${name}.cast.zst`), path(`${name}.ca.pub`), ...(existsSync(logFile) ? [logFile] : [])];
      const out = execFileSync('python3', [path('../../docs/verify.py'), ...files], { encoding: 'utf8' });
      const good = out.split('\n').filter((line) => line.startsWith('good: '));
      expect(good.length).toBe(log === null ? 1 : 2);
      for (const line of good) expect(line).toContain(session);
    });
  });
});
