/** The rules of an analyzer, from a real authority that changes, restarts and gets unreadable rules. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RuleInfo } from '#schemas/api/detection/rules.js';
import { Cleanup, administrator, authorityIn, clientOf } from '../../authority/testing/authority.js';
import type { Administrator } from '../../authority/testing/authority.js';
import type { DetectorSet } from '../../analyzer/detectors/detector-set.js';
import { RulesInForce } from '../../analyzer/detectors/rules-in-force.js';

const cleanup = new Cleanup();
let folder: string;
let files: string;
let admin: Administrator;
let inForce: RulesInForce;
let sets: DetectorSet[];
let onSet: () => void;

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const sigma = (n: number, image = '/bin/x'): string =>
  `title: Rule ${n}\nid: ${uuid(n)}\nlevel: high\nlogsource: { product: linux, category: process_creation }\ndetection:\n  s: { Image: ${image} }\n  condition: s\n`;
const put = (n: number, text = sigma(n)): Promise<unknown> =>
  admin.call('POST', '/v1/rules', { rules: [{ id: uuid(n), kind: 'rule', title: `Rule ${n}`, level: 'high', text }] });
const rulesOf = (set: DetectorSet): readonly string[] => {
  const [sigmaRules] = set.perSession.filter(({ name }) => name === 'sigma');
  return sigmaRules!.rules.map(({ id }) => id).sort();
};
const reported = async (n: number): Promise<RuleInfo['analyzed']> =>
  ((await admin.call('GET', '/v1/rules')) as RuleInfo[]).find(({ id }) => id === uuid(n))?.analyzed ?? null;

/** The next set for which `holds` is true. */
async function until(holds: (set: DetectorSet) => boolean): Promise<DetectorSet> {
  for (let seen = 0; ; seen += 1) {
    while (sets.length <= seen) await new Promise<void>((resolve) => (onSet = resolve));
    if (holds(sets[seen]!)) return sets[seen]!;
  }
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'steno-rules-in-force-'));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  files = mkdtempSync(join(folder, 'files-'));
  writeFileSync(join(files, 'one.yml'), sigma(1));
  sets = [];
  onSet = () => undefined;
  const authority = await authorityIn(join(folder, 'data'), cleanup);
  admin = await administrator(authority, cleanup);
  const client = await clientOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  const history = { scan: () => Promise.reject(new Error('no past')), readOnlySql: () => Promise.reject(new Error('no history here')) };
  inForce = new RulesInForce({
    folders: [files],
    history,
    authority: client,
    log: pino({ level: 'silent' }),
    retryMs: 20,
    reportEveryMs: 50,
  });
  cleanup.add(() => inForce.close());
});
afterEach(() => cleanup.run());

const start = async (): Promise<void> => {
  const first = await inForce.start((set) => {
    sets.push(set);
    onSet();
  });
  sets.unshift(first);
};

test('rules from files and from the authority are in force together, and each change at the authority makes a new set', async () => {
  await put(2);
  await start();
  expect(rulesOf(sets[0]!)).toEqual([uuid(1), uuid(2)]);
  expect([sets[0]!.version(uuid(2)), sets[0]!.version(uuid(1))]).toEqual([1, 1]);
  await put(3);
  await until((set) => rulesOf(set).length === 3);
  await put(2, sigma(2, '/bin/y'));
  const changed = await until((set) => set.version(uuid(2)) === 2);
  expect(new Set(sets.map(({ hash }) => hash)).size).toBe(sets.length);
  expect(rulesOf(changed)).toEqual([uuid(1), uuid(2), uuid(3)]);
  await admin.call('PUT', `/v1/rules/${uuid(3)}/enabled`, { enabled: false });
  await until((set) => rulesOf(set).join() === [uuid(1), uuid(2)].join());
  await admin.call('DELETE', `/v1/rules/${uuid(2)}`);
  await until((set) => rulesOf(set).join() === uuid(1));
});

test('an unreadable rule does not affect others, and its row gives the reason', async () => {
  await put(2, 'title: [');
  await put(3);
  await put(1);
  await start();
  expect(rulesOf(sets[0]!)).toEqual([uuid(1), uuid(3)]);
  const states = async (): Promise<string> => (await Promise.all([1, 2, 3].map(reported))).map((one) => one?.state ?? '-').join();
  await expect.poll(states, { timeout: 60_000 }).toBe('refused,refused,loaded');
  expect((await reported(1))?.detail).toContain('has the id of');
  await put(2);
  await until((set) => rulesOf(set).includes(uuid(2)));
  await expect.poll(async () => (await reported(2))?.state, { timeout: 60_000 }).toBe('loaded');
});

test('invalid files prevent a start; later they leave the previous set in force', async () => {
  writeFileSync(join(files, 'bad.yml'), 'title: [');
  await expect(start()).rejects.toMatchObject({ code: 'RULE_INVALID' });
  rmSync(join(files, 'bad.yml'));
  await start();
  const { hash } = sets[0]!;
  writeFileSync(join(files, 'bad.yml'), 'title: [');
  expect(() => inForce.load()).toThrow(expect.objectContaining({ code: 'RULE_INVALID' }));
  rmSync(join(files, 'bad.yml'));
  expect(inForce.load().hash).toBe(hash);
});
