import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { holds } from '#schemas/policy/session-condition.js';
import { sessionCondition } from '#schemas/policy/session.js';
import { expressions, seenSession, subjects } from '#schemas/policy/testing/session-rules.js';
import type { EventFixture } from '../conformance.js';
import { exampleSession, exampleSessionRow } from '../examples.js';
import { openedChdb } from '../testing/opened.js';

let fixture: EventFixture;
beforeAll(async () => {
  fixture = await openedChdb();
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

test('the store and the policy agree for every expression and session, with parameters and with literals', async () => {
  const seen = fc.sample(seenSession, { numRuns: 300, seed: 7 });
  const rows = seen.map(({ labels, ...one }, i) =>
    exampleSessionRow({ ...one, session: exampleSession(i), labels: labels ?? {}, labels_known: labels !== null }),
  );
  const { store } = fixture;
  await store.insert('sessions', rows, 'rows');
  const check = async (condition: Parameters<typeof holds>[0], what: string): Promise<void> => {
    const expected = rows.filter((_, i) => holds(condition, seen[i]!) === true).map(({ session }) => session);
    const found = (await store.sessions({ limit: 1000, visible: condition })).rows.map(({ session }) => session).sort();
    expect(found, what).toEqual(expected);
    const sql = await store.readOnlySql(
      'SELECT session FROM sessions ORDER BY session',
      { maxRows: 1000, maxSeconds: 30 },
      { listed: condition, findings: true, audit: false },
    );
    expect(
      sql.rows.map(([session]) => session),
      what,
    ).toEqual(expected);
  };
  for (const [text, condition] of expressions) await check(condition, text);
  for (const subject of fc.sample(subjects, { numRuns: 40, seed: 7 }))
    for (const action of ['list', 'view'] as const) await check(sessionCondition(subject, action), JSON.stringify(subject.roles));
}, 120_000);
