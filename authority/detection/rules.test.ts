import { Agent } from 'node:https';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RuleDetail, RuleInfo } from '#schemas/api/detection/rules.js';
import { KEPT_VERSIONS } from '#schemas/documents/detection-rule.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let admin: Administrator;
let writer: Signer;
let editor: Signer;
let analyzer: Awaited<ReturnType<typeof clientOf>>;
let asAnalyzer: (method: 'POST' | 'PUT', target: string, body: object) => Promise<unknown>;

const rule = (id: string, text: string, more: object = {}) => ({ id, kind: 'rule', title: `Rule ${id}`, level: 'high', text, ...more });
const put = (who: Signer, ...rules: readonly object[]): Promise<unknown> => who.call('POST', '/v1/rules', { rules });
const shown = async (id: string): Promise<RuleDetail> => (await admin.call('GET', `/v1/rules/${encodeURIComponent(id)}`)) as RuleDetail;
const listed = async (): Promise<readonly RuleInfo[]> => (await admin.call('GET', '/v1/rules')) as RuleInfo[];

async function inForce(): Promise<ReadonlyMap<string, string>> {
  const all = new Map<string, string>();
  for (let after: string | null = ''; after !== null;) {
    const page = (await asAnalyzer('POST', '/v1/rule-set', { after })) as {
      rules: { id: string; version: number; text: string }[];
      next: string | null;
    };
    for (const { id, version, text } of page.rules) all.set(id, `${version} ${text.slice(0, 30)}`);
    after = page.next;
  }
  return all;
}

beforeAll(async () => {
  const folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  admin = await administrator(authority, cleanup);
  const role = (name: string, verbs: readonly string[]) =>
    admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, allow: { rules: [{ resources: ['rule'], verbs }] } });
  await role('writer', ['create', 'list']);
  await role('editor', ['update']);
  for (const name of ['writer', 'editor']) await admin.call('POST', '/v1/users', { name, roles: [name] });
  writer = await person(authority, folder, admin, 'writer', ['writer'], cleanup);
  editor = await person(authority, folder, admin, 'editor', ['editor'], cleanup);
  analyzer = await clientOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  const agent = new Agent(analyzer.identity.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  asAnalyzer = (method, target, body) => callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method, target, body });
});

test('each change is a version whose text is kept with where it came from; the same text again is none', async () => {
  const origin = { file: 'linux/a.yml', commit: 'a'.repeat(40) };
  expect(await put(admin, rule('v', 'one', { origin }))).toEqual([{ id: 'v', version: 1, change: 'added' }]);
  expect(await put(admin, rule('v', 'two'))).toEqual([{ id: 'v', version: 2, change: 'changed' }]);
  expect(await put(admin, rule('v', 'two', { title: 'Other' }))).toEqual([{ id: 'v', version: 2, change: 'unchanged' }]);
  const { text, version, versions } = await shown('v');
  expect({ text, version }).toEqual({ text: 'two', version: 2 });
  expect(versions).toMatchObject([
    { version: 2, text: 'two', origin: { file: '', commit: '' } },
    { version: 1, text: 'one', origin },
  ]);
  await admin.call('DELETE', '/v1/rules/v');
  await expect(shown('v')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  // A finding of version 1 is of that text, for good.
  expect(await put(admin, rule('v', 'three'))).toEqual([{ id: 'v', version: 3, change: 'added' }]);
  await admin.call('DELETE', '/v1/rules/v');
});

test('analyzers hear of each change by the watch, and read what is in force then', async () => {
  const heard = (): number => analyzer.current().rule_set ?? 0;
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => void analyzer.onChange(() => resolve()));
  };
  const steps: readonly (readonly [act: () => Promise<unknown>, after: readonly string[]])[] = [
    [() => put(admin, rule('w/1', 'x'), rule('w/2', 'y')), ['w/1', 'w/2']],
    [() => admin.call('PUT', '/v1/rules/w%2F1/enabled', { enabled: false }), ['w/2']],
    [() => put(admin, rule('w/1', 'x2')), ['w/2']],
    [() => admin.call('PUT', '/v1/rules/w%2F1/enabled', { enabled: true }), ['w/1', 'w/2']],
    [() => admin.call('DELETE', '/v1/rules/w%2F2'), ['w/1']],
    [() => admin.call('DELETE', '/v1/rules/w%2F1'), []],
  ];
  for (const [act, after] of steps) {
    const before = heard();
    await act();
    await until(() => heard() > before);
    expect([...(await inForce()).keys()]).toEqual(after);
  }
});

test('whatever is put, disabled and removed in whatever order: in force is what was put last and is enabled', async () => {
  const id = fc.constantFrom('p1', 'p2', 'p3');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), id, text: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ kind: fc.constant('enabled' as const), id, enabled: fc.boolean() }),
    fc.record({ kind: fc.constant('remove' as const), id }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      const model = new Map<string, { text: string; enabled: boolean }>();
      for (const one of steps) {
        const known = model.get(one.id);
        if (one.kind === 'put') {
          await put(admin, rule(one.id, one.text));
          model.set(one.id, { text: one.text, enabled: known?.enabled ?? true });
        } else if (one.kind === 'enabled') {
          const act = admin.call('PUT', `/v1/rules/${one.id}/enabled`, { enabled: one.enabled });
          if (known === undefined) await expect(act).rejects.toMatchObject({ code: 'NOT_FOUND' });
          else model.set(one.id, { ...known, enabled: (await act, one.enabled) });
        } else if (model.delete(one.id)) await admin.call('DELETE', `/v1/rules/${one.id}`);
        else await expect(admin.call('DELETE', `/v1/rules/${one.id}`)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      }
      const texts = [...(await inForce())].map(([name, found]) => [name, found.split(' ')[1]]);
      const expected = [...model].filter(([, { enabled }]) => enabled).map(([name, { text }]) => [name, text]);
      expect(texts).toEqual(expected.sort(([a], [b]) => (a! < b! ? -1 : 1)));
      for (const name of model.keys()) await admin.call('DELETE', `/v1/rules/${name}`);
    }),
    { numRuns: 12 },
  );
}, 120_000);

test('a set larger than an answer comes in pages, whole', async () => {
  const ids = Array.from({ length: 30 }, (_, i) => `big-${String(i).padStart(2, '0')}`);
  for (let i = 0; i < ids.length; i += 3)
    await put(admin, ...ids.slice(i, i + 3).map((id) => rule(id, `${id} `.repeat(8_000).slice(0, 60_000))));
  expect([...(await inForce()).keys()]).toEqual(ids);
  for (const id of ids) await admin.call('DELETE', `/v1/rules/${id}`);
}, 60_000);

test('what an analyzer makes of a rule is told with it; of versions, the last fifty are kept', async () => {
  await put(admin, rule('s', '0'));
  const report = { id: 's', version: 1, state: 'refused', detail: 'line 1: no detection', hits: 0 };
  await asAnalyzer('PUT', '/v1/rule-states', { rules: [report, { ...report, id: 'gone' }] });
  expect((await listed()).find(({ id }) => id === 's')?.analyzed).toMatchObject({
    version: 1,
    state: 'refused',
    detail: 'line 1: no detection',
  });
  await asAnalyzer('PUT', '/v1/rule-states', { rules: [{ ...report, hits: 3 }] });
  expect(await shown('s')).toMatchObject({ analyzed: { hits: 3 } });
  for (let i = 1; i <= KEPT_VERSIONS; i += 1) await put(admin, rule('s', String(i)));
  const { versions } = await shown('s');
  expect(versions.map(({ text }) => text)).toEqual(Array.from({ length: KEPT_VERSIONS }, (_, i) => String(KEPT_VERSIONS - i)));
  await admin.call('DELETE', '/v1/rules/s');
}, 60_000);

describe('who may', () => {
  test('create rules changes none, and who may change them creates none; then nothing of the call is done', async () => {
    expect(await put(writer, rule('m', 'one'))).toMatchObject([{ change: 'added' }]);
    await expect(put(writer, rule('m2', 'x'), rule('m', 'two'))).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(put(editor, rule('m', 'two'), rule('m3', 'x'))).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect((await listed()).map(({ id, version }) => [id, version])).toEqual([['m', 1]]);
    expect(await put(editor, rule('m', 'two'))).toMatchObject([{ change: 'changed' }]);
    await expect(editor.call('DELETE', '/v1/rules/m')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(editor.call('GET', '/v1/rules')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await admin.call('DELETE', '/v1/rules/m');
  });

  test('read the set in force, and report on it, is analyzers', async () => {
    for (const target of ['/v1/rule-set', '/v1/finding-announcements'])
      await expect(admin.call('POST', target, { after: '' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });
});

test.each<[string, object]>([
  ['an id with blanks', rule('a b', 'x')],
  ['a text without end', rule('a', 'x'.repeat(65_537))],
  ['an empty text', rule('a', '')],
  ['a commit that is none', rule('a', 'x', { origin: { commit: '$(id)' } })],
  ['another kind', rule('a', 'x', { kind: 'script' })],
])('%s is refused', async (_, document) => {
  await expect(put(admin, document)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});
