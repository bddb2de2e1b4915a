/** Logins that belong to no session become findings, and none is lost while no feed is connected. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, FindingRow } from '#schemas/events/rows.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { AcrossRun } from '../following/across-run.js';
import { bypassDetector } from './bypass.js';

const HOUR = 3_600_000;
const NOW = 20_800 * 24 * HOUR + 12 * HOUR;

function login(index: number, facts: Partial<EventRow>): EventRow {
  return {
    ...noFacts,
    ...{
      session: '',
      source: 'kernel',
      emitter: 'agent/web-1',
      block: 7,
      index,
      at: NOW + index,
      offset_ms: 0,
      kind: 'login',
      user: '',
      node: 'web-1',
    },
    ...{ login: 'root', name: 'sshd', path: '/bin/bash', outcome: 'success', address: '192.0.2.9', port: 50_000 + index },
    data: '{"argv":["bash","-c","id"]}',
    ...facts,
  };
}

let fixture: EventFixture;
beforeAll(async () => {
  fixture = await openedChdb();
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

function across(found: FindingRow[]): AcrossRun {
  return new AcrossRun({
    detectors: [bypassDetector()],
    ruleVersion: () => 1,
    onFinding: (row) => found.push(row),
    onFault: (name, error) => expect.fail(`${name}: ${String(error)}`),
    onBeyond: () => undefined,
    store: fixture.store,
    clock: () => NOW + HOUR,
  });
}
const text = ({ rule, data }: FindingRow): string => `${rule}: ${(JSON.parse(data) as { reason: string }).reason}`;

describe('logins that belong to no session', () => {
  it('are findings by how they came: one a day for people, one for a job', async () => {
    const found: FindingRow[] = [];
    const run = across(found);
    await run.begin();
    const rows = [
      login(1, {}),
      login(2, {}),
      login(3, { address: '192.0.2.10' }),
      login(4, { at: NOW + 24 * HOUR }),
      login(5, { name: 'console', address: '', port: null }),
      login(6, { name: 'su', login: 'postgres', address: '', port: null }),
      login(7, { name: 'cron', address: '', data: '{"argv":["/bin/sh","-c","backup"]}' }),
      login(8, { name: 'cron', address: '', data: '{"argv":["/bin/sh","-c","backup"]}', at: NOW + 24 * HOUR }),
      login(9, { name: 'cron', address: '', data: 'not json' }),
    ];
    for (const row of rows) run.take({ kind: 'event', row });
    // Logins of a session, and other kinds: not for this detector.
    run.take({ kind: 'event', row: login(10, { session: '01jd0000000000000000000000' }) });
    run.take({ kind: 'event', row: login(11, { kind: 'gap' }) });
    expect(found.map(text)).toEqual([
      'steno/login-beside-steno: root on web-1 by the sshd of the node from 192.0.2.9, running bash -c id',
      'steno/login-beside-steno: root on web-1 by the sshd of the node from 192.0.2.10, running bash -c id',
      'steno/login-beside-steno: root on web-1 by the sshd of the node from 192.0.2.9, running bash -c id',
      'steno/login-beside-steno: root on web-1 at the console, running bash -c id',
      'steno/su-beside-steno: postgres on web-1 by su, running bash -c id',
      'steno/cron-beside-steno: root on web-1 by cron, running /bin/sh -c backup',
      'steno/cron-beside-steno: root on web-1 by cron, running /bin/bash',
    ]);
    expect(found[0]).toMatchObject({ session: '', node: 'web-1', login: 'root', evidence: [':kernel:agent/web-1:7.1'] });
  });

  it('are found at the next start, and at the next connection, when no feed brought them', async () => {
    await fixture.store.insert('events', [login(20, { node: 'web-2' })], 'while away');
    const found: FindingRow[] = [];
    const run = across(found);
    await run.begin();
    expect(found.map(({ node }) => node)).toEqual(['web-2']);
    await fixture.store.insert('events', [login(21, { node: 'web-3' })], 'while the feed was down');
    await run.missed();
    expect(found.map(({ node }) => node)).toEqual(['web-2', 'web-3']);
  });
});
