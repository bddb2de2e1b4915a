import { Agent } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import type { CatalogueReport, showCatalogue } from '#schemas/api/detection/rule-catalogue.js';
import { responsePolicy } from '#schemas/documents/response-policy.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let admin: Administrator;
let reader: Signer;
let stranger: Signer;
let report: (rules: readonly CatalogueReport[], begins?: boolean, by?: 'a1' | 'a2') => Promise<unknown>;

const rule = (id: string, more: Partial<CatalogueReport> = {}): CatalogueReport => ({
  id, version: 1, title: `Rule ${id}`, severity: 'high', tier: 'alert', techniques: ['T1003.008'], detector: 'sigma', origin: 'file', hits: 0, observations: 100, cost_ms: 1.5, cost_shared_by: 1, ...more,
}); // prettier-ignore
const shown = async (who: Signer = admin): Promise<z.output<typeof showCatalogue.answer>> =>
  (await who.call('GET', '/v1/rule-catalogue')) as z.output<typeof showCatalogue.answer>;
const ids = async (): Promise<readonly string[]> => (await shown()).rules.map(({ id }) => id);

beforeAll(async () => {
  const folder = temporaryFolder(cleanup);
  const responses = responsePolicy.parse({
    dry_run: true,
    responses: [
      { severities: ['critical'], roles: ['contractor'], action: 'end', without_confirmation: true },
      { severities: ['critical'], tiers: ['alert'], action: 'lock_user' },
    ],
  });
  const authority = await authorityIn(folder, cleanup, { responses });
  admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/reader', {
    kind: 'role',
    name: 'reader',
    allow: { rules: [{ resources: ['rule'], verbs: ['list'] }] },
  });
  await admin.call('PUT', '/v1/roles/nothing', { kind: 'role', name: 'nothing' });
  for (const name of ['reader', 'nothing']) await admin.call('POST', '/v1/users', { name, roles: [name] });
  reader = await person(authority, folder, admin, 'reader', ['reader'], cleanup);
  stranger = await person(authority, folder, admin, 'nothing', ['nothing'], cleanup);
  const agents = new Map<string, Agent>();
  for (const name of ['a1', 'a2']) {
    const analyzer = await clientOf(authority, { kind: 'analyzer', name }, cleanup);
    const agent = new Agent(analyzer.identity.tlsClientOptions(['authority']));
    cleanup.add(() => agent.destroy());
    agents.set(name, agent);
  }
  report = (rules, begins = false, by = 'a1') =>
    callAuthority(
      { kind: 'tls', url: authority.addresses.tls, agent: agents.get(by)! },
      { method: 'PUT', target: '/v1/rule-catalogue', body: { begins, rules } },
    );
});

test('a report is listed with what the policy would do; who may list rules sees it, and nobody else', async () => {
  await report([rule('a', { severity: 'critical', hits: 3 }), rule('steno/b', { tier: 'signal', severity: 'critical' }), rule('c')], true);
  const { dry_run: isDryRun, rules } = await shown(reader);
  expect(isDryRun).toBe(true);
  const contractor = { action: 'end', roles: ['contractor'] };
  expect(rules).toMatchObject([
    { id: 'a', hits: 3, cost_ms: 1.5, responses: [contractor, { action: 'freeze', roles: null }] },
    { id: 'c', responses: [] },
    { id: 'steno/b', responses: [contractor] },
  ]);
  await expect(shown(stranger)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(reader.call('PUT', '/v1/rule-catalogue', { begins: true, rules: [] })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});

test('a later report changes what it names; one that begins replaces everything', async () => {
  await report([rule('a'), rule('b')], true);
  await report([rule('b', { hits: 7 }), rule('c')]);
  expect((await shown()).rules.map(({ id, hits }) => [id, hits])).toEqual([
    ['a', 0],
    ['b', 7],
    ['c', 0],
  ]);
  await report([rule('d')], true);
  expect(await ids()).toEqual(['d']);
});

test('what several analyzers counted is added up, and each begins anew for itself only', async () => {
  const figures = async () => (await shown()).rules.map(({ id, hits, observations, cost_ms }) => [id, hits, observations, cost_ms]);
  await report([rule('a', { hits: 3 }), rule('b', { hits: 1 })], true);
  await report([rule('a', { hits: 4, observations: 50, cost_ms: 0.25 }), rule('c')], true, 'a2');
  expect(await figures()).toEqual([
    ['a', 7, 150, 1.75],
    ['b', 1, 100, 1.5],
    ['c', 0, 100, 1.5],
  ]);
  await report([rule('a', { hits: 1 })], true);
  expect(await figures()).toEqual([
    ['a', 5, 150, 1.75],
    ['c', 0, 100, 1.5],
  ]);
  await report([], true, 'a2');
  expect(await figures()).toEqual([['a', 1, 100, 1.5]]);
});

test('it stands beside reports on rules of the same id that the authority keeps', async () => {
  await admin.call('POST', '/v1/rules', { rules: [{ id: 'k', kind: 'rule', title: 'K', level: 'low', text: 'title: K' }] });
  await report([rule('k', { origin: 'kept', hits: 2 })], true);
  expect(await admin.call('GET', '/v1/rules')).toMatchObject([{ id: 'k', analyzed: null }]);
  expect(await ids()).toEqual(['k']);
  await admin.call('DELETE', '/v1/rules/k');
  expect(await ids()).toEqual(['k']);
});

test('what is no rule is refused', async () => {
  for (const bad of [{ techniques: ['x'] }, { hits: -1 }, { cost_shared_by: 0 }, { title: '' }, { detector: 'x'.repeat(65) }])
    await expect(report([rule('a', bad)])).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(report(Array.from({ length: 101 }, (_, i) => rule(`r${i}`)))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});
