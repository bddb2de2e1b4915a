/** Sessions under access requests whose reasons are in the audit log of a real store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleAuditRow, exampleEventRow, exampleScreenRow, exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { KnownGood } from '../software/known-good.js';
import { loadRules } from '../sigma/rule-set.js';
import { pastDetectors } from '../detectors/past-detectors.js';

const NOW = 1_800_000_000_000;
const DAY = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), 'steno-purpose-'));
let store: EventStore;

const rule = `title: installs
id: 00000000-0000-4000-8000-000000000001
level: medium
logsource: { product: linux, category: process_creation }
detection: { s: { CommandLine|contains: 'apt-get install' }, condition: s }
steno: { advice: x, purpose: { reason: [read only, look at], unless: [install] } }
`;

beforeAll(async () => {
  store = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
  const request = (target: string, reason: string, actor = 'ann', outcome: 'success' | 'failure' = 'success') =>
    exampleAuditRow({ id: `${target}${actor}${outcome}`, at: NOW - 1_000, event: 'request.create', target, actor, outcome, data: JSON.stringify({ reason }) }); // prettier-ignore
  await store.insert(
    'audit',
    [
      request('r-look', 'Read only: look at the logs of web-1'),
      request('r-look', 'install everything', 'mallory'),
      request('r-look', 'install', 'ann', 'failure'),
      request('r-install', 'OPS-7 install nginx on web-2'),
      request('r-nginx', 'nginx is slow, look at it'),
      request('r-empty', ''),
    ],
    'a',
  );
  const used = ['web-1', 'web-2', 'look'].map((node, i) =>
    exampleSessionRow({ session: exampleSession(i), node, started_at: NOW - 3 * DAY }),
  );
  await store.insert('sessions', used, 's');
}, 60_000);
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const exec = (name: string, index = 0): EventRow => {
  const argv = name.split(' ');
  return exampleEventRow({ source: 'kernel', kind: 'exec', outcome: 'success', path: `/usr/bin/${argv[0]!}`, name, index, data: JSON.stringify({ pid: 5, ppid: 1, argv }) }); // prettier-ignore
};

async function found(
  requests: string,
  node: string,
  rows: readonly EventRow[],
  trackers: readonly string[] = [],
): Promise<readonly string[]> {
  const { evaluable, faults } = loadRules([{ name: 'r.yml', text: rule }]);
  expect(faults).toEqual([]);
  const detector = pastDetectors(evaluable, store, new KnownGood(), trackers).find(({ name }) => name === 'purpose')!;
  const session: SessionRow = exampleSessionRow({
    session: exampleSession(9),
    user: 'ann',
    node,
    started_at: NOW,
    request_id: requests,
    cols: 80,
  });
  const opened = await detector.open(session);
  const screen = exampleScreenRow({ session: session.session, row: 1, text: '$ apt-get install nmap' });
  return [
    ...opened.take({ kind: 'start', session }),
    ...rows.flatMap((row) => opened.take({ kind: 'event', row })),
    ...(rows.length > 0 ? [] : opened.take({ kind: 'screen', row: screen })),
    ...opened.take({ kind: 'end', session }),
  ].map(({ rule: { id }, reason }) => `${id}: ${reason}`);
}
const uuid = '00000000-0000-4000-8000-000000000001';
const said = 'request r-look says "Read only: look at the logs of web-1"';

describe('purpose drift', () => {
  it('is what a rule finds under a reason that fits, with the reason in it; by programs and by typed lines', async () => {
    expect(await found('r-look', 'web-1', [exec('apt-get install nmap')])).toEqual([`${uuid}: ran apt-get install nmap; ${said}`]);
    expect(await found('r-look', 'web-1', [])).toEqual([
      expect.stringMatching(new RegExp(`^${uuid}: .*apt-get install nmap; request r-look`)),
    ]);
    expect(await found('r-look', 'web-1', [exec('less /var/log/syslog')])).toEqual([]);
  });

  it('is none without a request, under one that says so, or if one of several does', async () => {
    for (const requests of ['', 'r-install', 'r-look,r-install', 'r-empty', 'r-unknown', "r'; --"])
      expect(await found(requests, 'web-2', [exec('apt-get install nmap')]), requests).toEqual([]);
  });

  it('is a session on another node than the reason names, where the name is no plain word', async () => {
    expect(await found('r-look', 'web-2', [exec('ls')])).toEqual([`steno/drift-node: web-2, where the reason names web-1; ${said}`]);
    expect(await found('r-nginx', 'web-2', [exec('ls')])).toEqual([]);
  });

  it('is another service than the reason names', async () => {
    const restarts = [
      'systemctl restart nginx',
      'systemctl status sshd',
      'systemctl restart postgresql@15-main.service',
      'service redis-server stop',
    ];
    expect((await found('r-nginx', 'web-1', restarts.map(exec))).map((one) => one.split(',')[0])).toEqual([
      'steno/drift-service: ran systemctl restart postgresql@15-main.service',
      'steno/drift-service: ran service redis-server stop',
    ]);
    expect(await found('r-look', 'web-1', restarts.map(exec))).toEqual([]);
  });

  it('a reason without a ticket is one only where tickets are asked for', async () => {
    expect(await found('r-look', 'web-1', [exec('ls')], ['OPS'])).toEqual([`steno/reason-without-ticket: no ticket of OPS; ${said}`]);
    expect(await found('r-install', 'web-2', [exec('ls')], ['OPS'])).toEqual([]);
  });
});
