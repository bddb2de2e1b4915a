/**
 * Everything that users do through viewer/api is audited: the test calls every route that changes something or shows a recording
 * once successfully and once into a refusal, against a real authority and real stores, with a browser's cookies. A route that is
 * in none of the tables fails the test. authority/audit/complete.test.ts does the same for the authority's own routes.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { servedByViewers } from '#schemas/api/viewer.js';
import type { TotpEnrolment } from '#schemas/api/people/account.js';
import type { DeviceLogin } from '#schemas/api/people/logins.js';
import type { Invitation } from '#schemas/api/people/users.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { RequestVerifier } from '#runtime/http/request-auth.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { Secret, TOTP } from 'otpauth';
import { Cleanup, clientOf, person, silent } from '../../authority/testing/authority.js';
import type { Signer } from '../../authority/testing/authority.js';
import { SoftAuthenticator } from '../../authority/testing/soft-authenticator.js';
import { PASSWORD, WEB, people } from '../../authority/testing/people.js';
import type { Enrolled, People } from '../../authority/testing/people.js';
import { huntLines } from '../../analyzer/retro/requests.js';
import { startViewer } from '../../viewer/api/main.js';
import type { RunningViewer } from '../../viewer/api/main.js';
import { makeRecorder, record } from '../../viewer/api/testing/recorded.js';
import type { Stores } from '../../viewer/api/testing/recorded.js';

const cleanup = new Cleanup();
let world: People;
let viewer: RunningViewer;
let stores: Stores;
let url: string;
/** ann sees everything, pat sees nothing, dan may request a role. */
let ann: Enrolled;
let fresh: string[];
let made = 0;
let pat: Enrolled;
let dan: Enrolled;
let ingo: Enrolled;
/** May run SQL. */
let querier: Enrolled;
let gateway: Awaited<ReturnType<typeof clientOf>> | undefined;
let inviter: Signer | undefined;

beforeAll(async () => {
  world = await people(cleanup);
  const role = (name: string, more: object): Promise<unknown> =>
    world.admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, ...more });
  await role('dba', { allow: { nodes: { '*': '*' }, logins: ['postgres'] } });
  await role('dev', { view: 'none', allow: { request: [{ roles: ['dba'] }] } });
  await role('nothing', { view: 'none' });
  [ann, pat, dan] = [await world.enrol('ann'), await world.enrol('pat', ['nothing']), await world.enrol('dan', ['dev'])];
  await role('querier', { view: 'all', allow: { rules: [{ resources: ['sql'], verbs: ['read'] }] } });
  await role('inviter', { allow: { sessions: [{ actions: ['invite'] }] } });
  ingo = await world.enrol('ingo', ['inviter']);
  querier = await world.enrol('quinn', ['querier']);
  fresh = [(await world.enrol('eve')).session, (await world.enrol('fay')).session];
  const [events, objects] = [
    await openEventStore({ kind: 'chdb', path: join(world.folder, 'events') }),
    await openDirectoryStore(join(world.folder, 'objects')),
  ];
  cleanup.add(() => events.close());
  stores = { events, objects, zstd: await openZstd(), recorder: makeRecorder() };
  const authority = await clientOf(world.authority, { kind: 'viewer', name: 'local' }, cleanup);
  viewer = await startViewer(
    {
      listen: '127.0.0.1:0',
      webRoot: join(world.folder, 'no-page'),
      version: '0',
      addresses: { ssh: '127.0.0.1:22', web: WEB, authority: world.authority.addresses.tls },
    },
    {
      events,
      objects,
      authority,
      ownSince: () => authority.current().own_since,
      requests: new RequestVerifier(() => authority.current(), { clock: Date.now }),
      live: { urls: ['ws://127.0.0.1:1'], tls: {}, find: async () => null },
      hunter: huntLines,
      recordingCas: () => authority.current().recording_ca,
      checkAnswers: true,
      log: silent,
      clock: Date.now,
    },
  );
  cleanup.add(() => viewer.close());
  url = `http://${viewer.addresses['web']}`;
}, 60_000);
afterAll(() => cleanup.run());

interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** The token of the web session that the call began. */
  readonly session: string | undefined;
}
const NOBODY = 'x'.repeat(43);
async function send(
  method: string,
  path: string,
  { session, body, headers = {} }: { readonly session?: string; readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const answer = await fetch(`${url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      origin: url,
      ...(session === undefined ? {} : { cookie: `steno_session=${session}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const began = /steno_session=([^;]+)/.exec(answer.headers.get('set-cookie') ?? '')?.[1];
  return {
    status: answer.status,
    session: began,
    body: (answer.headers.get('content-type') ?? '').startsWith('application/json') ? (JSON.parse(text) as unknown) : text,
  };
}
const post = (path: string, body: unknown = {}, session?: string): Promise<Answer> =>
  send('POST', path, { body, ...(session === undefined ? {} : { session }) });
async function given<T>(answer: Promise<Answer>): Promise<T> {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(JSON.stringify(body));
  return body as T;
}

const PROBE =
  'title: Probe\nlogsource: { product: linux, category: process_creation }\ndetection: { sel: { CommandLine: x }, condition: sel }\n';
const recorded = async (): Promise<string> =>
  (
    await record(stores, {
      user: 'someone',
      node: 'web-1',
      login: 'www',
      state: 'sealed',
      exitCode: 0,
      lines: [[10, { code: 'o', data: 'a line\r\n' }]],
    })
  ).id;
/** A session whose output can be extracted as file 1. */
const recordedStream = async (): Promise<string> => {
  const data = 'a line\n';
  const sha256 = createHash('sha256').update(data).digest('hex');
  const lines = [
    [10, { code: 'o', data }],
    [20, { code: 's', data: { fact: 'total', stream: 'out', bytes: data.length, sha256 } }],
  ] as const;
  return (await record(stores, { user: 'someone', node: 'web-1', login: 'www', state: 'sealed', tty: false, kind: 'exec', lines })).id;
};
const reading = (rest: string, event: string): Case => ({
  done: [event, async () => send('GET', `/api/sessions/${await recorded()}${rest}`, { session: ann.session })],
  refused: [event, async () => send('GET', `/api/sessions/${await recorded()}${rest}`, { session: pat.session })],
});
const finding = (rest: string): Case => ({
  done: ['recording.search', () => send('GET', `/api/find${rest}?q=line`, { session: ann.session })],
  refused: ['recording.search', () => send('GET', `/api/find${rest}?q=line`, { session: pat.session })],
});
/** Stores a finding about the session. Returns its id. */
const foundIn = async (session: string): Promise<string> => {
  const id = createHash('sha256').update(session).digest('hex');
  const row = exampleFindingRow({ id, session, user: 'someone', node: 'web-1', login: 'www', evidence: [] });
  await stores.events.insert('findings', [row], `finding ${id}`);
  return id;
};
const token = async (user: string): Promise<string> => {
  const { link } = await (world.admin.call('POST', '/v1/users', { name: user, roles: ['nothing'], traits: {} }) as Promise<Invitation>);
  return link.slice(link.indexOf('#') + 1);
};
const signInLink = async (): Promise<string> =>
  ((await world.admin.call('POST', '/v1/sign-in-link', {})) as { url_token: string }).url_token;
const device = async (): Promise<DeviceLogin> =>
  given(post('/api/login/device', { public_key: formatPublicLine(generateKey().publicBlob), client: 'test' }));
/** Each approval of a login needs a sign-in of its own. */
const freshSession = (): string => fresh.pop()!;
const asked = async (): Promise<string> =>
  (await given<{ id: string }>(post('/api/requests', { roles: ['dba'], reason: 'x' }, dan.session))).id;
/** Invites dan into a live session. */
const invitation = async (): Promise<object> => {
  const session = '01hf7yat0000000000000000ab';
  const about = { session, user: 'somebody', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: {} };
  gateway ??= await clientOf(world.authority, { kind: 'gateway', name: 'gw', hostNames: ['127.0.0.1'] }, cleanup);
  await gateway.nodes.held({
    ...{ epoch: '0'.repeat(16), address: '', ingest: '', all: [], up: [], down: [] },
    sessions: { up: [session], down: [], details: [{ ...about, participants: [], others: 0, awaits: '' }] },
  });
  return { session, user: 'dan', mode: 'observer', duration: 60_000, reason: 'x' };
};
const invited = async (): Promise<string> => {
  const body = await invitation();
  inviter ??= await person(world.authority, world.folder, world.admin, 'ingo', ['inviter'], cleanup);
  return ((await inviter.call('POST', '/v1/session-invitations', body)) as { id: string }).id;
};
const savedBy = (session: string): Promise<Answer> => post('/api/saved-searches', { name: 'shadow', query: 'shadow' }, session);
const openedCase = (): Promise<{ id: string }> => given<{ id: string }>(post('/api/cases', { title: 'a case' }, ann.session));
const noteBy = async (session: string): Promise<Answer> => {
  const on = await recorded();
  const { ticket } = await given<{ ticket: string }>(send('GET', `/api/sessions/${on}/note-ticket`, { session }));
  return post('/api/notes', { session: on, offset: 1, ticket }, session);
};
const itemIn = (id: string): Promise<readonly { id: string }[]> =>
  given<readonly { id: string }[]>(post(`/api/cases/${id}/items`, { items: [{ kind: 'finding', finding: 'f' }] }, ann.session));
const newTotp = async (session: string): Promise<object> => {
  const { ceremony, secret } = await given<TotpEnrolment>(post('/api/account/totp', {}, session));
  return {
    kind: 'totp',
    ceremony,
    code: new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: world.now() }),
    label: 'other app',
  };
};
const follow = async (session: string): Promise<void> => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/sessions/${await recorded()}/live?after=0`, {
    headers: { origin: url, cookie: `steno_session=${session}` },
  });
  await new Promise<void>((resolve) =>
    socket
      .on('error', () => resolve())
      .on('close', () => resolve())
      .on('open', () => socket.terminate()),
  );
};

type Step = readonly [event: string, act: () => Promise<unknown>];
interface Case {
  /** A string names the test file that drives the route, if it needs a provider, a webhook or a gateway. */
  readonly done: Step | string;
  readonly refused: Step;
}
const unknownAccount = (method: string, path: string, event: string, body?: unknown): Step => [
  event,
  () => send(method, path, { session: NOBODY, ...(body === undefined ? {} : { body }) }),
];

const cases: Readonly<Record<string, Case>> = {
  'GET /api/sessions/:id/segments': reading('/segments', 'recording.view'),
  'GET /api/sessions/:id/segments/:n': reading('/segments/0', 'recording.view'),
  'GET /api/sessions/:id/opening': reading('/opening', 'recording.view'),
  'GET /api/sessions/:id/facts': reading('/facts', 'recording.view'),
  'GET /api/sessions/:id/events': reading('/events', 'recording.view'),
  'GET /api/sessions/:id/timeline': reading('/timeline', 'recording.view'),
  'GET /api/sessions/:id/commands': reading('/commands', 'recording.view'),
  'GET /api/sessions/:id/compare/:other': {
    done: [
      'recording.view',
      async () => send('GET', `/api/sessions/${await recorded()}/compare/${await recorded()}`, { session: ann.session }),
    ],
    refused: [
      'recording.view',
      async () => send('GET', `/api/sessions/${await recorded()}/compare/${await recorded()}`, { session: pat.session }),
    ],
  },
  'GET /api/sessions/:id/lines': reading('/lines', 'recording.view'),
  'GET /api/sessions/:id/files': reading('/files', 'recording.view'),
  'GET /api/sessions/:id/files/:n': {
    done: ['recording.export', async () => send('GET', `/api/sessions/${await recordedStream()}/files/1`, { session: ann.session })],
    refused: ['recording.export', async () => send('GET', `/api/sessions/${await recordedStream()}/files/1`, { session: pat.session })],
  },
  'GET /api/sessions/:id/export': reading('/export?format=txt', 'recording.export'),
  'GET /api/sessions/:id/live': {
    done: ['recording.follow', () => follow(ann.session)],
    refused: ['recording.follow', () => follow(pat.session)],
  },
  'GET /api/search': {
    done: ['recording.search', () => send('GET', '/api/search?q=line', { session: ann.session })],
    refused: ['recording.search', () => send('GET', '/api/search?q=line', { session: pat.session })],
  },
  'GET /api/patterns': {
    done: ['recording.search', () => send('GET', '/api/patterns', { session: ann.session })],
    refused: ['recording.search', () => send('GET', '/api/patterns', { session: pat.session })],
  },
  'GET /api/sessions/:id/alike': {
    done: ['recording.search', async () => send('GET', `/api/sessions/${await recorded()}/alike`, { session: ann.session })],
    refused: ['recording.view', async () => send('GET', `/api/sessions/${await recorded()}/alike`, { session: pat.session })],
  },
  'POST /api/hunts': {
    done: ['recording.search', () => post('/api/hunts', { rules: { kind: 'text', name: 'probe', text: PROBE } }, ann.session)],
    refused: ['recording.search', () => post('/api/hunts', { rules: { kind: 'text', name: 'probe', text: PROBE } }, pat.session)],
  },
  'POST /api/sql': {
    done: ['recording.query', () => post('/api/sql', { sql: 'SELECT count() FROM sessions' }, querier.session)],
    refused: ['recording.query', () => post('/api/sql', { sql: 'SELECT count() FROM sessions' }, pat.session)],
  },
  'GET /api/findings/:id': {
    done: ['recording.view', async () => send('GET', `/api/findings/${await foundIn(await recorded())}`, { session: ann.session })],
    refused: ['recording.view', async () => send('GET', `/api/findings/${await foundIn(await recorded())}`, { session: pat.session })],
  },
  'GET /api/sessions/:id/notes': reading('/notes', 'recording.view'),
  'GET /api/sessions/:id/note-ticket': reading('/note-ticket', 'recording.view'),
  'POST /api/saved-searches': {
    done: ['search.save', () => savedBy(ann.session)],
    refused: ['search.save', () => post('/api/saved-searches', { name: 'x', query: 'x' }, pat.session)],
  },
  'DELETE /api/saved-searches/:name': {
    done: [
      'search.delete',
      async () => send('DELETE', `/api/saved-searches/${(await given<{ id: string }>(savedBy(ann.session))).id}`, { session: ann.session }),
    ],
    refused: ['search.delete', () => send('DELETE', '/api/saved-searches/q-000000000000', { session: pat.session })],
  },
  'POST /api/notes': {
    done: ['note.add', () => noteBy(ann.session)],
    refused: ['note.add', async () => post('/api/notes', { session: await recorded(), offset: 1, ticket: NOBODY }, ann.session)],
  },
  'DELETE /api/notes/:name': {
    done: [
      'note.remove',
      async () => {
        const { id } = await given<{ id: string }>(noteBy(ann.session));
        return send('DELETE', `/api/notes/${id}`, { session: ann.session });
      },
    ],
    refused: ['note.remove', () => send('DELETE', '/api/notes/n-000000000000', { session: pat.session })],
  },
  'POST /api/cases': {
    done: ['case.create', openedCase],
    refused: ['case.create', () => post('/api/cases', { title: 'x' }, pat.session)],
  },
  'POST /api/cases/:name': {
    done: ['case.update', async () => post(`/api/cases/${(await openedCase()).id}`, { title: 'y' }, ann.session)],
    refused: ['case.update', () => post('/api/cases/c-0000000000', { title: 'y' }, pat.session)],
  },
  'POST /api/cases/:name/state': {
    done: ['case.state', async () => post(`/api/cases/${(await openedCase()).id}/state`, { act: 'investigate' }, ann.session)],
    refused: ['case.state', () => post('/api/cases/c-0000000000/state', { act: 'investigate' }, pat.session)],
  },
  'POST /api/cases/:name/items': {
    done: ['case.add', async () => itemIn((await openedCase()).id)],
    refused: ['case.add', () => post('/api/cases/c-0000000000/items', { items: [{ kind: 'finding', finding: 'f' }] }, pat.session)],
  },
  'POST /api/cases/:name/items/:item/removal': {
    done: [
      'case.remove',
      async () => {
        const { id } = await openedCase();
        const [item] = await itemIn(id);
        return post(`/api/cases/${id}/items/${item!.id}/removal`, {}, ann.session);
      },
    ],
    refused: ['case.remove', () => post('/api/cases/c-0000000000/items/i-000000000000/removal', {}, pat.session)],
  },
  'GET /api/cases/:id/review': {
    done: [
      'recording.export',
      async () => {
        const { id } = await openedCase();
        await post(`/api/cases/${id}/items`, { items: [{ kind: 'moment', session: await recorded(), offset: 1 }] }, ann.session);
        return send('GET', `/api/cases/${id}/review`, { session: ann.session });
      },
    ],
    refused: [
      'recording.export',
      async () => {
        await world.admin.call('PUT', '/v1/roles/looker', {
          ...{ kind: 'role', name: 'looker', view: 'none' },
          allow: { rules: [{ resources: ['case'], verbs: ['read'] }], sessions: [{ actions: ['list', 'view'] }] },
        });
        const looker = await world.enrol(`looker-${++made}`, ['looker']);
        const { id } = await openedCase();
        await post(`/api/cases/${id}/items`, { items: [{ kind: 'moment', session: await recorded(), offset: 1 }] }, ann.session);
        return send('GET', `/api/cases/${id}/review`, { session: looker.session });
      },
    ],
  },
  'POST /api/findings/:name/triage': {
    done: 'authority/detection/triage.test.ts',
    refused: ['finding.triage', () => post(`/api/findings/${'ab'.repeat(32)}/triage`, { state: 'acknowledged' }, pat.session)],
  },
  'GET /api/find': finding(''),
  'GET /api/find/hits': finding('/hits'),
  'GET /api/find/sessions': finding('/sessions'),
  'GET /api/find/overview': finding('/overview'),
  'POST /cluster/nodes': {
    done: 'authority/inventory/clusters/far-nodes.test.ts',
    refused: ['cluster.nodes', () => post('/cluster/nodes', { statement: '{}', signatures: ['none'] })],
  },
  'POST /api/sign-in': {
    done: ['web_session.start', async () => post('/api/sign-in', { token: await signInLink() })],
    refused: ['web_session.start', () => post('/api/sign-in', { token: NOBODY })],
  },
  'POST /api/login/local': {
    done: ['user.login', () => post('/api/login/local', { user: 'pat', password: PASSWORD, code: pat.recovery[0]! })],
    refused: ['user.login', () => post('/api/login/local', { user: 'pat', password: 'no', code: '000000' })],
  },
  'POST /api/login/passkey': {
    done: [
      'user.login',
      async () => {
        const authenticator = new SoftAuthenticator(WEB);
        const invitation = await token('key-user');
        const { challenge } = await given<{ challenge: string }>(post('/api/invitation/passkey', { token: invitation }));
        await given(
          post('/api/invitation/accept', {
            token: invitation,
            device: { kind: 'passkey', response: authenticator.register(challenge), label: 'key' },
          }),
        );
        const options = await given<{ challenge: string }>(post('/api/login/passkey-options'));
        return post('/api/login/passkey', { response: authenticator.answer(options.challenge) });
      },
    ],
    refused: ['user.login', () => post('/api/login/passkey', { response: new SoftAuthenticator(WEB).answer('never asked') })],
  },
  'GET /api/login/callback/:name': {
    done: 'test/sso/sso.test.ts',
    refused: ['user.login', () => send('GET', '/api/login/callback/none?state=x')],
  },
  'POST /api/login/callback/:name': {
    done: 'test/sso/sso.test.ts',
    refused: [
      'user.login',
      () =>
        send('POST', '/api/login/callback/none', {
          body: 'RelayState=x',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
    ],
  },
  'POST /api/login/connectors/:name': {
    done: 'test/sso/sso.test.ts',
    refused: ['user.login', () => post('/api/login/connectors/none', { next: '/' })],
  },
  'POST /api/login/device': {
    done: ['device_login.begin', device],
    refused: ['device_login.begin', () => post('/api/login/device', { public_key: 'none', client: 'test' })],
  },
  'POST /api/login/device/token': {
    done: [
      'user.login',
      async () => {
        const { device_code, user_code } = await device();
        await given(post('/api/login/device/decision', { user_code, approve: true }, freshSession()));
        return post('/api/login/device/token', { device_code });
      },
    ],
    refused: ['user.login', () => post('/api/login/device/token', { device_code: NOBODY })],
  },
  'POST /api/login/device/decision': {
    done: [
      'device_login.approve',
      async () => post('/api/login/device/decision', { user_code: (await device()).user_code, approve: true }, freshSession()),
    ],
    refused: unknownAccount('POST', '/api/login/device/decision', 'device_login.approve', { user_code: 'ABCD-EFGH', approve: true }),
  },
  'POST /api/terminal/certificate': {
    done: 'test/end-to-end/terminal.test.ts',
    refused: [
      'terminal.certify',
      () =>
        post(
          '/api/terminal/certificate',
          { public_key: formatPublicLine(generateKey().publicBlob), node: 'nowhere', login: 'root' },
          pat.session,
        ),
    ],
  },
  'POST /api/confirm/decision': {
    done: 'authority/people/login/session-confirmations.test.ts',
    refused: ['session_mfa.approve', () => post('/api/confirm/decision', { token: NOBODY, approve: true, code: '000000' }, ann.session)],
  },
  'POST /api/login/bot': {
    done: [
      'bot.join',
      async () => {
        const { token: joining } = (await world.admin.call('POST', '/v1/bots', { name: 'ci', roles: ['nothing'] })) as { token: string };
        return post('/api/login/bot', { token: joining, public_key: formatPublicLine(generateKey().publicBlob) });
      },
    ],
    refused: ['bot.join', () => post('/api/login/bot', { token: NOBODY, public_key: formatPublicLine(generateKey().publicBlob) })],
  },
  'POST /api/invitation/accept': {
    done: [
      'invitation.accept',
      async () => {
        const invitation = await token('invited');
        const { ceremony, secret } = await given<TotpEnrolment>(post('/api/invitation/totp', { token: invitation }));
        const code = new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: world.now() });
        return post('/api/invitation/accept', {
          token: invitation,
          password: PASSWORD,
          device: { kind: 'totp', ceremony, code, label: 'app' },
        });
      },
    ],
    refused: [
      'invitation.accept',
      () =>
        post('/api/invitation/accept', {
          token: NOBODY,
          password: PASSWORD,
          device: { kind: 'totp', ceremony: NOBODY, code: '000000', label: 'app' },
        }),
    ],
  },
  'POST /api/account/devices': {
    done: ['mfa_device.add', async () => post('/api/account/devices', { device: await newTotp(dan.session) }, dan.session)],
    refused: unknownAccount('POST', '/api/account/devices', 'mfa_device.add', {
      device: { kind: 'totp', ceremony: NOBODY, code: '000000', label: 'app' },
    }),
  },
  'DELETE /api/account/devices/:name': {
    done: [
      'mfa_device.remove',
      async () => {
        const own = await world.enrol(`two-${++made}`, ['nothing']);
        await given(post('/api/account/devices', { device: await newTotp(own.session) }, own.session));
        const { devices } = await given<{ devices: readonly { id: string }[] }>(send('GET', '/api/account', { session: own.session }));
        return send('DELETE', `/api/account/devices/${devices[0]!.id}`, { session: own.session });
      },
    ],
    refused: unknownAccount('DELETE', '/api/account/devices/mfa-1', 'mfa_device.remove'),
  },
  'PUT /api/account/password': {
    done: [
      'user.password',
      () => send('PUT', '/api/account/password', { session: dan.session, body: { password: 'walnut ferry copper tulip' } }),
    ],
    refused: ['user.password', () => send('PUT', '/api/account/password', { session: dan.session, body: { password: 'password' } })],
  },
  'POST /api/account/recovery-codes': {
    done: ['recovery_codes.create', () => post('/api/account/recovery-codes', {}, dan.session)],
    refused: unknownAccount('POST', '/api/account/recovery-codes', 'recovery_codes.create', {}),
  },
  'POST /api/requests': {
    done: ['request.create', asked],
    refused: ['request.create', () => post('/api/requests', { roles: ['dba'], reason: 'x' }, pat.session)],
  },
  'POST /api/requests/:name/review': {
    done: [
      'request.approve',
      async () => {
        await world.admin.call('PUT', '/v1/roles/lead', { kind: 'role', name: 'lead', allow: { approve: [{ roles: ['dba'] }] } });
        const lead = await world.enrol(`lead-${++made}`, ['lead']);
        return post(`/api/requests/${await asked()}/review`, { decision: 'approve' }, lead.session);
      },
    ],
    refused: ['request.review', async () => post(`/api/requests/${await asked()}/review`, { decision: 'approve' }, dan.session)],
  },
  'POST /api/requests/:name/cancel': {
    done: ['request.cancel', async () => post(`/api/requests/${await asked()}/cancel`, {}, dan.session)],
    refused: ['request.cancel', async () => post(`/api/requests/${await asked()}/cancel`, {}, pat.session)],
  },
  'POST /api/session-invitations': {
    done: ['session_invitation.create', async () => post('/api/session-invitations', await invitation(), ingo.session)],
    refused: ['session_invitation.create', async () => post('/api/session-invitations', await invitation(), pat.session)],
  },
  'POST /api/session-invitations/:name/revoke': {
    done: ['session_invitation.revoke', async () => post(`/api/session-invitations/${await invited()}/revoke`, {}, dan.session)],
    refused: ['session_invitation.revoke', async () => post(`/api/session-invitations/${await invited()}/revoke`, {}, pat.session)],
  },
  'POST /hooks/:name': {
    done: 'test/end-to-end/requests.test.ts',
    refused: ['webhook.answer', () => send('POST', '/hooks/none', { body: {} })],
  },
  // Last, because it ends the session. Signing out of an ended session is accepted silently; the viewer itself refuses calls from another site.
  'POST /api/sign-out': {
    done: ['web_session.end', () => post('/api/sign-out', {}, pat.session)],
    refused: ['', () => send('POST', '/api/sign-out', { session: pat.session, headers: { origin: 'http://elsewhere.invalid' } })],
  },
};

/** Questions with a body, which change nothing; the call that follows does. The authority's own test has their refusals. */
const questions: ReadonlySet<string> = new Set([
  'POST /api/login/passkey-options',
  'POST /api/login/device/facts',
  'POST /api/confirm/facts',
  'POST /api/invitation',
  'POST /api/invitation/password',
  'POST /api/invitation/totp',
  'POST /api/invitation/passkey',
  'POST /api/account/totp',
  'POST /api/account/passkey',
]);
/** Routes whose answers contain nothing of a recording. */
const plain: ReadonlySet<string> = new Set([
  'GET /cluster',
  'GET /api/me',
  'GET /api/sessions',
  'GET /api/sessions/:id',
  'GET /api/audit',
  'GET /api/access-use',
  'GET /api/views',
  'GET /api/find/values',
  'GET /api/sql/schema',
  'GET /api/findings',
  'GET /api/finding-counts',
  'GET /api/finding-response',
  'GET /api/cases',
  'GET /api/saved-searches',
  'GET /api/cases/:id',
  'GET /api/status',
  'GET /metrics',
  'GET /api/recording-ca',
  'GET /api/login/methods',
  'GET /api/login/saml/:name/metadata',
  'GET /api/account',
  'GET /api/terminal/nodes',
  // SSH bytes: the gateway decides about admission and audits it.
  'GET /api/terminal',
  'GET /api/requests',
  'GET /api/requests/:name',
  'GET /api/session-invitations',
  'GET /api/session-invitations/:name',
  'GET /api/rule-catalogue',
  'GET /api/request-options',
  'GET /*',
]);

async function rowsSince(act: () => Promise<unknown>): Promise<{ readonly rows: readonly AuditRow[]; readonly answer: unknown }> {
  const before = new Set((await world.audit()).map(({ id }) => id));
  const answer = await act();
  return { answer, rows: (await world.audit()).filter(({ id }) => !before.has(id)) };
}

describe('the routes of viewer/api', () => {
  it('are all in one of the tables, and the tables name no others', () => {
    const heads = viewer.routes.map(({ method, path }) => `${method} ${path}`);
    const known = [...Object.keys(cases), ...questions, ...plain];
    expect(heads.filter((head) => !known.includes(head))).toEqual([]);
    expect(known.filter((head) => !heads.includes(head))).toEqual([]);
  });

  it('are declared, except those of providers, webhooks and the files of the page', () => {
    const declared = servedByViewers.map(({ method, path }) => `${method} ${path}`);
    const heads = viewer.routes.map(({ method, path }) => `${method} ${path}`);
    const own = ['GET /api/login/callback/:name', 'POST /api/login/callback/:name', 'POST /hooks/:name', 'GET /*'];
    expect(heads.filter((head) => !declared.includes(head)).sort()).toEqual(own.sort());
    expect(declared.filter((head) => !heads.includes(head))).toEqual([]);
  });

  it('with GET only read, except the callback of a provider', () => {
    const changing = viewer.routes.filter(
      ({ method, path }) => method === 'GET' && !plain.has(`GET ${path}`) && !/^recording\./.test(cases[`GET ${path}`]!.refused[0]),
    );
    expect(changing.map(({ path }) => path)).toEqual(['/api/login/callback/:name']);
  });

  it('that are driven elsewhere name an existing file', () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    for (const { done } of Object.values(cases)) if (typeof done === 'string') expect(existsSync(join(root, done)), done).toBe(true);
  });

  it.each(Object.keys(cases))('%s, refused, leaves a row', async (head) => {
    const [event, act] = cases[head]!.refused;
    const { rows, answer } = await rowsSince(act);
    if (event === '') return expect(answer).toMatchObject({ status: 403 });
    expect(
      rows.find((row) => row.event === event && row.outcome === 'failure'),
      JSON.stringify([answer, rows]),
    ).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/), source_address: '127.0.0.1' });
  });

  it.each(Object.keys(cases).filter((head) => typeof cases[head]!.done !== 'string'))('%s, done, leaves a row', async (head) => {
    const [event, act] = cases[head]!.done as Step;
    const { rows, answer } = await rowsSince(act);
    expect(
      rows.find((row) => row.event === event && row.outcome === 'success'),
      JSON.stringify([answer, rows]),
    ).toMatchObject({ actor: expect.stringMatching(/./), source_address: '127.0.0.1', code: '' });
  });
});
