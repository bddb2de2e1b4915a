import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AuditRow } from '#schemas/events/rows.js';
import { triageData } from '#schemas/events/triage.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, inBrowser, person, temporaryFolder, viewerOf } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let folder: string;
let admin: Administrator;
let ann: Signer;
let pat: Signer;
let inBrowserOf: (who: Signer) => Promise<(id: string, body: object) => Promise<unknown>>;

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/analyst', {
    kind: 'role',
    name: 'analyst',
    allow: { rules: [{ resources: ['finding'], verbs: ['read', 'update'] }] },
  });
  await admin.call('PUT', '/v1/roles/plain', {
    kind: 'role',
    name: 'plain',
    allow: { rules: [{ resources: ['finding'], verbs: ['read'] }] },
  });
  for (const [name, role] of [
    ['ann', 'analyst'],
    ['pat', 'plain'],
  ] as const)
    await admin.call('POST', '/v1/users', { name, roles: [role] });
  ann = await person(authority, folder, admin, 'ann', ['analyst'], cleanup);
  pat = await person(authority, folder, admin, 'pat', ['plain'], cleanup);
  const asViewer = await viewerOf(authority, cleanup);
  inBrowserOf = async (who) => {
    const browser = await inBrowser(asViewer, who);
    return (id, body) => browser(`/v1/findings/${id}/triage`, body);
  };
});

async function rowsOf(finding: string): Promise<readonly AuditRow[]> {
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  try {
    const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
    return rows.filter(({ event, target }) => event === 'finding.triage' && target === finding);
  } finally {
    await state.destroy();
  }
}

test('each decision has a version of its own, and its row says who, what and why', async () => {
  const decide = (body: object): Promise<unknown> => ann.call('POST', '/v1/findings/f1/triage', body);
  expect(await decide({ state: 'acknowledged' })).toMatchObject({ state: 'acknowledged', version: 1, by: 'ann' });
  expect(await decide({ state: 'dismissed', reason: ' the nightly backup ' })).toMatchObject({ version: 2, reason: 'the nightly backup' });
  const browser = await inBrowserOf(ann);
  expect(await browser('f1', { state: 'open', reason: 'it was not' })).toMatchObject({ version: 3, by: 'ann' });
  const rows = (await rowsOf('f1')).map(({ actor, data, source_address: source }) => ({
    actor,
    source,
    ...triageData.parse(JSON.parse(data)),
  }));
  expect(rows.sort((a, b) => a.version - b.version)).toMatchObject([
    { actor: 'ann', state: 'acknowledged', version: 1, reason: '' },
    { actor: 'ann', state: 'dismissed', version: 2, reason: 'the nightly backup' },
    { actor: 'ann', source: '192.0.2.1', state: 'open', version: 3 },
  ]);
});

test('of twenty people at once each gets another version', async () => {
  const answers = await Promise.all(
    Array.from(
      { length: 20 },
      () => admin.call('POST', '/v1/findings/f2/triage', { state: 'acknowledged' }) as Promise<{ version: number }>,
    ),
  );
  expect(answers.map(({ version }) => version).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});

test.each<[string, string, object, string]>([
  ['to dismiss without a reason', 'f3', { state: 'dismissed' }, 'BAD_REQUEST'],
  ['to resolve with blanks as reason', 'f3', { state: 'resolved', reason: '  ' }, 'BAD_REQUEST'],
  ['to suppress, which only a suppression does', 'f3', { state: 'suppressed', reason: 'x' }, 'BAD_REQUEST'],
  ['a reason without end', 'f3', { state: 'open', reason: 'x'.repeat(1025) }, 'BAD_REQUEST'],
  ['what is no id', 'a%2Fb', { state: 'acknowledged' }, 'BAD_REQUEST'],
])('%s is refused', async (_, id, body, code) => {
  await expect(ann.call('POST', `/v1/findings/${id}/triage`, body)).rejects.toMatchObject({ code });
});

test('who may only read findings decides nothing, neither signed nor in a browser', async () => {
  await expect(pat.call('POST', '/v1/findings/f4/triage', { state: 'acknowledged' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  const browser = await inBrowserOf(pat);
  await expect(browser('f4', { state: 'acknowledged' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  expect((await rowsOf('f4')).every(({ outcome }) => outcome === 'failure')).toBe(true);
});
