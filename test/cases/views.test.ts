/** "Who viewed what": only for users who may read the audit log, and only about sessions that they may list. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SessionViews } from '#schemas/api/recordings/audit.js';
import { exampleAuditRow } from '#stores/events/examples.js';
import { Cleanup } from '../../authority/testing/authority.js';
import { record } from '../../viewer/api/testing/recorded.js';
import { openScene } from './scene.js';
import type { Scene } from './scene.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let scene: Scene;
let dev: string;
let prod: string;
const views = async (role: string, query = ''): Promise<{ status: number; body: { rows: readonly SessionViews[]; truncated: boolean } }> =>
  scene.call(await scene.enrol(`user-${role}-${++made}`, role), 'GET', `/api/views${query}`);
let made = 0;

beforeAll(async () => {
  scene = await openScene(cleanup);
  await scene.role('auditor', { view: 'all' });
  const audit = { resources: ['audit'], verbs: ['read'] };
  await scene.role('narrow', { view: 'none', allow: { rules: [audit], sessions: [{ actions: ['list'], where: "labels.env == 'dev'" }] } });
  await scene.role('blind', { view: 'none', allow: { rules: [audit] } });
  await scene.role('curious', { view: 'none', allow: { sessions: [{ actions: ['list', 'view'] }] } });
  const of = async (env: string): Promise<string> =>
    (await record(scene.stores, { user: 'someone', state: 'sealed', labels: { env }, lines: [[1, { code: 'o', data: 'x' }]] })).id;
  [dev, prod] = [await of('dev'), await of('prod')];
  const at = Date.UTC(2026, 4, 3, 9);
  const row = (n: number, session: string, more: object) =>
    exampleAuditRow({ id: `v${n}`, at: at + n, event: 'recording.view', actor: 'vera', session, node: 'web-1', login: 'www', ...more });
  await scene.stores.events.insert(
    'audit',
    [
      row(1, dev, {}),
      row(2, dev, { event: 'recording.export' }),
      row(3, prod, { outcome: 'failure', code: 'ACCESS_DENIED' }),
      row(4, prod, { actor: 'otto' }),
    ],
    'views',
  );
}, 60_000);

const pairs = (rows: readonly SessionViews[]) =>
  rows.map(({ viewer, session, times, exports, refusals }) => [viewer, session, times, exports, refusals]);

test('an auditor sees each viewer of each session, newest first, and can filter by session or viewer', async () => {
  const { body } = await views('auditor');
  expect(pairs(body.rows)).toEqual([
    ['otto', prod, 1, 0, 0],
    ['vera', prod, 1, 0, 1],
    ['vera', dev, 2, 1, 0],
  ]);
  expect(body.rows[2]).toMatchObject({ node: 'web-1', login: 'www', first_at: Date.UTC(2026, 4, 3, 9) + 1 });
  expect(pairs((await views('auditor', `?session=${dev}`)).body.rows)).toEqual([['vera', dev, 2, 1, 0]]);
  expect(pairs((await views('auditor', '?viewer=otto')).body.rows)).toEqual([['otto', prod, 1, 0, 0]]);
  expect((await views('auditor', '?limit=1')).body).toMatchObject({ rows: [{ viewer: 'otto' }], truncated: true });
});

test('a user sees the views of sessions that they may list, and of no others', async () => {
  expect(pairs((await views('narrow')).body.rows)).toEqual([['vera', dev, 2, 1, 0]]);
  expect((await views('narrow', `?session=${prod}`)).body.rows).toEqual([]);
  expect((await views('blind')).body).toEqual({ rows: [], truncated: false });
});

test('a user who may view every session but not read the audit log is refused', async () => {
  expect((await views('curious')).status).toBe(403);
});
