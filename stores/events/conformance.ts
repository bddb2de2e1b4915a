/**
 * The conformance suite of event stores, as claims in plain words. Called by the tests of each adapter.
 *
 * A store is opened once, empty; each test uses its own sessions, nodes or actors.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '#schemas/base/errors.js';
import type { AuditRow, EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import { rowValidators } from '#schemas/events/rows.js';
import { sessionId } from '#schemas/recording/line.js';
import { changesConformance } from './changes-conformance.js';
import type { EventStore, Page, ScreenLine, ScreenQuery } from './contract.js';
import {
  exampleAuditRow,
  exampleEventRow,
  exampleFindingRow,
  exampleScreenRow,
  exampleSession,
  exampleSessionRow,
  exampleStart,
} from './examples.js';
import { openedFromConformance } from './opened-from-conformance.js';
import { patternsConformance } from './patterns-conformance.js';
import { peopleSqlConformance } from './people-sql-conformance.js';
import { timelineConformance } from './timeline-conformance.js';
import { responseConformance } from './response-conformance.js';
import { triageConformance } from './triage-conformance.js';

export interface EventFixture {
  readonly store: EventStore;
  /** Kills running statements that contain the text; letters and blanks only. */
  readonly kill: (text: string) => Promise<void>;
  readonly dispose: () => Promise<void>;
}

export function eventStoreConformance(name: string, open: () => Promise<EventFixture>): void {
  describe(`event store: ${name}`, () => {
    let fixture: EventFixture;
    let store: EventStore;
    beforeAll(async () => {
      fixture = await open();
      store = fixture.store;
    });
    afterAll(async () => {
      await fixture.store.close();
      await fixture.dispose();
    });

    describe('sessions', () => {
      test('an inserted session is read with every field', async () => {
        const live = exampleSessionRow({
          session: exampleSession(10),
          node: 'whole-1',
          command: 'line\none\t"two" \\ \0 é 日本 \u{1F600}',
        });
        const over = exampleSessionRow({
          session: exampleSession(11),
          node: 'whole-2',
          kind: 'exec',
          roles: [],
          tty: false,
          state: 'sealed',
          ended_at: exampleStart + 999,
          exit_code: 4_294_967_295,
          exit_signal: 'TERM',
          bytes_in: Number.MAX_SAFE_INTEGER,
          bytes_out: 7,
          blocks: 3,
          recording_bytes: 9,
          stored_bytes: 4,
          chain_head: 'ab'.repeat(32),
          request_id: 'r1',
          counter: 2 ** 40,
          certificate_serial: '0',
          cols: 65_535,
        });
        await store.insert('sessions', [live, over], 'whole');
        expect(await store.session(live.session)).toEqual(live);
        expect(await store.session(over.session)).toEqual(over);
        expect(rowValidators.sessions.parse(await store.session(over.session))).toEqual(over);
        expect(await store.session(exampleSession(12))).toBeUndefined();
        await expectCode(store.session("' OR 1"), 'BAD_REQUEST');
      });

      test('the highest version of a session counts, whatever the order of arrival', async () => {
        const row = (version: number, state: SessionRow['state']): SessionRow =>
          exampleSessionRow({ session: exampleSession(20), node: 'versions', version, state, bytes_out: version });
        await store.insert('sessions', [row(1, 'live')], 'v1');
        await store.insert('sessions', [row(3, 'sealed')], 'v3');
        await store.insert('sessions', [row(2, 'ended')], 'v2');
        expect((await store.session(exampleSession(20)))?.version).toBe(3);
        expect((await store.sessions({ node: 'versions' })).rows.map((r) => r.state)).toEqual(['sealed']);
        expect((await store.sessions({ node: 'versions', state: 'live' })).rows).toEqual([]);
      });

      test('newest first, page by page, with filters', async () => {
        const rows = Array.from({ length: 7 }, (_, i) =>
          exampleSessionRow({
            session: exampleSession(30 + i),
            gateway: 'pages',
            user: i % 2 === 0 ? 'even' : 'odd',
            login: i === 3 ? 'deploy' : 'root',
            kind: i === 4 ? 'sftp' : 'shell',
            started_at: exampleStart + Math.floor(i / 2) * 1000,
          }),
        );
        await store.insert('sessions', rows, 'pages');
        const newest = [...rows].reverse();
        expect(await collect((cursor) => store.sessions({ gateway: 'pages', limit: 3, cursor }))).toEqual(newest);
        expect((await store.sessions({ gateway: 'pages', user: 'odd' })).rows).toEqual(newest.filter((r) => r.user === 'odd'));
        expect((await store.sessions({ gateway: 'pages', login: 'deploy' })).rows).toHaveLength(1);
        expect((await store.sessions({ gateway: 'pages', kind: 'sftp' })).rows).toHaveLength(1);
        expect((await store.sessions({ gateway: 'pages', from: exampleStart + 1000, to: exampleStart + 3000 })).rows).toEqual(
          newest.filter((r) => r.started_at >= exampleStart + 1000 && r.started_at < exampleStart + 3000),
        );
      });
    });

    describe('screen', () => {
      const lines: readonly string[] = [
        'sudo cat /etc/shadow',
        '│SUDO rm│ in a frame',
        'Größe der Datei: 日本語',
        'total 100% done_now',
        'getservbyname(3) and more',
        "it's 'quoted' \\ and `ticked`; DROP TABLE screen",
        'shadowy figures',
      ];
      const find = async (query: Omit<ScreenQuery, 'node'>): Promise<string[]> =>
        (await store.searchScreen({ node: 'search', ...query })).rows.map((hit) => hit.text);

      beforeAll(async () => {
        await store.insert(
          'screen',
          lines.map((text, i) =>
            exampleScreenRow({
              session: exampleSession(40),
              node: 'search',
              block: 1,
              index: i,
              at: exampleStart + i,
              offset_ms: i * 10,
              row: i,
              text,
            }),
          ),
          'search',
        );
      });

      test.each([
        ['a word', { text: 'sudo' }, [1, 0]],
        ['a word in any case', { text: 'SuDo' }, [1, 0]],
        ['words in any order', { text: 'shadow sudo' }, [0]],
        ['a part of a word does not match', { text: 'shad' }, []],
        ['words inside a drawn frame', { text: 'rm frame' }, [1]],
        ['letters beyond ASCII', { text: 'GRÖSSE' }, []],
        ['letters beyond ASCII, other case', { text: 'GRÖße' }, [2]],
        ['a path is found literally', { text: '/etc/shadow' }, [0]],
        ['a part of a word, as a substring', { text: 'shado', mode: 'substring' }, [6, 0]],
        ['a short substring', { text: '3)', mode: 'substring' }, [4]],
        ['a substring of a word', { text: 'ERVBYN', mode: 'substring' }, [4]],
        ['a percent sign is literal', { text: '0% d' }, [3]],
        ['a percent sign is not a wildcard', { text: 'su%do', mode: 'substring' }, []],
        ['an underscore is literal', { text: 'done_now' }, [3]],
        ['an underscore is not a wildcard', { text: 'd_ne', mode: 'substring' }, []],
        ['quotes and backslashes are literal', { text: "'quoted' \\ and `" }, [5]],
        ['a backslash alone', { text: '\\' }, [5]],
        ['words with quotes around them', { text: "'; quoted", mode: 'words' }, [5]],
        ['a regular expression', { text: 'getserv[a-z]+name\\(\\d\\)', mode: 'regex' }, [4]],
        ['a regular expression in any case', { text: 'TOTAL\\s', mode: 'regex' }, [3]],
        ['a regular expression without a fixed part', { text: '\\d{3}', mode: 'regex' }, [3]],
        ['a regular expression with alternatives', { text: 'figures|datei', mode: 'regex' }, [6, 2]],
        ['text that is nowhere', { text: 'nowhere' }, []],
      ] as const)('finds %s', async (_, query, expected) => {
        expect(await find(query)).toEqual(expected.map((i) => lines[i]));
      });

      test('a hit has a position and a time', async () => {
        const { rows, next } = await store.searchScreen({ text: 'shadowy' });
        expect(rows).toEqual([
          {
            session: exampleSession(40),
            block: 1,
            index: 6,
            offset_ms: 60,
            at: exampleStart + 6,
            row: 6,
            text: 'shadowy figures',
            user: 'alice',
            node: 'search',
            login: 'root',
          },
        ]);
        expect(next).toBeNull();
      });

      test('filters by session, user, node, login and time', async () => {
        const row = (i: number, more: Partial<ScreenRow>): ScreenRow =>
          exampleScreenRow({ session: exampleSession(50 + i), text: 'filtered', at: exampleStart + i * 1000, ...more });
        await store.insert(
          'screen',
          [row(0, { user: 'bob' }), row(1, { node: 'db-1' }), row(2, { login: 'postgres' }), row(3, {})],
          'filtered',
        );
        const hits = async (query: Omit<ScreenQuery, 'text'>): Promise<string[]> =>
          (await store.searchScreen({ text: 'filtered', ...query })).rows.map((hit) => hit.session);
        expect(await hits({})).toEqual([3, 2, 1, 0].map((i) => exampleSession(50 + i)));
        expect(await hits({ user: 'bob' })).toEqual([exampleSession(50)]);
        expect(await hits({ node: 'db-1' })).toEqual([exampleSession(51)]);
        expect(await hits({ login: 'postgres' })).toEqual([exampleSession(52)]);
        expect(await hits({ session: exampleSession(53) })).toEqual([exampleSession(53)]);
        expect(await hits({ from: exampleStart + 1000, to: exampleStart + 3000 })).toEqual([exampleSession(52), exampleSession(51)]);
        expect(await hits({ user: "bob' OR '1" })).toEqual([]);
      });

      test('page by page, newest first, each hit once, although rows were repeated under other tokens', async () => {
        const rows = Array.from({ length: 60 }, (_, i) =>
          exampleScreenRow({
            session: exampleSession(60 + (i % 3)),
            block: i,
            index: i,
            at: exampleStart + Math.floor(i / 4),
            row: i % 24,
            text: `repeated ${i}`,
          }),
        );
        await store.insert('screen', rows, 'once');
        await store.insert('screen', rows, 'once');
        await store.insert('screen', rows.slice(10, 50), 'twice');
        await store.insert('screen', rows.slice(0, 30), 'thrice');
        for (const limit of [7, 60, 1000]) {
          const hits = await collect((cursor) => store.searchScreen({ text: 'repeated', limit, cursor }));
          expect(new Set(hits.map((hit) => hit.text)).size).toBe(60);
          expect(hits).toHaveLength(60);
          const times = hits.map((hit) => hit.at);
          expect(times).toEqual([...times].sort((a, b) => b - a));
        }
      });

      test('malformed text is kept as far as possible and does not affect other rows', async () => {
        const texts = ['lone \ud800 surrogate', 'paired \u{1F600}', 'nul \0 and \u001b escape', ''];
        await store.insert(
          'screen',
          texts.map((text, i) => exampleScreenRow({ session: exampleSession(70), index: i, at: exampleStart + i, text })),
          'odd',
        );
        const found = await store.readOnlySql(`SELECT text FROM screen WHERE session = '${exampleSession(70)}' ORDER BY index`, {
          maxRows: 10,
          maxSeconds: 10,
        });
        expect(found.rows.map(([text]) => text)).toEqual(['lone \ufffd surrogate', ...texts.slice(1)]);
      });
    });

    describe('events', () => {
      const rows = [
        exampleEventRow({ session: exampleSession(80), block: 0, index: 0, kind: 'exec', name: 'scp -t /tmp', at: exampleStart }),
        exampleEventRow({
          session: exampleSession(80),
          block: 0,
          index: 1,
          at: exampleStart + 1,
          offset_ms: 5,
          path: '/tmp/x',
          size: 0,
          sha256: 'ab'.repeat(32),
          reason: 'r',
          outcome: 'success',
          count: 12,
          data: '{"a":"\\n\\"\\u0000"}',
        }),
        exampleEventRow({
          session: exampleSession(80),
          block: 1,
          index: 0,
          at: exampleStart + 1,
          kind: 'connect',
          address: '192.0.2.1',
          port: 65_535,
        }),
        exampleEventRow({ session: exampleSession(81), block: 0, index: 0, at: exampleStart - 1, kind: 'gap', count: 3, user: 'bob' }),
      ];
      beforeAll(async () => {
        await store.insert('events', rows, 'events');
        await store.insert('events', rows.slice(1), 'again');
      });

      test('inserted events are read once, newest first', async () => {
        expect((await store.events({})).rows).toEqual([rows[2], rows[1], rows[0], rows[3]]);
        expect(await collect((cursor) => store.events({ limit: 1, cursor }))).toEqual([rows[2], rows[1], rows[0], rows[3]]);
      });

      test('or, within one session, in the order of the recording', async () => {
        const ordered = await collect((cursor) => store.events({ session: exampleSession(80), order: 'session', limit: 1, cursor }));
        expect(ordered).toEqual(rows.slice(0, 3));
        await expectCode(store.events({ order: 'session' }), 'BAD_REQUEST');
      });

      test('filters', async () => {
        expect((await store.events({ kinds: ['exec', 'gap'] })).rows).toEqual([rows[0], rows[3]]);
        expect((await store.events({ path: '/tmp/x' })).rows).toEqual([rows[1]]);
        expect((await store.events({ sha256: 'ab'.repeat(32) })).rows).toEqual([rows[1]]);
        expect((await store.events({ address: '192.0.2.1' })).rows).toEqual([rows[2]]);
        expect((await store.events({ user: 'bob' })).rows).toEqual([rows[3]]);
        expect((await store.events({ to: exampleStart })).rows).toEqual([rows[3]]);
      });

      test('within one session, files that were only read can be left out, except those that matter', async () => {
        const session = exampleSession(82);
        const open = (index: number, reason: string, data: object): EventRow =>
          exampleEventRow({
            session,
            source: 'kernel',
            emitter: 'agent/web-3',
            block: 1,
            index,
            kind: 'file',
            name: 'open',
            path: `/${index}`,
            reason,
            at: exampleStart - 9,
            data: JSON.stringify(data),
          });
        const made = [
          open(0, 'read', {}),
          open(1, 'read', { pid: 1, matters: 'keys' }),
          open(2, 'read,write', {}),
          open(3, 'read,directory', { from: '"matters":' }),
          exampleEventRow({ session, source: 'kernel', emitter: 'agent/web-3', block: 1, index: 4, kind: 'fork', at: exampleStart - 9 }),
        ];
        await store.insert('events', made, 'matters');
        const found = async (only?: 'changes' | 'tree'): Promise<number[]> =>
          (await store.events({ session, order: 'session', source: 'kernel', ...(only === undefined ? {} : { only }) })).rows.map(
            ({ index }) => index,
          );
        expect([await found(), await found('tree'), await found('changes')]).toEqual([
          [0, 1, 2, 3, 4],
          [1, 2, 4],
          [1, 2],
        ]);
      });
    });

    describe('events of every source', () => {
      const session = exampleSession(90);
      const kernel = { session, source: 'kernel', emitter: 'agent/n90', node: 'n90' } as const;
      const rows = [
        exampleEventRow({ session, node: 'n90', block: 3, index: 0, kind: 'exec', at: exampleStart + 900 }),
        exampleEventRow({ ...kernel, block: 3, index: 0, kind: 'exec', at: exampleStart + 901 }),
        exampleEventRow({ ...kernel, block: 3, index: 1, kind: 'unknown', raw_kind: 'teleport', at: exampleStart + 902 }),
        exampleEventRow({ ...kernel, block: 3, index: 2, kind: 'unknown', raw_kind: 'teleport', at: exampleStart + 903 }),
        exampleEventRow({ ...kernel, block: 4, index: 0, kind: 'unknown', raw_kind: 'levitate', at: exampleStart + 904 }),
      ];
      const free = ['gateway/gw-1', 'gateway/gw-2'].map((emitter, i) =>
        exampleEventRow({
          session: '',
          source: 'kubernetes',
          emitter,
          block: 1,
          index: 0,
          kind: 'kube',
          node: '',
          login: '',
          cluster: 'c90',
          namespace: 'shop',
          pod: 'cart-0',
          container: 'app',
          at: exampleStart + 905 + i,
        }),
      );
      beforeAll(async () => {
        await store.insert('events', [...rows, ...free], 'sources');
        await store.insert('events', [...free, ...rows.slice(2)], 'sources again');
      });

      test('two sources may use the same numbers without hiding rows of each other', async () => {
        expect((await store.events({ session, source: 'recording' })).rows).toEqual(rows.slice(0, 1));
        expect(await collect((cursor) => store.events({ session, source: 'kernel', order: 'session', limit: 1, cursor }))).toEqual(
          rows.slice(1),
        );
        expect(await collect((cursor) => store.events({ session, limit: 2, cursor }))).toEqual([...rows].reverse());
      });

      test('a page begins after a position of one source', async () => {
        const query = { session, source: 'kernel', order: 'session', after: { block: 3, index: 1 } } as const;
        expect((await store.events(query)).rows).toEqual(rows.slice(3));
        await expectCode(store.events({ ...query, source: undefined }), 'BAD_REQUEST');
      });

      test('a kind of a newer version is found and counted by its name, and under no other kind', async () => {
        expect((await store.events({ session, kinds: ['exec'] })).rows).toEqual([rows[1], rows[0]]);
        expect((await store.events({ session, raw_kind: 'teleport' })).rows).toEqual([rows[3], rows[2]]);
        expect(await store.countKinds(session)).toEqual([
          { source: 'kernel', kind: 'exec', raw_kind: '', count: 1 },
          { source: 'kernel', kind: 'unknown', raw_kind: 'levitate', count: 1 },
          { source: 'kernel', kind: 'unknown', raw_kind: 'teleport', count: 2 },
          { source: 'recording', kind: 'exec', raw_kind: '', count: 1 },
        ]);
      });

      test('events without a session are distinguished by their sender and found by their place', async () => {
        expect(await collect((cursor) => store.events({ session: '', limit: 1, cursor }))).toEqual([...free].reverse());
        expect((await store.events({ cluster: 'c90', namespace: 'shop', pod: 'cart-0' })).rows).toEqual([...free].reverse());
        await expectCode(store.events({ session: '', order: 'session' }), 'BAD_REQUEST');
      });
    });

    changesConformance(() => store);
    openedFromConformance(() => store);
    timelineConformance(() => store);
    triageConformance(() => store);
    responseConformance(() => store);
    patternsConformance(() => store);

    describe('visibility', () => {
      const name = 'seen';
      const made = ['dev', 'prod', null].map((env, i) =>
        exampleSessionRow({
          session: exampleSession(100 + i),
          node: name,
          user: i === 2 ? 'ben' : 'ann',
          state: i === 1 ? 'sealed' : 'live',
          labels: env === null ? {} : { env },
          labels_known: env !== null,
        }),
      );
      const dev: Condition = {
        kind: 'assume',
        of: { kind: 'equal', a: { kind: 'label', label: 'env' }, b: { kind: 'text', text: 'dev' } },
        otherwise: false,
      };
      const notProd: Condition = {
        kind: 'not',
        of: {
          kind: 'assume',
          of: { kind: 'equal', a: { kind: 'label', label: 'env' }, b: { kind: 'text', text: 'prod' } },
          otherwise: true,
        },
      };
      beforeAll(async () => {
        await store.insert('sessions', made, 'seen');
        await store.insert(
          'screen',
          made.map(({ session }) => exampleScreenRow({ session, node: name, text: 'seenline' })),
          'seen',
        );
        await store.insert(
          'events',
          [...made.map(({ session }) => session), ''].map((session) => exampleEventRow({ session, node: name, block: 100 })),
          'seen',
        );
        await store.insert(
          'findings',
          made.map(({ session }) => exampleFindingRow({ id: `seen ${session}`, session, node: name })),
          'seen',
        );
      });

      test.each<[string, Condition | undefined, readonly number[]]>([
        ['everything', undefined, [0, 1, 2]],
        ['by a label at the start of the session', dev, [0]],
        ['a denial, which also covers unknown labels', notProd, [0]],
        ['nothing', { kind: 'any', of: [] }, []],
        [
          'a name with quotes, which nobody has',
          { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: "x' OR '1\\" } },
          [],
        ],
      ])('%s: lists, searches, events, findings and SQL agree', async (_, visible, expected) => {
        const ids = expected.map((i) => made[i]!.session);
        const sorted = (rows: readonly { readonly session: string }[]): string[] => rows.map(({ session }) => session).sort();
        expect(sorted((await store.sessions({ node: name, visible })).rows)).toEqual(ids);
        expect(sorted((await store.searchScreen({ text: 'seenline', visible })).rows)).toEqual(ids);
        expect(sorted((await store.events({ node: name, visible })).rows)).toEqual(visible === undefined ? ['', ...ids] : ids);
        expect(sorted((await store.findings({ node: name, visible })).rows)).toEqual(ids);
        const limits = { maxRows: 100, maxSeconds: 10 };
        for (const table of ['sessions', 'screen', 'events', 'findings'] as const) {
          const sql = `SELECT session FROM (SELECT t.session, t.node FROM ${table} AS t WHERE t.session IN (SELECT session FROM ${table})) WHERE node = '${name}' AND session != '' ORDER BY 1`;
          expect(
            (await store.readOnlySql(sql, limits, { listed: visible, viewed: visible, findings: true, audit: false })).rows,
            table,
          ).toEqual(ids.map((id) => [id]));
        }
      });

      test('counts include visible rows only', async () => {
        const before = await store.countSessions({});
        expect(
          await store.countSessions({
            visible: { kind: 'all', of: [dev, { kind: 'equal', a: { kind: 'node' }, b: { kind: 'text', text: name } }] },
          }),
        ).toEqual({ live: 1, total: 1 });
        expect(before.total).toBeGreaterThan(3);
      });
    });

    describe('queries of the product', () => {
      const lines = Array.from({ length: 9 }, (_, i) =>
        exampleScreenRow({
          session: exampleSession(110),
          block: 1 + Math.floor(i / 3),
          index: i % 3,
          offset_ms: 10 * i,
          text: `line ${i}`,
        }),
      );
      beforeAll(async () => {
        await store.insert('screen', lines, 'asked');
        await store.insert('screen', lines.slice(4), 'asked again');
      });
      const texts = (rows: readonly { readonly text: string }[]): string[] => rows.map(({ text }) => text);

      test('lines around positions, each once', async () => {
        const session = exampleSession(110);
        const around = await store.screenAround(
          [
            { session, offset_ms: 40 },
            { session: exampleSession(111), offset_ms: 0 },
            { session, offset_ms: 0 },
          ],
          2,
        );
        expect(around.map(texts)).toEqual([['line 3', 'line 4', 'line 5', 'line 6'], [], ['line 0', 'line 1', 'line 2']]);
        expect(await store.screenAround([], 2)).toEqual([]);
        await expectCode(store.screenAround([{ session: "' OR 1", offset_ms: 0 }], 2), 'BAD_REQUEST');
      });

      test('the lines beside a line, each once, however far away', async () => {
        const session = exampleSession(112);
        const sparse = [1, 2, 2, 90, 91, 400].map((block, i) =>
          exampleScreenRow({ session, block, index: i % 3, offset_ms: 5, text: `far ${i}` }),
        );
        await store.insert('screen', sparse, 'sparse');
        await store.insert('screen', sparse.slice(2), 'sparse again');
        const places = [
          ...sparse.map(({ block, index }) => ({ session, block, index })),
          { session: exampleSession(110), block: 2, index: 1 },
          { session: exampleSession(111), block: 0xffff_ffff, index: 0 },
        ];
        const beside = await store.linesBeside(places, 2);
        expect(beside.map(({ before, after }) => [texts(before), texts(after)])).toEqual([
          [[], ['far 1', 'far 2']],
          [['far 0'], ['far 2', 'far 3']],
          [
            ['far 0', 'far 1'],
            ['far 3', 'far 4'],
          ],
          [
            ['far 1', 'far 2'],
            ['far 4', 'far 5'],
          ],
          [['far 2', 'far 3'], ['far 5']],
          [['far 3', 'far 4'], []],
          [
            ['line 2', 'line 3'],
            ['line 5', 'line 6'],
          ],
          [[], []],
        ]);
        expect(await store.linesBeside([], 2)).toEqual([]);
        await expectCode(store.linesBeside([{ session: "' OR 1", block: 0, index: 0 }], 2), 'BAD_REQUEST');
      });

      test('all lines of a session, page by page, each once', async () => {
        const seen: string[] = [];
        for (let last: { block: number; index: number } | null = null; ;) {
          const page: readonly ScreenLine[] = await store.screenLines(exampleSession(110), last, 4);
          seen.push(...texts(page));
          const end = page.at(-1);
          if (end === undefined) break;
          last = { block: end.block, index: end.index };
        }
        expect(seen).toEqual(texts(lines));
        const back = [];
        for (let first: { block: number; index: number } | null = null; ;) {
          const page: readonly ScreenLine[] = await store.screenLines(exampleSession(110), first, 4, 'before');
          back.unshift(...texts(page));
          const begin = page[0];
          if (begin === undefined) break;
          first = { block: begin.block, index: begin.index };
        }
        expect(back).toEqual(texts(lines));
        expect(await store.screenRows(exampleSession(110), null, 100)).toEqual(lines);
        expect(await store.screenRows(exampleSession(110), { block: lines[3]!.block, index: lines[3]!.index }, 2)).toEqual(
          lines.slice(4, 6),
        );
        await expectCode(store.screenRows("' OR 1", null, 1), 'BAD_REQUEST');
        await expectCode(store.screenRows(exampleSession(110), null, 0), 'BAD_REQUEST');
      });

      test('views by session and viewer, each row once, of visible sessions only', async () => {
        const [one, two] = [exampleSession(140), exampleSession(141)];
        const row = (i: number, more: object) =>
          exampleAuditRow({
            id: `views-${i}`,
            at: exampleStart + i,
            event: 'recording.view',
            actor: 'val',
            session: one,
            node: 'n',
            login: 'l',
            ...more,
          });
        await store.insert(
          'sessions',
          [exampleSessionRow({ session: one, user: 'vic' }), exampleSessionRow({ session: two, user: 'wes' })],
          'views s',
        );
        const rows = [
          ...[
            row(0, {}),
            row(1, {}),
            row(2, { event: 'recording.export' }),
            row(3, { event: 'recording.view', outcome: 'failure', session: two }),
          ],
          ...[row(4, { actor: 'wim' }), row(5, { event: 'recording.search', session: '' }), row(6, { event: 'session.start' })],
        ];
        await store.insert('audit', rows, 'views');
        await store.insert('audit', rows.slice(0, 2), 'views again');
        const mine = async (more: object) =>
          (await store.views({ limit: 1000, ...more })).rows.filter(({ session }) => session === one || session === two);
        const where = { node: 'n', login: 'l' };
        const val = {
          ...where,
          session: one,
          actor: 'val',
          times: 3,
          first_at: exampleStart,
          last_at: exampleStart + 2,
          exports: 1,
          refusals: 0,
        };
        const refused = {
          ...where,
          session: two,
          actor: 'val',
          times: 1,
          first_at: exampleStart + 3,
          last_at: exampleStart + 3,
          exports: 0,
          refusals: 1,
        };
        expect(await mine({})).toEqual([expect.objectContaining({ actor: 'wim', times: 1 }), refused, val]);
        expect(await mine({ actor: 'val' })).toEqual([refused, val]);
        expect(await mine({ session: two })).toEqual([refused]);
        expect(await mine({ from: exampleStart + 3, to: exampleStart + 4 })).toEqual([refused]);
        expect(await store.views({ limit: 1, session: one })).toMatchObject({ rows: [{ actor: 'wim' }], truncated: true });
        const visible = { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: 'vic' } } as const;
        expect(await mine({ visible })).toEqual([expect.objectContaining({ actor: 'wim' }), val]);
        await expectCode(store.views({ limit: 1001 }), 'BAD_REQUEST');
      });

      test('the last use of each user, node and login', async () => {
        const use = (i: number, more: Partial<SessionRow>): SessionRow =>
          exampleSessionRow({ session: exampleSession(120 + i), user: 'zoe', node: 'use', started_at: exampleStart + i, ...more });
        await store.insert('sessions', [use(0, {}), use(1, {}), use(2, { login: 'app' })], 'use');
        await store.insert('sessions', [use(1, { version: 2 })], 'use 2');
        const { rows, truncated } = await store.sessionUse(100_000);
        expect(truncated).toBe(false);
        expect(rows.filter(({ user }) => user === 'zoe')).toEqual([
          { user: 'zoe', node: 'use', login: 'app', last_at: exampleStart + 2, count: 1 },
          { user: 'zoe', node: 'use', login: 'root', last_at: exampleStart + 1, count: 2 },
        ]);
        expect(await store.sessionUse(1)).toMatchObject({ rows: [{}], truncated: true });
      });
    });

    describe('audit', () => {
      test('inserted audit rows are read once, newest first, with filters', async () => {
        const row = (i: number, more: Partial<AuditRow>): AuditRow =>
          exampleAuditRow({ id: `audit-${i}`, at: exampleStart + i, node: 'audited', ...more });
        const rows = [
          row(0, {}),
          row(1, { event: 'session.end', session: exampleSession(1) }),
          row(2, { event: 'auth.refused', outcome: 'failure', code: 'CERT_EXPIRED', actor: 'mallory', reason: 'expired "yesterday"' }),
          row(3, { event: 'auth.accepted' }),
        ];
        await store.insert('audit', rows, 'audit');
        await store.insert('audit', rows.slice(1, 3), 'audit again');
        const newest = [...rows].reverse();
        expect(await collect((cursor) => store.audit({ node: 'audited', limit: 2, cursor }))).toEqual(newest);
        expect((await store.audit({ event: 'auth.' })).rows).toEqual([rows[3], rows[2]]);
        expect((await store.audit({ event: 'session.end' })).rows).toEqual([rows[1]]);
        expect((await store.audit({ outcome: 'failure', code: 'CERT_EXPIRED', actor: 'mallory' })).rows).toEqual([rows[2]]);
        expect((await store.audit({ session: exampleSession(1) })).rows).toEqual([rows[1]]);
        expect((await store.audit({ node: 'audited', from: exampleStart + 1, to: exampleStart + 3 })).rows).toEqual([rows[2], rows[1]]);
      });

      test('sessions without an audit row of an event, newest first', async () => {
        const from = exampleStart + 10 * 86_400_000;
        const begunAt = (at: number): string => sessionId(at, new Uint8Array(10));
        const begun = [0, 1, 2].map((i) => exampleSessionRow({ session: begunAt(from + i), node: 'unread', started_at: from + i }));
        await store.insert('sessions', [...begun, exampleSessionRow({ session: begunAt(from - 1), started_at: from - 1 })], 'unread');
        await store.insert('sessions', [{ ...begun[2]!, version: 2, state: 'ended' }], 'unread ended');
        const rows = [
          exampleAuditRow({ id: 'read 0', event: 'session.read', session: begun[0]!.session, at: from + 5 }),
          exampleAuditRow({ id: 'other 1', event: 'session.other', session: begun[1]!.session, at: from + 5 }),
          exampleAuditRow({ id: 'read none', event: 'session.read', session: '', at: from + 5 }),
        ];
        await store.insert('audit', rows, 'unread');
        const ask = { event: 'session.read', from, limit: 10 };
        expect(await store.sessionsWithoutAudit(ask)).toEqual([{ ...begun[2]!, version: 2, state: 'ended' }, begun[1]]);
        expect(await store.sessionsWithoutAudit({ ...ask, limit: 1 })).toHaveLength(1);
        await expectCode(store.sessionsWithoutAudit({ ...ask, limit: 20_000 }), 'BAD_REQUEST');
      });
    });

    describe('its input checks', () => {
      test('inserting no rows does nothing', async () => {
        await store.insert('events', [], 'none');
      });

      test('an invalid query is refused before it reaches the engine', async () => {
        await expectCode(store.searchScreen({ text: '' }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: '   ' }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: 'x'.repeat(1001) }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: '--', mode: 'words' }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: '(', mode: 'regex' }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: 'x', limit: 1001 }), 'BAD_REQUEST');
        await expectCode(store.searchScreen({ text: 'x', limit: 0 }), 'BAD_REQUEST');
        await expectCode(store.sessions({ limit: 1.5 }), 'BAD_REQUEST');
        await expectCode(store.sessions({ from: -1 }), 'BAD_REQUEST');
        await expectCode(store.events({ session: 'x' }), 'BAD_REQUEST');
        await expectCode(store.insert('events', [exampleEventRow()], ''), 'BAD_REQUEST');
        await expectCode(store.insert('schema_migrations' as 'events', [exampleEventRow()], 't'), 'BAD_REQUEST');
        for (const cursor of ['', 'x', 'bnVsbA', Buffer.from('["a"]').toString('base64url')]) {
          await expectCode(store.searchScreen({ text: 'x', cursor }), 'BAD_REQUEST');
          await expectCode(store.sessions({ cursor }), 'BAD_REQUEST');
        }
      });

      test('an unknown filter is refused rather than ignored', async () => {
        await expectCode(store.sessions({ nodes: 'x' } as object), 'BAD_REQUEST');
      });
    });

    peopleSqlConformance(() => fixture);
  });
}

async function collect<Row>(fetch: (cursor: string | undefined) => Promise<Page<Row>>): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | undefined;
  do {
    const page = await fetch(cursor);
    rows.push(...page.rows);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return rows;
}

async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'StenoError', code });
}
