/** Data for the panes, over HTTP and real stores: lines in pages, the timeline, events from a given moment on. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import type { SessionTimeline, TranscriptPage } from '#schemas/api/recordings/replay.js';
import type { CommandList } from '#schemas/api/recordings/commands.js';
import type { FoundHits } from '#schemas/api/recordings/find.js';
import type { KernelEventList, SessionFact } from '#schemas/api/recordings/sessions.js';
import { replayed } from '../testing/replayed.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let session: Recorded;
const LINES = 1_000;

beforeAll(async () => {
  stand = await openStand();
  const lines = Array.from({ length: LINES }, (_, i): readonly [number, LineBody] => [
    // The second half comes at one moment, like a listing.
    i < LINES / 2 ? i * 100 : 600_000,
    { code: 'o', data: `line ${i}\r\n` },
  ]);
  session = await replayed(
    stand,
    { user: 'alice', state: 'sealed', lines },
    Array.from({ length: 300 }, (_, i) => ({ kind: 'exec', offset_ms: i * 1_000, path: '/bin/true', data: { pid: i } })),
  );
}, 60_000);
afterAll(() => stand?.close());

async function ask<T>(path: string, view = 'all'): Promise<{ readonly status: number; readonly body: T }> {
  const answer = await fetch(`${stand.url}/api/sessions/${session.id}${path}`, { headers: { cookie: stand.signIn('alice', view) } });
  return { status: answer.status, body: (await answer.json()) as T };
}
const lines = async (query: string): Promise<TranscriptPage> => (await ask<TranscriptPage>(`/lines?${query}`)).body;
const numbers = ({ lines: found }: TranscriptPage): number[] => found.map(({ text }) => Number(text.slice(5)));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test('lines come in pages, each once, forward and back, whatever moment they share', async () => {
  const forward: number[] = [];
  for (let query = 'limit=170'; ;) {
    const page = await lines(query);
    forward.push(...numbers(page));
    if (!page.more) break;
    query = `limit=170&after=${page.lines.at(-1)!.place}`;
  }
  expect(forward).toEqual(range(0, LINES));
  const back: number[] = [];
  for (let query = `limit=170&at=999999`; ;) {
    const page = await lines(query);
    back.unshift(...numbers(page));
    if (!page.earlier) break;
    query = `limit=170&before=${page.lines[0]!.place}`;
  }
  expect(back).toEqual(range(0, LINES));
});

test('around a moment stand the lines before it and those that follow', async () => {
  const page = await lines('at=20050&limit=100');
  expect(numbers(page)).toEqual(range(150, 250));
  expect([page.earlier, page.more]).toEqual([true, true]);
  expect(numbers(await lines('at=0&limit=3'))).toEqual([0, 1, 2]);
});

test('the timeline counts by parts of equal length, and tells the long pause', async () => {
  const { width, lanes, idle } = (await ask<SessionTimeline>('/timeline?parts=100')).body;
  expect(width).toBe(6_000);
  expect(lanes.map(({ lane }) => lane)).toEqual(['output', 'program']);
  // Includes the shell, which the recording reports.
  expect(lanes[1]!.parts.reduce((sum, { amount }) => sum + amount, 0)).toBe(301);
  expect(lanes[1]!.parts[1]).toEqual({ part: 1, first: 6_000, amount: 6 });
  expect(idle).toEqual([{ from: 49_900, to: 600_000 }]);
});

test('events are listed from a moment on', async () => {
  const { events } = (await ask<KernelEventList>('/events?from=250000&limit=3')).body;
  expect(events.map(({ offset }) => offset)).toEqual([250_000, 251_000, 252_000]);
});

test.each(['/lines?after=1', '/lines?after=1.1&before=1.1', '/lines?at=x', '/lines?limit=0', '/timeline?parts=0', '/events?from=-1'])(
  '%s is refused',
  async (path) => expect((await ask(path)).status).toBe(400),
);

test.each(['/lines', '/timeline'])('who may not view the session is told nothing by %s', async (path) => {
  expect((await ask(path, 'none')).status).toBe(403);
});

test('commands that a shell marked come with its exit codes, and fill no list of facts', async () => {
  const osc = (mark: string): string => `\u001b]133;${mark}\u0007`;
  const commands = Array.from({ length: 700 }, (_, i) => [`run ${i}`, String(i % 3)] as const);
  const lines = commands.map(([text, exit], i): readonly [number, LineBody] => [
    i * 2_000,
    { code: 'o', data: `${osc('A')}❯ ${osc('B')}${text}\r\n${osc('C')}done ${i}\r\n${osc(`D;${exit}`)}` },
  ]);
  const { id } = await replayed(stand, { user: 'alice', state: 'sealed', lines: [...lines, [1_500_000, { code: 'x', data: '0' }]] });
  const get = async <T>(path: string): Promise<T> =>
    (await (await fetch(`${stand.url}/api/sessions/${id}${path}`, { headers: { cookie: stand.signIn('alice', 'own') } })).json()) as T;
  const list = await get<CommandList>('/commands');
  expect(list).toMatchObject({ watched: false, until: null });
  expect(list.commands.map(({ text, exit, known }) => [text, exit, known])).toEqual(commands.map(([text, exit]) => [text, exit, 'marks']));
  expect((await get<readonly SessionFact[]>('/facts')).map(({ kind }) => kind)).toEqual(['exec', 'exit']);
  const found = await fetch(`${stand.url}/api/find/hits?q=${encodeURIComponent(`kind:shell "run 142" session:${id}`)}`, {
    headers: { cookie: stand.signIn('alice', 'own') },
  });
  expect(((await found.json()) as FoundHits).hits).toMatchObject([{ kind: 'shell', text: 'run 142', time: 284_000 }]);
});
