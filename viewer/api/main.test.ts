import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { ApiError } from '#schemas/endpoint/endpoint.js';
import type { SearchResult } from '#schemas/api/recordings/search.js';
import type { SegmentIndex, SessionFact, SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import type { StatusReport } from '#schemas/api/recordings/status.js';
import { decodeOpening, openingPath } from '#schemas/api/recordings/opening.js';
import type { KernelEventList } from '#schemas/api/recordings/sessions.js';
import { noFacts } from '#schemas/events/rows.js';
import { sessionId } from '#schemas/recording/line.js';
import { openZstd } from '#runtime/zstd.js';
import { record } from './testing/recorded.js';
import type { Recorded } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

const largeFile = 'export {};\n'.repeat(500);

let stand: Stand;
let mine: Recorded;
let theirs: Recorded;
let all: string;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Sends the path unmodified: `fetch` would normalize it, and would not let a test choose Host. */
function call(path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Answer> {
  const { hostname, port } = new URL(stand.url);
  return new Promise((resolve, reject) => {
    const sent = request({ host: hostname, port, path, method: options.method ?? 'GET', headers: options.headers ?? {} }, (response) => {
      let text = '';
      response
        .setEncoding('utf8')
        .on('data', (chunk: string) => (text += chunk))
        .on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    sent.on('error', reject).end(options.body);
  });
}

async function get<T>(path: string, cookie: string): Promise<T> {
  const answer = await call(path, { headers: { cookie } });
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(answer.text) as T;
}

const codeOf = ({ text }: Answer): string => (JSON.parse(text) as ApiError).error.code;

beforeAll(async () => {
  const webRoot = await mkdtemp(join(tmpdir(), 'steno-page-'));
  await mkdir(join(webRoot, 'assets'));
  await writeFile(join(webRoot, 'index.html'), '<!doctype html><title>Steno</title>');
  await writeFile(join(webRoot, 'assets', 'app-1.js'), 'export {};');
  await writeFile(join(webRoot, 'assets', 'app-2.js'), largeFile);
  stand = await openStand(webRoot);
  all = stand.signIn('root', 'all');
  mine = await record(stand, {
    user: 'alice',
    startedAt: Date.UTC(2026, 4, 3, 9),
    blocksPerPart: 1,
    state: 'sealed',
    lines: [
      [0, { code: 'o', data: 'one\r\n' }],
      [1500, { code: 'o', data: 'two\r\n' }],
      [3000, { code: 'o', data: 'three\r\n' }],
    ],
    screen: ['one', 'two', 'three sudo', 'four', 'five'].map((text, row) => ({ text, row, offset_ms: row * 1000 })),
    events: [
      {
        kind: 'sftp',
        path: '/etc/\u202epasswd',
        size: 12,
        sha256: 'a'.repeat(64),
        offset_ms: 700,
        outcome: 'success',
        data: '{"operation":"read","protocol":"sftp"}',
      },
      { kind: 'gap', reason: 'body_limit', offset_ms: 900 },
    ],
  });
  theirs = await record(stand, {
    labels: null,
    user: 'bob',
    node: 'db-1',
    startedAt: Date.UTC(2026, 4, 3, 8),
    state: 'parts',
    blocksPerPart: 1,
    lines: [
      [0, { code: 'o', data: 'hello\r\n' }],
      [2000, { code: 'o', data: 'bye\r\n' }],
    ],
    screen: [{ text: 'sudo hello', offset_ms: 5 }],
  });
  await stand.events.insert(
    'audit',
    [
      {
        id: 'a1',
        at: Date.UTC(2026, 4, 3),
        event: 'auth.refused',
        actor: 'eve',
        target: 'web-3',
        outcome: 'failure',
        code: 'CERT_EXPIRED',
        reason: 'expired',
        source_address: '192.0.2.9',
        session: '',
        node: 'web-3',
        login: 'root',
        data: '{}',
      },
    ],
    'a1',
  );
});

afterAll(() => stand.close());

const perSession = (id: string): readonly string[] =>
  ['', '/segments', '/segments/0', '/facts', '/export?format=cast'].map((rest) => `/api/sessions/${id}${rest}`);

describe('rules on sessions', () => {
  type Statuses = readonly [info: number, segments: number, segment: number, facts: number, exported: number];
  const rule = (actions: readonly string[], more: object = {}) => ({ allow: { sessions: [{ actions, ...more }] } });
  const dev = "labels.env == 'dev'";
  const table: readonly (readonly [
    claim: string,
    role: object,
    mine: Statuses,
    theirs: Statuses,
    listed: readonly string[] | null,
    found: readonly string[] | null,
  ])[] = [
    ['list only', rule(['list']), [200, 403, 403, 403, 403], [200, 403, 403, 403, 403], ['alice', 'bob'], null],
    [
      'list all, view own',
      { allow: { sessions: [{ actions: ['list'] }, { actions: ['view'], of: 'own' }] } },
      [200, 200, 200, 200, 403],
      [200, 403, 403, 403, 403],
      ['alice', 'bob'],
      ['alice'],
    ],
    [
      'by a label of the node',
      rule(['list', 'view'], { where: dev }),
      [200, 200, 200, 200, 403],
      [404, 404, 404, 404, 404],
      ['alice'],
      ['alice'],
    ],
    [
      'by the login of the session',
      rule(['*'], { where: "session.user != 'alice'" }),
      [404, 404, 404, 404, 404],
      [200, 200, 200, 200, 200],
      ['bob'],
      ['bob'],
    ],
    [
      'without exports',
      { view: 'all', deny: { sessions: [{ actions: ['export'] }] } },
      [200, 200, 200, 200, 403],
      [200, 200, 200, 200, 403],
      ['alice', 'bob'],
      ['alice', 'bob'],
    ],
    [
      'without some nodes',
      { view: 'all', deny: { sessions: [{ actions: ['*'], where: dev }] } },
      [404, 404, 404, 404, 404],
      [404, 404, 404, 404, 404],
      [],
      [],
    ],
    [
      'view without list, for who knows the id',
      rule(['view']),
      [403, 200, 200, 200, 403],
      [403, 200, 200, 200, 403],
      null,
      ['alice', 'bob'],
    ],
  ];
  test.each(table)('%s', async (claim, role, ofMine, ofTheirs, listed, found) => {
    const word = claim.replace(/[^a-z]/g, '');
    stand.role(word, role);
    const headers = { cookie: stand.signIn('alice', word) };
    for (const [id, statuses] of [
      [mine.id, ofMine],
      [theirs.id, ofTheirs],
    ] as const) {
      for (const [i, path] of perSession(id).entries()) expect((await call(path, { headers })).status, path).toBe(statuses[i]);
      // The opening requires both rights: to list the session and to view it.
      const [info, segments] = statuses;
      expect((await call(openingPath(id, null), { headers })).status).toBe(segments === 200 ? info : segments);
    }
    const list = await call('/api/sessions', { headers });
    expect(list.status === 200 ? (JSON.parse(list.text) as SessionList).sessions.map(({ user }) => user) : null).toEqual(listed);
    const hits = await call('/api/search?q=sudo', { headers });
    expect(hits.status === 200 ? [...new Set((JSON.parse(hits.text) as SearchResult).hits.map(({ user }) => user))].sort() : null).toEqual(
      found,
    );
  });

  test('following live takes a right of its own, and ends when that is taken away', async () => {
    stand.role('watcher', rule(['list', 'view']));
    const refused = new WebSocket(`${stand.url.replace('http', 'ws')}/api/sessions/${theirs.id}/live`, {
      headers: { cookie: stand.signIn('alice', 'watcher'), origin: stand.url },
    });
    expect(
      await new Promise((resolve) =>
        refused.on('error', () => undefined).on('unexpected-response', (_request, response) => resolve(response.statusCode)),
      ),
    ).toBe(403);
    stand.role('follower', rule(['list', 'follow']));
    const socket = new WebSocket(`${stand.url.replace('http', 'ws')}/api/sessions/${theirs.id}/live`, {
      headers: { cookie: stand.signIn('alice', 'follower'), origin: stand.url },
    });
    const closed = new Promise<number>((resolve) => socket.on('close', resolve));
    await new Promise((resolve) => socket.on('open', resolve));
    // The right is withdrawn while they watch.
    stand.role('follower', rule(['list', 'view']));
    expect(await closed).toBe(4401);
  });

  test('what is opened, exported or refused is told, views once', async () => {
    stand.role('looker', rule(['list', 'view', 'export'], { where: "session.user == 'bob'" }));
    const headers = { cookie: stand.signIn('dave', 'looker') };
    for (const path of [...perSession(theirs.id), ...perSession(theirs.id), `/api/sessions/${mine.id}/segments`])
      await call(path, { headers });
    const told = stand.disclosures
      .flatMap((one) => (one.actor === 'dave' && one.event !== 'recording.search' && one.event !== 'recording.query' ? [one] : []))
      .map(({ event, session, code, format, source_address }) => [
        event,
        session === mine.id ? 'mine' : 'theirs',
        code,
        format,
        source_address,
      ]);
    expect(told).toEqual([
      ['recording.view', 'theirs', null, undefined, '127.0.0.1'],
      ['recording.export', 'theirs', null, 'cast', '127.0.0.1'],
      ['recording.export', 'theirs', null, 'cast', '127.0.0.1'],
      ['recording.view', 'mine', 'SESSION_UNKNOWN', undefined, '127.0.0.1'],
    ]);
  });
});

describe('what a role may see', () => {
  const table: readonly (readonly [
    who: string,
    view: 'all' | 'own' | 'none',
    mine: number,
    theirs: number,
    listed: readonly string[] | null,
  ])[] = [
    ['alice', 'all', 200, 200, ['alice', 'bob']],
    ['alice', 'own', 200, 404, ['alice']],
    ['alice', 'none', 403, 403, null],
    ['bob', 'own', 404, 200, ['bob']],
    ['carol', 'own', 404, 404, []],
  ];
  test.each(table)('%s with view %s', async (who, view, mineStatus, theirsStatus, listed) => {
    const headers = { cookie: stand.signIn(who, view) };
    for (const path of perSession(mine.id)) expect((await call(path, { headers })).status, path).toBe(mineStatus);
    for (const path of perSession(theirs.id)) expect((await call(path, { headers })).status, path).toBe(theirsStatus);
    const list = await call('/api/sessions', { headers });
    const found = await call('/api/search?q=sudo', { headers });
    if (listed === null) {
      expect([list.status, found.status]).toEqual([403, 403]);
    } else {
      expect((JSON.parse(list.text) as SessionList).sessions.map(({ user }) => user).sort()).toEqual(listed);
      expect((JSON.parse(found.text) as SearchResult).hits.map(({ user }) => user).sort()).toEqual(listed);
    }
    expect((await call('/api/audit', { headers })).status).toBe(view === 'all' ? 200 : 403);
  });

  test('a session of somebody else is answered like one that does not exist', async () => {
    const headers = { cookie: stand.signIn('alice', 'own') };
    const other = await call(`/api/sessions/${theirs.id}`, { headers });
    const none = await call(`/api/sessions/${sessionId(1, randomBytes(10))}`, { headers });
    expect(other.text).toBe(none.text);
  });

  test('asking for somebody else’s rows by filter finds nothing', async () => {
    const cookie = stand.signIn('alice', 'own');
    expect((await get<SessionList>('/api/sessions?user=bob', cookie)).sessions).toEqual([]);
    expect((await get<SearchResult>('/api/search?q=sudo&user=bob', cookie)).hits).toEqual([]);
    expect((await get<SearchResult>(`/api/search?q=sudo&session=${theirs.id}`, cookie)).hits).toEqual([]);
  });

  test('nobody sees anything without signing in', async () => {
    for (const path of [...perSession(mine.id), '/api/sessions', '/api/search?q=x', '/api/audit', '/api/status', '/api/me']) {
      const answer = await call(path);
      expect([answer.status, codeOf(answer)], path).toEqual([401, 'NOT_SIGNED_IN']);
    }
    expect((await call('/api/me', { headers: { cookie: 'steno_session=web.alice' } })).status).toBe(401);
  });

  test('a signed request stands for its user, a bad one for nobody, whatever the cookie says', async () => {
    expect((await call('/api/me', { headers: { authorization: 'Steno by alice' } })).text).toContain('"user":"alice"');
    expect((await call('/api/me', { headers: { authorization: 'Steno by eve', cookie: all } })).status).toBe(401);
  });
});

describe('signing in', () => {
  const post = (body: string, headers: Record<string, string> = {}): Promise<Answer> =>
    call('/api/sign-in', { method: 'POST', body, headers: { 'content-type': 'application/json', origin: stand.url, ...headers } });

  test('a link works once and gives a cookie no script and no other site can use', async () => {
    const body = JSON.stringify({ token: stand.link('alice', 'own') });
    const first = await post(body);
    expect(first.status).toBe(200);
    const cookie = String(first.headers['set-cookie']);
    expect(cookie).toMatch(/^steno_session=[^;]+; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict$/);
    expect((await get<{ user: string }>('/api/me', cookie.split(';')[0]!)).user).toBe('alice');
    const second = await post(body);
    expect([second.status, codeOf(second)]).toEqual([401, 'LINK_USED']);
  });

  test('signing out ends the session and takes the cookie away', async () => {
    const cookie = stand.signIn('leaver', 'own');
    await get('/api/me', cookie);
    const out = await call('/api/sign-out', {
      method: 'POST',
      body: '{}',
      headers: { cookie, 'content-type': 'application/json', origin: stand.url },
    });
    expect(String(out.headers['set-cookie'])).toContain('Max-Age=0');
    expect((await call('/api/me', { headers: { cookie } })).status).toBe(401);
  });

  test.each([
    ['no origin', { origin: '' }],
    ['another site', { origin: 'http://evil.example' }],
    ['another port', { origin: 'http://127.0.0.1:1' }],
    ['null', { origin: 'null' }],
  ])('a post from %s is refused', async (_, headers) => {
    expect((await post(JSON.stringify({ token: stand.link('mallory', 'all') }), headers)).status).toBe(403);
  });

  test.each([
    ['{'],
    ['[]'],
    ['{"token":1}'],
    ['{"token":"short"}'],
    [JSON.stringify({ token: 'x'.repeat(513) })],
    [JSON.stringify({ token: 'a'.repeat(20), more: 1 })],
    ['x'.repeat(5000)],
  ])('a body that is no token is refused: %.20s', async (body) => {
    expect([400, 413]).toContain((await post(body)).status);
  });

  test('a form of another type is refused', async () => {
    expect((await post('token=abc', { 'content-type': 'text/plain' })).status).toBe(400);
  });

  test('guessing is slowed down', async () => {
    const statuses = new Set<number>();
    for (let i = 0; i < 30; i++) statuses.add((await post(JSON.stringify({ token: `guess.${i}.0123456789abcdef` }))).status);
    expect(statuses).toContain(429);
  });
});

describe('what surrounds a request', () => {
  test.each(['evil.example', 'evil.example:80', '127.0.0.1', '127.0.0.1:1', '0x7f000001:80'])(
    'a Host that is not ours is refused: %s',
    async (host) => {
      expect((await call('/api/me', { headers: { host, cookie: all } })).status).toBe(400);
      expect((await call('/', { headers: { host } })).status).toBe(400);
    },
  );

  test('localhost is ours', async () => {
    expect((await call('/api/me', { headers: { host: `localhost:${new URL(stand.url).port}`, cookie: all } })).status).toBe(200);
  });

  test('every answer forbids inline code, framing, sniffing and storing', async () => {
    for (const path of ['/', '/api/me', '/api/nothing', '/assets/app-1.js']) {
      const { headers } = await call(path, { headers: { cookie: all } });
      expect(headers).toMatchObject({
        'content-security-policy':
          "default-src 'none';script-src 'self' 'wasm-unsafe-eval';style-src 'self';img-src 'self' data:;font-src 'self';connect-src 'self';" +
          "base-uri 'none';form-action 'none';frame-ancestors 'none'",
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      });
      if (path.startsWith('/api')) expect(headers['cache-control']).toBe('no-store');
    }
  });

  test.each([
    '/../../etc/passwd',
    '/..%2f..%2fetc/passwd',
    '/assets/../../../etc/passwd',
    '/assets/%2e%2e/%2e%2e/index.ts',
    '//etc/passwd',
    '/assets/',
    '/assets',
    '/index.html/..',
    '/%00',
    '/api/../index.html',
    '/sessions/..%2f..',
    '/.env',
    '/assets/app-1.js%00.html',
    '/\\..\\..\\etc\\passwd',
  ])('no path leaves the page: %s', async (path) => {
    const answer = await call(path, { headers: { cookie: all } });
    expect([400, 404]).toContain(answer.status);
    expect(answer.text).not.toContain('root:');
  });

  test('files of the page come compressed to clients that accept gzip, at first and later', async () => {
    for (const accepted of ['gzip', 'identity', 'gzip']) {
      // fetch decodes it.
      const response = await fetch(`${stand.url}/assets/app-2.js`, { headers: { 'accept-encoding': accepted } });
      expect(response.headers.get('content-encoding')).toBe(accepted === 'gzip' ? 'gzip' : null);
      expect(await response.text()).toBe(largeFile);
    }
  });

  test('the page answers its own paths', async () => {
    for (const path of ['/', '/sessions', `/sessions/${mine.id}?t=5&q=x`, '/search?q=a', '/audit', '/audit/views'])
      expect((await call(path)).text).toContain('<title>Steno');
    const { headers } = await call('/assets/app-1.js');
    expect([headers['content-type'], headers['cache-control']]).toEqual([
      'text/javascript; charset=utf-8',
      'public, max-age=31536000, immutable',
    ]);
    expect((await call('/', { headers: { 'if-none-match': String((await call('/')).headers['etag']) } })).status).toBe(304);
  });
});

describe('queries', () => {
  test.each([
    '/api/sessions?limit=0',
    '/api/sessions?limit=201',
    '/api/sessions?limit=1e3',
    '/api/sessions?limit=-1',
    '/api/sessions?limit=',
    '/api/sessions?from=now',
    '/api/sessions?from=99999999999999',
    '/api/sessions?kind=root',
    '/api/sessions?state=dead',
    '/api/sessions?user=a&user=b',
    '/api/sessions?usr=a',
    '/api/sessions?user=',
    '/api/sessions?before=garbage',
    `/api/sessions?user=${'x'.repeat(256)}`,
    '/api/search',
    '/api/search?q=',
    '/api/search?q=%20',
    '/api/search?q=a&mode=fuzzy',
    '/api/search?q=(&mode=regex',
    '/api/search?q=a&session=x',
    '/api/search?q=a&limit=101',
    `/api/search?q=${'x'.repeat(1001)}`,
    '/api/audit?event=DROP',
    '/api/audit?outcome=maybe',
    '/api/audit?limit=1000',
    "/api/audit?event=a.'",
  ])('a bad query is refused and named: %.60s', async (path) => {
    const answer = await call(path, { headers: { cookie: all } });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'BAD_REQUEST']);
  });

  test.each(['format=exe', 'format=cast&x=1'])('a bad export is refused: %s', async (query) => {
    expect((await call(`/api/sessions/${mine.id}/export?${query}`, { headers: { cookie: all } })).status).toBe(400);
  });

  test.each(['1', '-1', 'x', '99999999', '0x0', '1.5'])('a segment that is none is not found: %s', async (n) => {
    const short = await record(stand, {
      state: 'sealed',
      startedAt: Date.UTC(2025, 0, 1),
      user: 'zoe',
      lines: [[0, { code: 'o', data: 'x' }]],
    });
    expect((await call(`/api/sessions/${short.id}/segments/${n}`, { headers: { cookie: all } })).status).toBe(404);
  });

  test('ids that are none are unknown sessions', async () => {
    for (const id of ['x', 'A'.repeat(26), `${mine.id}x`, '..%2f..'])
      expect((await call(`/api/sessions/${id}`, { headers: { cookie: all } })).status).toBe(404);
  });
});

describe('sessions', () => {
  test('are listed newest first, page by page, by filter', async () => {
    const first = await get<SessionList>('/api/sessions?limit=1&from=1700000000000', all);
    expect(first.sessions.map(({ id }) => id)).toEqual([mine.id]);
    const second = await get<SessionList>(`/api/sessions?limit=1&from=1700000000000&before=${encodeURIComponent(first.next!)}`, all);
    expect(second.sessions.map(({ id }) => id)).toEqual([theirs.id]);
    expect((await get<SessionList>('/api/sessions?node=db-1', all)).sessions.map(({ id }) => id)).toEqual([theirs.id]);
    expect((await get<SessionList>(`/api/sessions?from=${mine.startedAt}`, all)).sessions.map(({ id }) => id)).toEqual([mine.id]);
    expect((await get<SessionList>('/api/sessions?state=sealed&user=alice', all)).sessions).toHaveLength(1);
  });

  test('one session says what is known of it', async () => {
    const info = await get<SessionInfo>(`/api/sessions/${mine.id}`, all);
    expect(info).toMatchObject({
      id: mine.id,
      user: 'alice',
      node: 'web-3',
      login: 'deploy',
      state: 'sealed',
      duration: 3000,
      exit_code: 0,
      tty: true,
    });
  });

  test.each(['sealed', 'parts'] as const)(
    'segments of a %s recording cover it without holes, keyframe first, header never',
    async (kind) => {
      const { id } = kind === 'sealed' ? mine : theirs;
      const index = await get<SegmentIndex>(`/api/sessions/${id}/segments`, all);
      expect(index.segments[0]).toMatchObject({ n: 0, start: 0, first_block: 1 });
      expect(index.segments.at(-1)!.end).toBe(index.duration);
      index.segments.forEach(({ end }, n) => expect(end).toBe(index.segments[n + 1]?.start ?? index.duration));
      for (const { n } of index.segments) {
        const { text } = await call(`/api/sessions/${id}/segments/${n}`, { headers: { cookie: all } });
        expect(text).toMatch(/^\[0,"k",/);
        expect(text).not.toContain('"version"');
      }
      expect(index.segments.length).toBeGreaterThan(1);
    },
  );

  test.each(['sealed', 'parts'] as const)('segments of a %s recording are the same in whatever coding a client takes', async (kind) => {
    const { id } = kind === 'sealed' ? mine : theirs;
    const { segments } = await get<SegmentIndex>(`/api/sessions/${id}/segments`, all);
    const zstd = await openZstd();
    const used = new Set<string>();
    for (const path of [...segments.map(({ n }) => `/api/sessions/${id}/segments/${n}`), openingPath(id, null)]) {
      const fetchAs = async (accepted: string): Promise<string> => {
        const response = await fetch(`${stand.url}${path}`, { headers: { cookie: all, 'accept-encoding': accepted } });
        expect(response.status).toBe(200);
        expect(response.headers.get('vary')).toBe('accept-encoding');
        const coding = response.headers.get('content-encoding') ?? 'identity';
        used.add(coding);
        expect(accepted).toContain(coding);
        // fetch decodes gzip, and leaves a coding unchanged that it does not know.
        const bytes = Buffer.from(await response.arrayBuffer());
        return Buffer.from(coding === 'zstd' ? zstd.decompress(bytes) : bytes).toString('utf8');
      };
      const plain = await fetchAs('identity');
      for (const accepted of ['gzip', 'zstd', 'gzip, zstd', 'br, ZSTD;q=0, gzip;q=0.5', 'gzip;q=0, zstd;q=0.0, identity'])
        expect(await fetchAs(accepted.toLowerCase() + ', identity'), `${path} as ${accepted}`).toBe(plain);
    }
    // These segments are too short for gzip: seek-budget.test.ts covers it.
    if (kind === 'sealed') expect([...used].sort()).toEqual(['identity', 'zstd']);
  });

  test.each(['sealed', 'parts'] as const)('the opening of a %s session is what the single calls answer', async (kind) => {
    const { id } = kind === 'sealed' ? mine : theirs;
    const { markers, ...index } = await get<SegmentIndex>(`/api/sessions/${id}/segments`, all);
    for (const at of [null, 1, index.duration, 999_999_999]) {
      // The beginning is drawn from the lines alone, without a keyframe.
      const first = (at ?? 0) <= 0 ? 0 : index.segments.findLastIndex(({ start }) => start <= at!);
      const { opening, lines } = decodeOpening((await call(openingPath(id, at), { headers: { cookie: all } })).text);
      expect(opening).toEqual({ me: await get('/api/me', all), session: await get(`/api/sessions/${id}`, all), index, first });
      expect(lines).toBe((await call(`/api/sessions/${id}/segments/${first}`, { headers: { cookie: all } })).text);
    }
    expect(markers.length).toBe(kind === 'sealed' ? 2 : 0);
  });

  test.each([
    ['?at=x', 400],
    ['?at=-1', 400],
    ['?at=1&at=2', 400],
    ['?t=1', 400],
    ['', 200],
  ])('an opening asked for with %s is answered %d', async (query, status) => {
    expect((await call(`/api/sessions/${mine.id}/opening${query}`, { headers: { cookie: all } })).status).toBe(status);
  });

  test('the page of a session names its opening ahead, to who may be signed in, and nothing else does', async () => {
    const linkOf = async (path: string, cookie?: string) =>
      (await call(path, { headers: cookie === undefined ? {} : { cookie } })).headers['link'];
    const ahead = (path: string): string => `<${path}>; rel=preload; as=fetch; crossorigin=anonymous`;
    expect(await linkOf(`/sessions/${mine.id}`, all)).toBe(ahead(openingPath(mine.id, null)));
    expect(await linkOf(`/sessions/${mine.id}?q=x&t=1500`, all)).toBe(ahead(openingPath(mine.id, 1500)));
    expect(await linkOf(`/sessions/${mine.id}?t=1%3E;x`, all)).toBe(ahead(openingPath(mine.id, null)));
    for (const [path, cookie] of [
      [`/sessions/${mine.id}`, undefined],
      ['/sessions', all],
      ['/sessions/nothing', all],
      ['/assets/app-1.js', all],
    ] as const)
      expect(await linkOf(path, cookie)).toBeUndefined();
  });

  test('markers and facts name files and gaps', async () => {
    const index = await get<SegmentIndex>(`/api/sessions/${mine.id}/segments`, all);
    expect(index.markers).toEqual([
      { at: 700, kind: 'file', label: '/etc/\u202epasswd' },
      { at: 900, kind: 'gap', label: 'body_limit' },
    ]);
    const facts = await get<readonly SessionFact[]>(`/api/sessions/${mine.id}/facts`, all);
    expect(facts[0]).toMatchObject({ kind: 'sftp', offset: 700, data: { path: '/etc/\u202epasswd', size: 12, operation: 'read' } });
  });
});

describe('search', () => {
  test('a hit comes with the lines around it and a link to its moment', async () => {
    const { hits } = await get<SearchResult>('/api/search?q=sudo&user=alice', all);
    expect(hits).toEqual([
      expect.objectContaining({
        session: mine.id,
        time: 2000,
        text: 'three sudo',
        before: ['one', 'two'],
        after: ['four', 'five'],
        link: `/sessions/${mine.id}?t=2000&q=sudo`,
      }),
    ]);
  });

  test('a full page of hits has its context, too', async () => {
    const many = await record(stand, {
      user: 'zed',
      startedAt: Date.UTC(2024, 0, 1),
      state: 'sealed',
      lines: [[0, { code: 'o', data: 'x' }]],
      screen: Array.from({ length: 101 }, (_, i) => ({ text: `needle ${i}`, offset_ms: i * 10, index: i })),
    });
    const { hits } = await get<SearchResult>(`/api/search?q=needle&limit=100&session=${many.id}`, all);
    expect([hits.length, hits[99]!.before, hits[99]!.after]).toEqual([100, ['needle 0'], ['needle 2', 'needle 3']]);
  });

  test('hits come newest first, page by page', async () => {
    const first = await get<SearchResult>('/api/search?q=sudo&limit=1', all);
    const second = await get<SearchResult>(`/api/search?q=sudo&limit=1&before=${encodeURIComponent(first.next!)}`, all);
    expect([...first.hits, ...second.hits].map(({ session }) => session)).toEqual([mine.id, theirs.id]);
  });
});

test('the status counts what the asker may see', async () => {
  expect(await get<StatusReport>('/api/status', stand.signIn('alice', 'own'))).toMatchObject({
    version: '0.0.0',
    sessions_live: 0,
    sessions_total: 1,
    queues: [],
    analysis: null,
    checks: [{ ok: true }, { ok: true }],
  });
});

test('what waits in the background is told to who may view every session, and to programs on this machine', async () => {
  expect((await get<StatusReport>('/api/status', all)).queues).toEqual([
    { name: 'sealing', unit: 'sessions', waiting: 2, done: 1, total: 7, since: 1_000 },
  ]);
  const metrics = await call('/metrics');
  expect([metrics.status, metrics.headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(metrics.text).toContain('steno_queue_waiting{queue="sealing",unit="sessions"} 2\n');
  expect((await call('/metrics', { headers: { 'x-forwarded-for': '10.1.1.1' } })).status).toBe(404);
});

describe('the live socket', () => {
  const refusal = (path: string, headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${stand.url.replace('http', 'ws')}${path}`, { headers });
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
      socket.on('open', () => reject(new Error('it opened')));
      socket.on('error', () => undefined);
    });

  /** The response to a refused upgrade, once the server has closed the connection. */
  const upgrade = async (asked: {
    readonly path: string;
    readonly method?: string;
    readonly headers: Record<string, string>;
  }): Promise<Answer> => {
    const { hostname, port } = new URL(stand.url);
    const headers = {
      connection: 'upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
      ...asked.headers,
    };
    const sent = request({ host: hostname, port, path: asked.path, method: asked.method ?? 'GET', headers }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const [text] = await Promise.all([readText(response), once(response.socket, 'close')]);
    return { status: response.statusCode ?? 0, headers: response.headers, text };
  };

  test.each([
    ['nobody', () => ({ origin: stand.url }), 401],
    ['another site with the user’s cookie', () => ({ origin: 'http://evil.example', cookie: all }), 403],
    ['no origin', () => ({ cookie: all }), 403],
    ['somebody who may not see it', () => ({ origin: stand.url, cookie: stand.signIn('carol', 'own') }), 404],
    ['a foreign host', () => ({ origin: stand.url, cookie: all, host: 'evil.example' }), 400],
  ] as const)('is refused to %s', async (_, headers, status) => {
    expect(await refusal(`/api/sessions/${mine.id}/live`, headers())).toBe(status);
  });

  test.each(['/', '/api/sessions', '/api/sessions/x/live', '/live'])('there is none at %s', async (path) => {
    expect(await refusal(path, { origin: stand.url, cookie: all })).toBe(404);
  });

  test('a call that is no WebSocket is refused, and so is an upgrade to anything else', async () => {
    expect((await call(`/api/sessions/${mine.id}/live`, { headers: { cookie: all } })).status).toBe(400);
    const other = await upgrade({ method: 'POST', path: '/api/sign-in', headers: { origin: stand.url, cookie: all } });
    expect([other.status, codeOf(other)]).toEqual([404, 'NOT_FOUND']);
    const h2c = await upgrade({ path: `/api/sessions/${mine.id}/live`, headers: { origin: stand.url, cookie: all, upgrade: 'h2c' } });
    expect(h2c.status).toBe(400);
  });

  test('a refusal is an answer like any other, and the connection ends with it', async () => {
    const answer = await upgrade({ path: `/api/sessions/${mine.id}/live`, headers: { origin: stand.url } });
    expect([answer.status, codeOf(answer)]).toEqual([401, 'NOT_SIGNED_IN']);
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'x-frame-options': 'DENY' });
  });

  test('a bad place to begin is refused', async () => {
    expect(await refusal(`/api/sessions/${mine.id}/live?after=-1`, { origin: stand.url, cookie: all })).toBe(400);
  });
});

// Last, since it adds rows to sessions that other tests use.
test('a session that was opened from inside of another names it, to who may list that one', async () => {
  const { startedAt: at, id } = mine;
  const row = { user: 'x', node: 'x', login: 'x', at, offset_ms: 0, ...noFacts };
  const connection = { source_port: 40_001, address: '192.0.2.1', port: 3022, accepted_at: at, machine: '' };
  const from = { local_address: '192.0.2.7', local_port: 40_001 };
  await stand.events.insert(
    'events',
    [
      {
        ...row,
        session: id,
        source: 'recording',
        emitter: '',
        block: 9,
        index: 0,
        kind: 'participant',
        address: '192.0.2.7',
        port: 40_001,
        data: JSON.stringify({ connection }),
      },
      {
        ...row,
        session: theirs.id,
        source: 'kernel',
        emitter: 'agent/db-1',
        block: 1,
        index: 0,
        kind: 'connect',
        name: 'tcp',
        outcome: 'success',
        address: '192.0.2.1',
        port: 3022,
        data: JSON.stringify(from),
      },
    ],
    'nested',
  );
  const outer = { id: theirs.id, user: 'bob', node: 'db-1', login: 'deploy' };
  const own = stand.signIn('alice', 'own');
  const ofList = async (cookie: string) =>
    (await get<SessionList>('/api/sessions?user=alice', cookie)).sessions.map((one) => one.opened_from);
  const ofEvents = async (cookie: string) => (await get<KernelEventList>(`/api/sessions/${id}/events`, cookie)).opened_from;
  const ofOne = async (cookie: string) => (await get<SessionInfo>(`/api/sessions/${id}`, cookie)).opened_from;
  expect([await ofList(all), await ofOne(all), await ofEvents(all)]).toEqual([[outer], outer, outer]);
  expect([await ofList(own), await ofOne(own), await ofEvents(own)]).toEqual([[undefined], undefined, undefined]);
  expect((await get<SessionInfo>(`/api/sessions/${theirs.id}`, all)).opened_from).toBeUndefined();
});
