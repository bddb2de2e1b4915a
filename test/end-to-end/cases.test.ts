/** `steno note` and `steno cases` on a real Steno: from a real session to a case that its closer cannot sign. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CaseHead, CaseItem } from '#schemas/api/cases/cases.js';
import type { SavedSearch } from '#schemas/api/cases/saved-searches.js';
import type { Note } from '#schemas/api/cases/notes.js';
import type { CaseView } from '#schemas/api/cases/workbench.js';
import type { FoundSpans } from '#schemas/api/recordings/find.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';

const steno = new Steno();
let session: string;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  expect((await steno.ssh(`${steno.login}@local.steno`, 'echo something')).status).toBe(0);
  const [first] = await eventually(
    () => viewerOf(steno).sessions(),
    (rows) => rows.length > 0,
  );
  session = first!.id;
}, 120_000);
afterAll(() => steno.dispose());

test('notes are attached to moments, listed in time order, and cannot control the reader’s terminal', async () => {
  const written = await steno.json<Note>('note', session, '--at', '1:02', 'clears \u001b[2J the screen');
  expect(written).toMatchObject({ session, offset: 62_000 });
  await steno.json<Note>('note', session, '--at', '5');
  expect((await steno.json<Note[]>('notes', session)).map(({ offset }) => offset)).toEqual([5_000, 62_000]);
  const { stdout } = await steno.steno('notes', session);
  expect(stdout).toContain('\\u{1b}[2J');
  expect(stdout).not.toContain('\u001b');
  expect((await steno.steno('note', session)).status).toBe(64);
  expect((await steno.steno('note', '01jdv3k5m8q2w7x9y4z6a0b1c2', 'x')).stderr).toContain('SESSION_UNKNOWN');
  expect((await steno.steno('note', session, '--rm', written.id)).status).toBe(0);
  expect(await steno.json<Note[]>('notes', session)).toHaveLength(1);
});

test('a case is opened, filled, shown and closed; the person who asks to close it cannot sign', async () => {
  const { id } = await steno.json<CaseHead>('cases', 'new', 'What happened');
  await steno.json('cases', 'add', id, 'session', session);
  const [moment] = await steno.json<CaseItem[]>('cases', 'add', id, 'moment', session, '--at', '0:01', '--note', 'here');
  await steno.json('cases', 'add', id.slice(0, 6), 'search', 'kind:exec');
  expect((await steno.steno('cases', 'add', id, 'moment', session)).status).toBe(64);
  const view = await steno.json<CaseView>('cases', 'show', id);
  expect(view.timeline.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['started', 'moment', 'search', 'note', 'history']));
  expect((await steno.steno('cases', 'show', id)).stdout).toContain(moment!.id);
  expect((await steno.steno('cases', 'rm', id, moment!.id)).status).toBe(0);
  await steno.json('cases', 'assign', id, steno.login);
  expect(await steno.json('cases', 'close', id, '--reason', 'a drill')).toMatchObject({ state: 'closing', assignee: steno.login });
  const signed = await steno.steno('cases', 'sign', id);
  expect([signed.status, signed.stderr]).toEqual([77, expect.stringContaining('CASE_SELF_SIGN')]);
  expect((await steno.json<CaseHead[]>('cases', 'ls', '--state', 'closing')).map((head) => head.id)).toEqual([id]);
});

test('a search is saved, listed, run by name and deleted', async () => {
  const saved = await steno.json<SavedSearch>(
    'search',
    '--save',
    'shadow reads',
    '--every',
    '15m',
    '--share',
    'path:/etc/shadow',
    'user:nobody',
  );
  expect(saved).toMatchObject({ name: 'shadow reads', query: 'path:/etc/shadow user:nobody', shared: true, every_ms: 900_000 });
  expect(await steno.json<SavedSearch[]>('searches', 'ls')).toEqual([saved]);
  const { stdout } = await steno.steno('searches', 'ls');
  expect(stdout).toMatch(/shadow reads\s+\S+, shared\s+search\s+15m\s+not yet/);
  expect((await steno.steno('searches', 'run', 'shadow reads')).status).toBe(1);
  expect((await steno.steno('search', '--every', '15m', 'x')).stderr).toContain('[USAGE]');
  expect((await steno.steno('searches', 'run', 'nothing')).stderr).toContain('[NOT_FOUND]');
  expect((await steno.steno('searches', 'rm', saved.id)).status).toBe(0);
  expect(await steno.json<SavedSearch[]>('searches', 'ls')).toEqual([]);
});

test('the sessions of a search are listed with start and end, and found by a time span in which they ran', async () => {
  const { started_at: began } = (await viewerOf(steno).sessions()).find(({ id }) => id === session)!;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const during = (from: number, to: number): string => `during:${iso(from)}..${iso(to)}`;
  const spans = await steno.json<FoundSpans['sessions']>('search', '--sessions', 'kind:command', during(began - 60_000, began + 60_000));
  expect(spans).toMatchObject([{ session: { id: session, started_at: began }, count: 1 }]);
  const { stdout } = await steno.steno('search', '--sessions', 'kind:command', during(began - 60_000, began + 60_000));
  expect(stdout).toMatch(new RegExp(`^${session} +20\\d\\d-\\S+ \\S+ +20\\d\\d-\\S+ \\S+ +${steno.login} .* 1\n$`));
  const before = await steno.steno('search', '--sessions', 'kind:command', during(began - 7_200_000, began - 3_600_000));
  expect([before.status, before.stderr]).toEqual([1, expect.stringContaining('Nothing matches')]);
  expect((await steno.steno('search', '--sessions', '--count', 'kind:command')).status).toBe(64);
});

test('the response report says so if there are no findings', async () => {
  const none = await steno.steno('findings', 'response', '--since', '1h');
  expect([none.status, none.stderr]).toEqual([1, 'No findings in this time.\n']);
  expect(JSON.parse((await steno.steno('findings', 'response', '--json')).stdout)).toMatchObject({ months: [], trend: { look: null } });
});
