/**
 * A viewer on real stores for tests, with an authority and a live source that live in this process: the authority
 * knows people by token, the live source speaks the uplink's block frames over a real socket.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import { disclosureSchema } from '#schemas/disclosure.js';
import type { Disclosure } from '#schemas/disclosure.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import { readNotes } from '#schemas/api/cases/notes.js';
import { listSavedSearches, saveSearch } from '#schemas/api/cases/saved-searches.js';
import type { SavedSearch } from '#schemas/api/cases/saved-searches.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { feedCloses } from '#schemas/feed.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import { encodeUplink } from '#schemas/uplink.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { exampleAuditRow } from '#stores/events/examples.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { Caller, ReceivedRequest } from '#runtime/http/request-auth.js';
import { openZstd } from '#runtime/zstd.js';
import { openPicturePainter } from '#recordings/render/picture-png.js';
import { startViewer } from '../main.js';
import { makeRecorder } from './recorded.js';
import type { Stores } from './recorded.js';

const encoder = new TextEncoder();

export interface LiveDouble {
  readonly url: string;
  /** Sends a block to every follower of the session, now and later. */
  readonly publish: (session: string, n: number, lines: string) => void;
  /** Sends bytes of an unfinished block to every follower that asked for drafts. */
  readonly draft: (session: string, n: number, from: number, text: string) => void;
  readonly end: (session: string) => void;
  /** Bytes waiting for each of its followers. */
  readonly waiting: (session: string) => readonly number[];
  /** Disconnects every follower. */
  readonly drop: () => void;
  readonly followers: (session: string) => number;
  /** Blocks up to this number are no longer in memory. */
  readonly forget: (session: string, upTo: number) => void;
  readonly close: () => Promise<void>;
}

/** `only`: the sessions that it has; followers of others are closed with `away`. If omitted, it has all. */
export async function openLive(only?: ReadonlySet<string>): Promise<LiveDouble> {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  const blocks = new Map<string, Map<number, string>>();
  const drafting = new Set<WebSocket>();
  const following = new Map<string, Set<WebSocket>>();
  const of = (session: string): Set<WebSocket> => following.get(session) ?? following.set(session, new Set()).get(session)!;
  const send = (socket: WebSocket, session: string, n: number, lines: string): void => {
    socket.send(encodeUplink('block', { session, n, head: '0'.repeat(64) }, encoder.encode(lines)));
  };
  sockets.on('connection', (socket, request) => {
    const query = new URL(request.url ?? '/', 'http://live.invalid').searchParams;
    const session = query.get('session')!;
    if (only?.has(session) === false) return socket.close(feedCloses.away);
    for (const [n, lines] of blocks.get(session) ?? []) if (n > Number(query.get('after'))) send(socket, session, n, lines);
    of(session).add(socket);
    if (query.get('drafts') === '1') drafting.add(socket);
    socket.on('close', () => of(session).delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publish(session, n, lines) {
      (blocks.get(session) ?? blocks.set(session, new Map()).get(session)!).set(n, lines);
      for (const socket of of(session)) send(socket, session, n, lines);
    },
    draft(session, n, from, text) {
      for (const socket of drafting)
        if (of(session).has(socket)) socket.send(encodeUplink('draft', { session, n, from }, encoder.encode(text)));
    },
    end(session) {
      for (const socket of of(session)) socket.close(1000);
    },
    waiting: (session) => [...of(session)].map(({ bufferedAmount }) => bufferedAmount),
    drop() {
      for (const socket of sockets.clients) socket.terminate();
    },
    followers: (session) => of(session).size,
    forget(session, upTo) {
      for (const n of blocks.get(session)?.keys() ?? []) if (n <= upTo) blocks.get(session)!.delete(n);
    },
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Stand extends Stores {
  readonly url: string;
  readonly folder: string;
  readonly live: LiveDouble;
  /** A cookie for somebody. */
  readonly signIn: (user: string, view: string) => string;
  /** A one-time token. */
  readonly link: (user: string, view: string) => string;
  /** From now on, the user who signed in with this word has this role. */
  readonly role: (word: string, role: object) => void;
  /** The authority's details of live sessions. */
  readonly people: Map<string, LiveSessionDetails>;
  /** The reports that the authority received. */
  readonly disclosures: Disclosure[];
  readonly close: () => Promise<void>;
}

const token = (user: string, view: string, kind: string): string => `${kind}.${user}.${view}.0123456789abcdef`;

export async function openStand(webRoot?: string): Promise<Stand> {
  const folder = await mkdtemp(join(tmpdir(), 'steno-viewer-'));
  const objects = await openDirectoryStore(join(folder, 'objects'));
  const events = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
  const zstd = await openZstd();
  const live = await openLive();
  const recorder = makeRecorder();
  const used = new Set<string>();
  const over = new Set<string>();
  const roles = new Map<string, Role>();
  const disclosures: Disclosure[] = [];
  const people = new Map<string, LiveSessionDetails>();
  const watching = new Set<() => void>();
  const identity = (text: string, kind: string) => {
    const [found, user, view] = text.split('.');
    if (found !== kind || over.has(text)) throw new StenoError(kind === 'link' ? 'LINK_USED' : 'NOT_SIGNED_IN');
    const role = roles.get(view!) ?? roleSchema.parse({ kind: 'role', name: `${view}-viewer`, view });
    return {
      token: token(user!, view!, 'web'),
      user: user!,
      traits: {},
      roles: [role],
      expires_at: Date.now() + 3_600_000,
      via: 'link',
      mfa: null,
      since: Date.now(),
    };
  };
  /** Inserts the authority's audit row of the decision into the store. */
  let decisions = 0;
  const triage = async (target: string, { state, reason }: { state: string; reason: string }): Promise<object> => {
    const [version, at] = [(decisions += 1), Date.now()];
    const row = { id: `triage-${version}`, event: TRIAGE_EVENT, target, actor: 'root', at };
    await events.insert('audit', [exampleAuditRow({ ...row, data: JSON.stringify({ state, version, reason }) })], `triage-${version}`);
    return { finding: target, state, version, by: 'root', at, reason };
  };
  /** Saved searches of one user; permissions for them are tested with a real authority. */
  const saved: SavedSearch[] = [];
  const keep = (asked: Pick<SavedSearch, 'name' | 'language' | 'query' | 'shared' | 'every_ms'>): SavedSearch => {
    const times = { created_at: 1, updated_at: 1, next_at: null, ran_at: null, told: 0 };
    const one = { id: `q-${String(saved.length).padStart(12, '0')}`, owner: 'ann', error: '', ...times, ...asked };
    saved.push(one);
    return one;
  };
  const running = await startViewer(
    { listen: '127.0.0.1:0', webRoot: webRoot ?? join(folder, 'no-page'), version: '0.0.0' },
    {
      objects,
      events,
      authority: {
        clusterStatement: async () => {
          throw new StenoError('NOT_FOUND', 'this cluster was never exported');
        },
        signIn: async (text) => {
          const found = identity(text, 'link');
          if (used.has(text)) throw new StenoError('LINK_USED');
          used.add(text);
          return found;
        },
        webSession: async (text) => identity(text, 'web'),
        liveSessions: async (sessions) => sessions.flatMap((session) => people.get(session) ?? []),
        signOut: async (text) => {
          over.add(text);
        },
        onChange(callback) {
          watching.add(callback);
          return () => watching.delete(callback);
        },
        relaying: () => async (method, target, body) => {
          if (method === 'POST' && target === saveSearch.path) return keep(saveSearch.body.parse(body));
          if (target === listSavedSearches.path) return saved;
          if (method === 'DELETE' && target.startsWith(`${listSavedSearches.path}/`))
            return void saved.splice(0, saved.length, ...saved.filter(({ id }) => !target.endsWith(id)));
          const decided = /^\/v1\/findings\/([^/]+)\/triage$/.exec(target);
          if (decided !== null) return triage(decided[1]!, body as { state: string; reason: string });
          if (target === '/v1/disclosures') return void disclosures.push(disclosureSchema.parse(body));
          if (target === readNotes.path) return [];
          if (target !== '/v1/login/methods') throw new StenoError('LOGIN_FAILED');
          return { local: true, passkeys: false, origin: 'http://localhost', connectors: [] };
        },
      },
      requests: {
        recheck: (identity) => ({ identity, roles: [roleSchema.parse({ kind: 'role', name: 'all-viewer', view: 'all' })] }),
        verify({ authorization }: ReceivedRequest): Caller {
          if (authorization !== 'Steno by alice') throw new StenoError('CERT_BAD_SIGNATURE');
          const role = roleSchema.parse({ kind: 'role', name: 'all-viewer', view: 'all' });
          return {
            identity: {
              user: 'alice',
              roles: ['all-viewer'],
              traits: {},
              mfa: null,
              requests: [],
              cluster: null,
              serial: '1',
              keyId: 'alice',
              validBefore: 4_000_000_000,
            },
            roles: [role],
          };
        },
      },
      queues: () => [{ name: 'sealing', unit: 'sessions', waiting: 2, done: 1, total: 7, since: 1_000 }],
      ownSince: () => ({}),
      live: { urls: [live.url], tls: {}, find: async () => null },
      recordingCas: () => [formatPublicLine(recorder.ca.publicBlob, 'recording')],
      checkAnswers: true,
      // Node starts a thread from a file that it can run by itself: the built one.
      painter: openPicturePainter(new URL('../../../dist/recordings/render/picture-thread.js', import.meta.url)),
      log: pino({ level: 'silent' }),
      clock: Date.now,
    },
  );
  return {
    objects,
    events,
    zstd,
    recorder,
    folder,
    live,
    url: `http://${running.addresses['web']}`,
    disclosures,
    people,
    role(word, role) {
      roles.set(word, roleSchema.parse({ kind: 'role', name: word, view: 'none', ...role }));
      for (const told of watching) told();
    },
    signIn: (user, view) => `steno_session=${token(user, view, 'web')}`,
    link: (user, view) => token(user, view, 'link'),
    async close() {
      await running.close();
      await live.close();
      await events.close();
      await objects.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
