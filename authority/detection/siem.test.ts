/** SIEM destinations at a real authority: who may write them, who gets the secrets, and the announcement of changes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSiemSet } from '#schemas/api/detection/siem.js';
import { MAX_SIEM_DESTINATIONS } from '#schemas/documents/siem.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const folder = temporaryFolder(cleanup);
const secret = (name: string, text: string): void => writeFileSync(join(folder, 'authority', 'secrets', name), text, { mode: 0o600 });
let admin: Administrator;
let reader: Signer;
let analyzer: AuthorityClient;
let ingest: AuthorityClient;
let pem: string;

const url = 'https://collector.example/in';
const put = (name: string, more: object = {}, who: Signer = admin): Promise<unknown> =>
  who.call('PUT', `/v1/siem-destinations/${name}`, { kind: 'siem', name, format: 'ocsf', url, ...more });
const remove = (name: string): Promise<unknown> => admin.call('DELETE', `/v1/siem-destinations/${name}`);
const code = (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'ok',
    (error: unknown) => (error as { code: string }).code,
  );
const set = (client: AuthorityClient = analyzer) => call(client.detection, readSiemSet, {});

beforeAll(async () => {
  const authority = await authorityIn(folder, cleanup);
  mkdirSync(join(folder, 'authority', 'secrets'), { recursive: true });
  admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/detection', {
    kind: 'role',
    name: 'detection',
    allow: { rules: [{ resources: ['rule', 'finding', 'audit'], verbs: ['*'] }] },
  });
  await admin.call('POST', '/v1/users', { name: 'reader', roles: ['detection'] });
  reader = await person(authority, folder, admin, 'reader', ['detection'], cleanup);
  analyzer = await clientOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  ingest = await clientOf(authority, { kind: 'ingest', name: 'i1' }, cleanup);
  const [key, certificate] = [join(folder, 'k.pem'), join(folder, 'c.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      '/CN=x',
      '-keyout',
      key,
      '-out',
      certificate,
    ],
    { stdio: 'ignore' },
  );
  pem = readFileSync(certificate, 'utf8');
  secret('lake-key', readFileSync(key, 'utf8'));
}, 60_000);

test('an administrator writes a destination; an analyzer gets it with its secrets as they are then, and nobody else does', async () => {
  secret('lake-token', 'open-sesame\n');
  await put('lake', { token: { file: 'lake-token' }, certificate: pem, key: { file: 'lake-key' } });
  expect(await set()).toMatchObject([{ document: { name: 'lake', url }, token: 'open-sesame', lacking: null }]);
  expect((await set())[0]!.key).toContain('PRIVATE KEY');
  secret('lake-token', 'another\n');
  expect(await set()).toMatchObject([{ token: 'another' }]);
  expect(await code(set(ingest))).toBe('ACCESS_DENIED');
  expect(await code(admin.call('POST', '/v1/siem-set', {}))).toBe('ACCESS_DENIED');
  const listed = JSON.stringify(await admin.call('GET', '/v1/siem-destinations'));
  expect(listed).toContain('"token":{"file":"lake-token"}');
  expect(listed).not.toMatch(/another|PRIVATE KEY/);
  await remove('lake');
  expect(await set()).toEqual([]);
});

test('a secret that cannot be read keeps its own destination alone from being served', async () => {
  secret('there', 'x');
  await put('a', { token: { file: 'nowhere' } });
  await put('b', { token: { file: 'there' } });
  expect(await set()).toMatchObject([
    { document: { name: 'a' }, token: null, lacking: expect.stringContaining('nowhere') as string },
    { document: { name: 'b' }, token: 'x', lacking: null },
  ]);
  for (const name of ['a', 'b']) await remove(name);
});

test('who may write rules and read findings may neither write destinations nor see them', async () => {
  expect(await code(put('mine', {}, reader))).toBe('ACCESS_DENIED');
  expect(await code(reader.call('GET', '/v1/siem-destinations'))).toBe('ACCESS_DENIED');
});

test.each([
  ['a certificate that is none', { ca: `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n-----END CERTIFICATE-----\n` }],
  ['another name than the path', { name: 'other' }],
  ['an unknown field', { token_file: '/etc/shadow' }],
])('%s is refused', async (_, more) => {
  expect(await code(put('bad', more))).toBe('BAD_REQUEST');
  expect(await set()).toEqual([]);
});

test('there are no more than can be served; one that is there can still be changed', async () => {
  for (let n = 0; n < MAX_SIEM_DESTINATIONS; n += 1) await put(`d${n}`);
  expect(await code(put('one-more'))).toBe('TOO_MANY');
  expect(await code(put('d0', { send: ['audit'] }))).toBe('ok');
  for (let n = 0; n < MAX_SIEM_DESTINATIONS; n += 1) await remove(`d${n}`);
  expect(await code(remove('d0'))).toBe('NOT_FOUND');
});

test('the watch tells of each change, and of none when a document is put as it was', async () => {
  const seen: (string | undefined)[] = [];
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      const before = analyzer.current().siem_set;
      const stop = analyzer.onChange(() => {
        if (analyzer.current().siem_set === before) return;
        stop();
        seen.push(analyzer.current().siem_set);
        resolve();
      });
    });
  const empty = analyzer.current().siem_set;
  for (const act of [
    () => put('lake'),
    () => put('lake', { send: ['audit'] }),
    () => put('lake', { send: ['audit'] }).then(() => remove('lake')),
  ]) {
    const next = changed();
    await act();
    await next;
  }
  expect(seen).toHaveLength(3);
  expect(new Set(seen).size).toBe(3);
  expect(seen[2]).toBe(empty);
});

test('the audit names the destination and its secrets, and holds no certificate in full', async () => {
  await put('audited', { token: { file: 'lake-token' }, ca: pem });
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
  await state.destroy();
  const row = rows.find(({ event, target }) => event === 'siem.put' && target === 'audited')!;
  expect(JSON.parse(row.data)).toMatchObject({
    destination: { url, token: { file: 'lake-token' }, ca: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
  });
});
