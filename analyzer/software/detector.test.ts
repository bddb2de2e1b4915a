/** Programs by their hashes, with the past in chDB. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { ENOUGH_PROGRAMS, SoftwareDetector } from './detector.js';
import type { SoftwareReader } from './detector.js';
import { KnownGood } from './known-good.js';
import { StoredSoftware } from './known-software.js';
import type { KnownSoftware } from './known-software.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + DAY / 2;
const hash = (text: string): string => Buffer.from(text.padEnd(32, '.')).toString('hex').slice(0, 64);
const ran = (session: number, node: string, at: number, index: number, path: string, sha256: string): EventRow => ({
  session: exampleSession(session), source: 'kernel', emitter: `agent/${node}`, block: 0, index, at, offset_ms: 10 * index, kind: 'exec', user: 'ann', node, login: 'root', ...noFacts, path, sha256, name: path, outcome: 'success',
}); // prettier-ignore

const folder = mkdtempSync(join(tmpdir(), 'steno-software-'));
let store: EventStore;
beforeAll(async () => {
  store = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
  const usual = Array.from({ length: ENOUGH_PROGRAMS }, (_, i) => ran(1, 'web-1', NOW - 5 * DAY, i, `/usr/bin/p${i}`, hash(`p${i}`)));
  await store.insert(
    'events',
    [
      ...usual,
      ran(2, 'web-1', NOW - 3 * DAY, 0, '/usr/bin/p0', hash('p0 updated')),
      ran(3, 'web-2', NOW - 3 * DAY, 0, '/opt/tool', hash('tool')),
      ran(3, 'web-2', NOW - 3 * DAY, 1, '/usr/bin/p1', hash('p1 updated')),
      // From the day of the session itself, or older than the window: not part of the past.
      ran(4, 'web-2', NOW - 60_000, 0, '/opt/today', hash('today')),
      ran(5, 'web-2', NOW - 120 * DAY, 0, '/opt/old', hash('old')),
    ],
    'past',
  );
}, 60_000);
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

async function found(
  rows: readonly EventRow[],
  node = 'web-1',
  past: SoftwareReader = new StoredSoftware(store),
  good = new KnownGood(),
): Promise<readonly string[]> {
  const session = exampleSessionRow({ session: exampleSession(9), node, user: 'ann', login: 'root', started_at: NOW });
  const opened = await new SoftwareDetector(past, good).open(session);
  return rows.flatMap((row) => opened.take({ kind: 'event', row })).map(({ rule, reason }) => `${rule.id}: ${reason}`);
}
const now = (path: string, sha256: string, index = 0): EventRow => ran(9, 'web-1', NOW, index, path, sha256);

describe('software', () => {
  it('that is what it was, and what another node runs, is no finding', async () => {
    const rows = [now('/usr/bin/p5', hash('p5')), now('/usr/bin/p0', hash('p0 updated')), now('/opt/tool', hash('tool'))];
    expect(await found(rows)).toEqual([]);
  });

  it('that no node ran is found once, with its hash', async () => {
    const rows = [now('/tmp/x', hash('x')), now('/tmp/x', hash('x'), 1), now('/opt/today', hash('today')), now('/opt/old', hash('old'))];
    expect(await found(rows)).toEqual(
      ['/tmp/x', '/opt/today', '/opt/old'].map(
        (path) =>
          `steno/new-executable: ${path} (SHA-256 ${hash(path.replace(/.*\//, ''))}) ran on web-1, and in 90 days on no node before`,
      ),
    );
  });

  it('that is another at the same path is found with both hashes, and whether a node has the same', async () => {
    const digest = { ...now('/usr/bin/p2', hash('evil'), 2), kind: 'file' as const, name: 'digest' };
    expect(await found([now('/usr/bin/p1', hash('p1 updated')), now('/usr/bin/p0', hash('p0')), digest])).toEqual([
      `steno/changed-executable: /usr/bin/p1 on web-1 is not what it was: SHA-256 ${hash('p1')} before, ${hash('p1 updated')} now; a node is known to have run the same`,
      `steno/changed-executable: /usr/bin/p0 on web-1 is not what it was: SHA-256 ${hash('p0 updated')} before, ${hash('p0')} now; a node is known to have run the same`,
      `steno/changed-executable: /usr/bin/p2 on web-1 is not what it was: SHA-256 ${hash('p2')} before, ${hash('evil')} now; no node is known to have run this`,
    ]);
  });

  it('of a node of which little is known is not judged, nor what the agent could not hash or did not run', async () => {
    expect(await found([{ ...now('/tmp/x', hash('x')), node: 'web-2' }], 'web-2')).toEqual([]);
    const failed = { ...now('/tmp/x', hash('x')), outcome: 'EACCES' };
    expect(await found([now('/tmp/x', ''), failed, { ...now('/tmp/x', hash('x')), source: 'recording' }])).toEqual([]);
  });

  it('whose hash is on a list of known-good executables is no finding, new or changed', async () => {
    const rows = [
      now('/tmp/x', hash('x')),
      now('/tmp/y', hash('y'), 1),
      now('/usr/bin/p1', hash('good'), 2),
      now('/usr/bin/p2', hash('evil'), 3),
    ];
    const good = new KnownGood([{ name: 'base', import: '1', hashes: Buffer.from([hash('x'), hash('good')].sort().join(''), 'hex') }]);
    const reasons = await found(rows, 'web-1', new StoredSoftware(store), good);
    expect(reasons.map((reason) => reason.split(' ').slice(0, 2).join(' '))).toEqual([
      'steno/new-executable: /tmp/y',
      'steno/changed-executable: /usr/bin/p2',
    ]);
  });

  it('is found only if its hash is new for its path: for any past and any programs', async () => {
    const path = fc.constantFrom('/a', '/b', '/c');
    const sha = fc.constantFrom('x', 'y', 'z').map(hash);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(path, sha), { maxLength: 4 }),
        fc.array(sha, { maxLength: 2 }),
        fc.boolean(),
        fc.array(fc.tuple(path, sha), { maxLength: 8 }),
        async (of, others, whole, programs) => {
          const node = new Map([...Array.from({ length: ENOUGH_PROGRAMS }, (_, i) => [`/p${i}`, hash(`p${i}`)] as const), ...of]);
          const known: KnownSoftware = { node, fleet: new Set([...node.values(), ...others]), whole };
          const reasons = await found(
            programs.map(([at, sha256], i) => now(at, sha256, i)),
            'web-1',
            { before: async () => known },
          );
          const expected = new Set(
            programs
              .filter(([at, sha256]) => (node.has(at) ? node.get(at) !== sha256 : whole && !known.fleet.has(sha256)))
              .map(([at, sha256]) => `${at} ${sha256}`),
          );
          expect(reasons).toHaveLength(expected.size);
        },
      ),
    );
  });
});
