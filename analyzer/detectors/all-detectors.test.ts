/** All detectors on one session, with the past in chDB: rules, a correlation, a baseline and the risk score; a replay gives the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, FindingRow } from '#schemas/events/rows.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { DetectionRun } from '../following/detection-run.js';
import { loadRules } from '../sigma/rule-set.js';
import { detectorsOf } from './detector-set.js';
import type { RuleBook } from './rule-book.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + DAY / 2;
const rule = (name: string, level: string): string =>
  `title: ${name}\nname: ${name}\nlevel: ${level}\nlogsource: { category: process_creation }\ndetection: { s: { Image|endswith: /${name} }, condition: s }\n`;
const text = [
  rule('tar', 'low'),
  rule('curl', 'medium'),
  rule('nmap', 'high'),
  'title: packed and sent\nname: packed\nlevel: high\ndate: 2026-03-01\ncorrelation: { type: temporal_ordered, rules: [tar, curl], group-by: [SessionId], timespan: 10m }\n',
].join('---\n');

const folder = mkdtempSync(join(tmpdir(), 'steno-detectors-'));
let store: EventStore;
beforeAll(async () => {
  store = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
  const sessions = Array.from({ length: 60 }, (_, i) =>
    exampleSessionRow({
      session: exampleSession(1_000 + i), user: i % 2 === 0 ? 'ann' : `u${i % 11}`, node: 'web-1', login: 'root', labels: { env: 'prod' }, labels_known: true,
      started_at: NOW - (i + 2) * DAY, ended_at: NOW - (i + 2) * DAY + 60_000, state: 'sealed',
    }),
  ); // prettier-ignore
  await store.insert('sessions', sessions, 'past');
  await store.insert('events', sessions.flatMap(({ session, user, started_at }) => ['tar', 'curl'].map((program, index) => exec(session, user, started_at, index, program))), 'past'); // prettier-ignore
}, 120_000);
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function exec(session: string, user: string, started_at: number, index: number, program: string): EventRow {
  return {
    session, source: 'kernel', emitter: 'agent/web-1', block: 1, index, at: started_at + index * 1_000, offset_ms: index * 1_000, kind: 'exec', user, node: 'web-1', login: 'root',
    ...noFacts, outcome: 'success', path: `/usr/bin/${program}`, name: program,
  }; // prettier-ignore
}

const session = exampleSessionRow({
  session: exampleSession(7),
  user: 'ann',
  node: 'web-1',
  login: 'root',
  started_at: NOW,
  labels: { env: 'prod' },
  labels_known: true,
});

async function run(): Promise<readonly FindingRow[]> {
  const book: RuleBook = { ...loadRules([{ name: 'r.yml', text }]), hash: 'x', files: 1 };
  const { perSession, version } = detectorsOf(book, store);
  const found: FindingRow[] = [];
  const parts = {
    detectors: perSession,
    ruleVersion: version,
    onObservation: () => undefined,
    onFinding: (row: FindingRow) => void found.push(row),
    onFault: (name: string, error: unknown) => {
      throw new Error(name, { cause: error });
    },
    onBeyond: () => undefined,
  };
  const of = await DetectionRun.open(parts, session);
  for (const [index, program] of ['ls', 'tar', 'nmap', 'curl'].entries()) of.event(exec(session.session, 'ann', NOW, index, program));
  of.end({ ...session, ended_at: NOW + 60_000, state: 'ended' });
  return found;
}

describe('the detectors of a session', () => {
  it('find what each is for, weigh it, and find the same in a replay', async () => {
    const found = await run();
    expect(found.map(({ rule, rule_version, at }) => [rule, rule_version, at - NOW])).toEqual([
      ['steno/rare-program', 1, 0],
      [expect.stringMatching(/nmap|r\.yml/), 1, 2_000],
      ['steno/rare-program', 1, 2_000],
      ['packed', 20260301, 3_000],
      ['steno/risk-medium', 1, 3_000],
    ]);
    expect(JSON.stringify(await run())).toBe(JSON.stringify(found));
  });
});
