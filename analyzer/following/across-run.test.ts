import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EventRow, FindingRow } from '#schemas/events/rows.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { correlationDetectors } from '../correlation/detector.js';
import { makeSession, ruleFor, rulesOf } from '../testing/session-rows.js';
import { AcrossRun } from './across-run.js';

const correlation = `title: Many alphas
id: 00000000-0000-4000-8000-00000000000c
name: many
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-000000000001]
  group-by: [Computer]
  timespan: 10m
  condition: { gte: 3 }
level: high
`;
const set = rulesOf(`${ruleFor('alpha', '00000000-0000-4000-8000-000000000001')}---\n${correlation}`);

let fixture: EventFixture;
beforeAll(async () => {
  fixture = await openedChdb();
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

function across(found: FindingRow[], faults: string[] = []): AcrossRun {
  return new AcrossRun({
    detectors: correlationDetectors(set),
    ruleVersion: () => 1,
    onFinding: (row) => found.push(row),
    onFault: (name) => faults.push(name),
    onBeyond: () => undefined,
    store: fixture.store,
    clock: Date.now,
  });
}

test('counts over sessions, and gives the same finding after a restart in the middle', async () => {
  expect(set.faults).toEqual([]);
  const rows: EventRow[] = [1, 2, 3].flatMap((n) => makeSession([`alpha ${n}`]).events.filter(({ kind }) => kind === 'exec'));
  const whole: FindingRow[] = [];
  const one = across(whole);
  await one.begin();
  for (const row of rows) one.take({ kind: 'event', row });
  for (const row of rows) one.take({ kind: 'event', row });
  // Time advances with the observations.
  const later = { ...rows[2]!, index: 99, name: 'beta', at: rows[2]!.at + 3_600_000 };
  one.take({ kind: 'event', row: later });
  expect(whole.at(-1)).toMatchObject({ severity: 'high', node: 'web-3' });
  expect(whole.at(-1)!.evidence).toHaveLength(3);

  await fixture.store.insert('events', rows.slice(0, 2), 'before');
  const cut: FindingRow[] = [];
  const other = across(cut);
  // An observation that arrives while the past is read is held.
  other.take({ kind: 'event', row: rows[2]! });
  await other.begin();
  other.take({ kind: 'event', row: later });
  expect(cut.at(-1)).toEqual(whole.at(-1));
});

test('the logins of node services, whose arguments have the command of the user, are in no past', async () => {
  const argv = ['sh', '-c', '{ echo 0 >/proc/self/loginuid; } 2>/dev/null; exec "$@"', 'sh', 'alpha'];
  // Two matches of users, and two of logins: three would be a finding.
  const logins = [1, 2].flatMap((): EventRow[] => {
    const [row] = makeSession(['alpha']).events.filter(({ kind }) => kind === 'exec');
    const login = { ...row!, node: 'web-9', name: argv.join(' '), data: JSON.stringify({ pid: 1, argv }) };
    return [login, { ...login, index: 1, name: 'bash -c alpha', data: JSON.stringify({ pid: 2, argv: ['bash', '-c', 'beta'] }) }];
  });
  await fixture.store.insert('events', logins, 'logins');
  const found: FindingRow[] = [];
  await across(found).begin();
  expect(found.filter(({ node }) => node === 'web-9')).toEqual([]);
  const third = { ...logins[1]!, session: makeSession([]).live.session };
  await fixture.store.insert('events', [third], 'third');
  await across(found).begin();
  expect(found.filter(({ node }) => node === 'web-9')).toHaveLength(1);
});
