import { createServer } from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AnnouncedFinding, Suppression } from '#schemas/api/detection/suppressions.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { suppresses } from '#schemas/documents/suppression.js';
import type { SuppressionScope } from '#schemas/documents/suppression.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, identityOf, temporaryFolder } from '../testing/authority.js';
import type { Administrator } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let folder: string;
let admin: Administrator;
let announce: (...findings: readonly AnnouncedFinding[]) => Promise<{ fresh: number; suppressed: number }>;
let now = Date.now();
const received: { readonly finding: AnnouncedFinding; readonly link: string; readonly headline: string }[] = [];
const lines: (readonly [authorization: string | undefined, event: { readonly finding_info: { readonly uid: string } }])[] = [];
let onReceived = (): void => undefined;

const finding = (id: string, more: Partial<AnnouncedFinding> = {}): AnnouncedFinding => ({
  ...{
    id,
    rule: 'r',
    rule_version: 1,
    severity: 'high',
    techniques: ['T1003.008'],
    session: '',
    user: 'ann',
    node: 'web-1',
    login: 'root',
  },
  ...{ at: 1_700_000_000_000, offset_ms: null, title: 'Shadow', reason: 'cat read /etc/shadow', advice: '', tier: 'alert' },
  ...more,
});

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup, {}, () => now);
  admin = await administrator(authority, cleanup, () => now);
  const identity = await identityOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  const agent = new Agent(identity.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  announce = (...findings) =>
    callAuthority(
      { kind: 'tls', url: authority.addresses.tls, agent },
      { method: 'POST', target: '/v1/finding-announcements', body: { findings } },
    ) as Promise<{ fresh: number; suppressed: number }>;
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      if (request.url === '/ocsf') lines.push([request.headers.authorization, JSON.parse(text) as { finding_info: { uid: string } }]);
      else received.push(JSON.parse(text) as (typeof received)[number]);
      response.end();
      onReceived();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const secrets = join(folder, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true });
  writeFileSync(join(secrets, 'hook'), 'secret', { mode: 0o600 });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const hook = { kind: 'webhook', format: 'json', url, secret: { file: 'hook' } };
  await admin.call('PUT', '/v1/webhooks/all', { ...hook, name: 'all', events: ['finding.new'] });
  await admin.call('PUT', '/v1/webhooks/siem', {
    kind: 'webhook',
    name: 'siem',
    format: 'ocsf',
    url: `${url}ocsf`,
    token: { file: 'hook' },
  });
  // Subscribed only to access requests, the default for webhooks.
  await admin.call('PUT', '/v1/webhooks/requests', { ...hook, name: 'requests' });
});

async function told(count: number): Promise<void> {
  while (received.length < count) await new Promise<void>((resolve) => (onReceived = resolve));
}

async function triageOf(id: string): Promise<readonly AuditRow[]> {
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  try {
    const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
    return rows.filter(({ event, target }) => event === 'finding.triage' && target === id);
  } finally {
    await state.destroy();
  }
}

test('a finding is told to the webhooks that name findings, once, however often and by however many it is announced', async () => {
  const before = received.length;
  const session = '01jdv3k5m8q2w7x9y4z6a0b1c2';
  const one = finding('once', { session, offset_ms: 4100 });
  const answers = await Promise.all(Array.from({ length: 8 }, () => announce(one, one)));
  expect(answers.reduce((sum, { fresh }) => sum + fresh, 0)).toBe(1);
  await announce(finding('mild', { severity: 'low' }));
  await announce(finding('after'));
  await told(before + 2);
  expect(received.slice(before).map(({ finding: { id } }) => id)).toEqual(['once', 'after']);
  expect(received[before]).toMatchObject({ finding: one, headline: 'high: Shadow by ann on root@web-1' });
  while (lines.length < 2) await new Promise<void>((resolve) => (onReceived = resolve));
  expect(lines.map(([by, event]) => [by, event.finding_info.uid])).toEqual([
    ['Bearer secret', 'once'],
    ['Bearer secret', 'after'],
  ]);
  expect(received[before]!.link).toMatch(new RegExp(`/sessions/${session}\\?t=4100$`));
});

test('one that a suppression fits is kept as suppressed, counted and told to nobody, until the suppression is over', async () => {
  const before = received.length;
  const made = (await admin.call('POST', '/v1/suppressions', {
    ...{ scope: { rule: 'r', text: 'cat *shadow' }, reason: 'the nightly job', duration: 3_600_000 },
  })) as Suppression;
  expect(await announce(finding('s1'), finding('s2', { rule: 'other' }))).toEqual({ fresh: 2, suppressed: 1 });
  expect(await announce(finding('s1'))).toEqual({ fresh: 0, suppressed: 0 });
  const [row] = await triageOf('s1');
  expect(row).toMatchObject({ actor: `suppression/${made.id}`, outcome: 'success' });
  expect(JSON.parse(row!.data)).toEqual({ state: 'suppressed', version: 1, reason: 'the nightly job' });
  now += 3_600_001;
  expect(await announce(finding('s3'))).toEqual({ fresh: 1, suppressed: 0 });
  await told(before + 2);
  expect(received.slice(before).map(({ finding: { id } }) => id)).toEqual(['s2', 's3']);
  expect(await admin.call('GET', '/v1/suppressions')).toMatchObject([{ id: made.id, hits: 1 }]);
  await admin.call('DELETE', `/v1/suppressions/${made.id}`);
});

test('what somebody decided before it was announced stands', async () => {
  const { id } = (await admin.call('POST', '/v1/suppressions', { scope: { rule: 'r' }, reason: 'x', duration: 60_000 })) as Suppression;
  await admin.call('POST', '/v1/findings/early/triage', { state: 'acknowledged' });
  expect(await announce(finding('early'))).toEqual({ fresh: 1, suppressed: 0 });
  expect((await triageOf('early')).map(({ data }) => (JSON.parse(data) as { state: string }).state)).toEqual(['acknowledged']);
  await admin.call('DELETE', `/v1/suppressions/${id}`);
});

test('of any suppressions and findings: suppressed is what one of them fits', async () => {
  const word = fc.constantFrom('ann', 'bob');
  const scope: fc.Arbitrary<SuppressionScope> = fc
    .record({ user: word, node: fc.constantFrom('n1', 'n2'), rule: fc.constantFrom('r1', 'r2') }, { requiredKeys: [] })
    .filter((one) => Object.keys(one).length > 0);
  const some = fc.record({ user: word, node: fc.constantFrom('n1', 'n2'), rule: fc.constantFrom('r1', 'r2') });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(scope, { maxLength: 3 }), fc.array(some, { minLength: 1, maxLength: 6 }), async (scopes, found) => {
      run += 1;
      const made: Suppression[] = [];
      for (const one of scopes)
        made.push((await admin.call('POST', '/v1/suppressions', { scope: one, reason: 'x', duration: 60_000 })) as Suppression);
      const findings = found.map((one, i) => finding(`p${run}.${i}`, { ...one, severity: 'low' }));
      const expected = findings.filter((one) => scopes.some((by) => suppresses(by, one)));
      expect(await announce(...findings)).toEqual({ fresh: findings.length, suppressed: expected.length });
      for (const { id } of made) await admin.call('DELETE', `/v1/suppressions/${id}`);
    }),
    { numRuns: 15 },
  );
}, 60_000);

test.each<[string, object]>([
  ['without a reason', { scope: { rule: 'r' }, reason: ' ', duration: 60_000 }],
  ['without an end', { scope: { rule: 'r' }, reason: 'x' }],
  ['for longer than a year', { scope: { rule: 'r' }, reason: 'x', duration: 400 * 86_400_000 }],
  ['of everything', { scope: {}, reason: 'x', duration: 60_000 }],
])('a suppression %s is refused', async (_, body) => {
  await expect(admin.call('POST', '/v1/suppressions', body)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});
