/** Every route of the authority leaves an audit row when it refuses, and every changing route leaves one when it acts. */
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { responsePolicy } from '#schemas/documents/response-policy.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import type { AuthorityCall } from '#runtime/service/authority-http.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import type { RunningAuthority } from '../app.js';
import type { Route } from '../http/server.js';
import {
  Cleanup,
  administrator,
  authorityIn,
  clientOf,
  identityOf,
  onSocket,
  person,
  silent,
  temporaryFolder,
} from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
let authority: RunningAuthority;
let dataDir: string;
let admin: Administrator;
let dan: Signer;
let lena: Signer;
let plain: Signer;
let web: string;
let asViewer: (call: AuthorityCall) => Promise<unknown>;
let asAgent: (call: AuthorityCall) => Promise<unknown>;
let asAnalyzer: (call: AuthorityCall) => Promise<unknown>;
let gateway: Awaited<ReturnType<typeof clientOf>>;

beforeAll(async () => {
  dataDir = temporaryFolder(cleanup);
  // Every refusal of this file must have a row of its own.
  const responses = responsePolicy.parse({ responses: [{ rules: ['r9'], action: 'freeze' }] });
  authority = await authorityIn(dataDir, cleanup, { responses }, Date.now, { refusalBurst: 10_000 });
  admin = await administrator(authority, cleanup);
  const role = (name: string, more: object): Promise<unknown> => admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, ...more });
  await role('dba', { allow: { nodes: { '*': '*' }, logins: ['postgres'] } });
  await role('dev', { allow: { nodes: { '*': '*' }, logins: ['{user}'], request: [{ roles: ['dba'] }] } });
  await role('lead', { allow: { approve: [{ roles: ['dba'] }] } });
  await role('nothing', {});
  for (const [name, of] of [
    ['dan', 'dev'],
    ['lena', 'lead'],
    ['pat', 'nothing'],
  ] as const)
    await admin.call('POST', '/v1/users', { name, roles: [of] });
  dan = await person(authority, dataDir, admin, 'dan', ['dev'], cleanup);
  lena = await person(authority, dataDir, admin, 'lena', ['lead'], cleanup);
  plain = await person(authority, dataDir, admin, 'pat', ['nothing'], cleanup);
  const caller = async (kind: 'viewer' | 'agent' | 'analyzer'): Promise<(call: AuthorityCall) => Promise<unknown>> => {
    const identity = await identityOf(authority, { kind, name: kind }, cleanup);
    const agent = new Agent(identity.tlsClientOptions(['authority']));
    cleanup.add(() => agent.destroy());
    return (call) => callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, call);
  };
  [asViewer, asAgent, asAnalyzer] = [await caller('viewer'), await caller('agent'), await caller('analyzer')];
  gateway = await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
  const { url_token: token } = (await dan.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
  ({ token: web } = (await asViewer({ method: 'POST', target: '/v1/sign-in', body: { token } })) as { token: string });
});
afterAll(() => cleanup.run());

async function rowsSince<T>(act: () => Promise<T>): Promise<{ readonly rows: readonly AuditRow[]; readonly error: unknown }> {
  const state = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
  try {
    const read = async (): Promise<readonly AuditRow[]> =>
      (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
    const before = new Set((await read()).map(({ id }) => id));
    const error = await act().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    return { rows: (await read()).filter(({ id }) => !before.has(id)), error };
  } finally {
    await state.destroy();
  }
}

const concrete = (path: string): string => path.replace(/:name/g, 'something').replace(/:(\w+)/g, '$1');
/** An authenticated caller whom the route does not admit, or who lacks the permission. */
function outsider({ admits, method, path }: Pick<Route, 'admits' | 'method' | 'path'>): () => Promise<unknown> {
  const target = concrete(path);
  const call: AuthorityCall = { method, target, ...(method === 'GET' || method === 'DELETE' ? {} : { body: { no: 'such field' } }) };
  if (admits.every((who) => who === 'owner')) return () => onSocket(authority, call);
  return admits.includes('user') || admits.includes('viewer') ? () => asAgent(call) : () => plain.call(call.method, call.target, call.body);
}

describe('what is refused leaves a row with actor, target, outcome, code, reason and source:', () => {
  test('every route of the table', async () => {
    expect(authority.routes.length).toBeGreaterThan(50);
    const missing: string[] = [];
    for (const entry of authority.routes) {
      // Answers anybody, and requires nothing.
      if (entry.path === '/healthz') continue;
      // Admits only the owner, who can only be refused for a bad body; without a body there is nothing to refuse.
      if (entry.admits.every((who) => who === 'owner') && entry.method === 'GET') continue;
      const { rows, error } = await rowsSince(outsider(entry));
      const head = `${entry.method} ${entry.path}`;
      if ((entry.admits.includes('service') || entry.admits.includes('agent')) && error === null) continue;
      const row = rows.find(({ event, outcome }) => event === entry.event && outcome === 'failure');
      if (
        row === undefined ||
        row.code === '' ||
        row.reason === '' ||
        (row.actor === '' && !entry.admits.includes('stranger')) ||
        row.source_address === '' ||
        (entry.path.includes(':name') && row.target === '')
      )
        missing.push(`${head}: ${JSON.stringify(row ?? rows)}`);
    }
    expect(missing).toEqual([]);
  }, 120_000);

  test('also from who is nobody at all', async () => {
    const agent = new Agent({ ca: admin.login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    const { rows } = await rowsSince(() =>
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'PUT', target: '/v1/locks/x', body: {} }),
    );
    expect(rows).toMatchObject([
      {
        event: 'lock.put',
        actor: '',
        outcome: 'failure',
        code: 'NOT_SIGNED_IN',
        target: 'x',
        source_address: expect.stringMatching(/127\.0\.0\.1|::1/),
      },
    ]);
  });
});

const key = (): string => formatPublicLine(generateKey().publicBlob);
const inBrowser = (call: AuthorityCall): Promise<unknown> =>
  asViewer({ ...call, headers: { 'x-steno-web-session': web, 'x-steno-client': '192.0.2.1' } });
const invited = async (): Promise<{ readonly id: string }> => {
  const session = '01hf7yat0000000000000000ab';
  await admin.call('PUT', '/v1/roles/lead', {
    ...{ kind: 'role', name: 'lead' },
    allow: { approve: [{ roles: ['dba'] }], sessions: [{ actions: ['invite'] }] },
  });
  const about = { session, user: 'somebody', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: {} };
  await gateway.nodes.held({
    ...{ epoch: '0'.repeat(16), address: '', ingest: '', all: [], up: [], down: [] },
    sessions: { up: [session], down: [], details: [{ ...about, participants: [], others: 0, awaits: '' }] },
  });
  const body = { session, user: 'dan', mode: 'observer', duration: 60_000, reason: 'x' };
  return (await lena.call('POST', '/v1/session-invitations', body)) as { readonly id: string };
};
const asked = (): Promise<AccessRequest> => dan.call('POST', '/v1/requests', { roles: ['dba'], reason: 'x' }) as Promise<AccessRequest>;
const service = async (kind: 'agent') => ({
  kind,
  name: 'other',
  service_key: (await import('node:crypto'))
    .generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .publicKey.export({ type: 'spki', format: 'pem' }),
});

/** A viewer that joins with a token, by its name. */
async function joinedViewer(): Promise<string> {
  const { token, ca_pins: pins } = (await admin.call('POST', '/v1/service-tokens', {
    kind: 'viewer',
    ttl_ms: 60_000,
  })) as ServiceTokenCreated;
  const name = `v${(viewers += 1)}`;
  const join = { authorities: [authority.addresses.tls], token: () => token, pins };
  const identity = await openServiceIdentity(
    { kind: 'viewer', name, dir: temporaryFolder(cleanup), join },
    { log: silent, clock: Date.now },
  );
  cleanup.add(() => identity.close());
  return name;
}
let viewers = 0;

const NOTED = '01jdv3k5m8q2w7x9y4z6a0b1c2';
const ticket = async (): Promise<string> =>
  ((await asViewer({ method: 'POST', target: '/v1/note-tickets', body: { user: admin.login.user, session: NOTED } })) as { ticket: string })
    .ticket;
const openedCase = async (): Promise<string> => ((await admin.call('POST', '/v1/cases', { title: 'a case' })) as { id: string }).id;

/** A success of each changing route, and the event of its row. */
async function hashesImported(name: string): Promise<unknown> {
  const id = 'ab'.repeat(8);
  await admin.call('PUT', `/v1/hash-lists/${name}/pieces`, { import: id, piece: 1, hashes: Buffer.alloc(32, 7).toString('base64') });
  return admin.call('POST', `/v1/hash-lists/${name}`, { import: id, pieces: 1, file: 'good.sha256' });
}

const successes: Readonly<Record<string, readonly [event: string, act: () => Promise<unknown>]>> = {
  'POST /v1/login': ['user.login', () => onSocket(authority, { method: 'POST', target: '/v1/login', body: { public_key: key() } })],
  'POST /v1/enroll': [
    'service.enroll',
    async () => onSocket(authority, { method: 'POST', target: '/v1/enroll', body: await service('agent') }),
  ],
  'PUT /v1/ingest': [
    'ingest.set',
    () => onSocket(authority, { method: 'PUT', target: '/v1/ingest', body: { url: 'wss://127.0.0.1:1/uplink' } }),
  ],
  'POST /v1/sign-in-link': ['sign_in_link.create', () => dan.call('POST', '/v1/sign-in-link', {})],
  'POST /v1/renew': [
    'service.renew',
    async () => asAgent({ method: 'POST', target: '/v1/renew', body: { service_key: (await service('agent')).service_key } }),
  ],
  'POST /v1/host-certificate': [
    'host_certificate.issue',
    () => admin.call('POST', '/v1/host-certificate', { public_key: key(), name: 'web-1' }),
  ],
  'POST /v1/session-certificate': [
    'session_certificate.issue',
    async () => {
      await admin.call('PUT', '/v1/nodes/here', { name: 'here', kind: 'openssh', address: '127.0.0.1:22', labels: {}, host_keys: [] });
      return gateway.sessionCertificate({
        user: admin.login.user,
        login: 'root',
        node: 'here',
        public_key: key(),
        source_address: '192.0.2.9',
        user_certificate: Buffer.from(admin.certificate).toString('base64'),
        proof: signUserProof(admin.key, admin.certificate, { userName: 'root' }),
      });
    },
  ],
  'POST /v1/session-places': [
    'session_place.take',
    () => gateway.places.take({ run: '0123456789abcdef', number: 1, user: 'dan', max: 1, ended: [] }),
  ],
  'POST /v1/sign-in': [
    'web_session.start',
    async () =>
      asViewer({
        method: 'POST',
        target: '/v1/sign-in',
        body: { token: ((await dan.call('POST', '/v1/sign-in-link', {})) as { url_token: string }).url_token },
      }),
  ],
  'DELETE /v1/web-session': [
    'web_session.end',
    async () => {
      const { url_token: token } = (await dan.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
      const begun = (await asViewer({ method: 'POST', target: '/v1/sign-in', body: { token } })) as { token: string };
      return asViewer({ method: 'DELETE', target: '/v1/web-session', headers: { 'x-steno-web-session': begun.token } });
    },
  ],
  'POST /v1/terminal/certificate': [
    'terminal.certify',
    async () => {
      await admin.call('PUT', '/v1/nodes/here', { name: 'here', kind: 'openssh', address: '127.0.0.1:22', labels: {}, host_keys: [] });
      return inBrowser({
        method: 'POST',
        target: '/v1/terminal/certificate',
        body: { public_key: key(), node: 'here', login: 'dan' },
      });
    },
  ],
  'PUT /v1/nodes/self': [
    'node.register',
    () => asAgent({ method: 'PUT', target: '/v1/nodes/self', body: { address: '127.0.0.1:22', labels: {}, host_keys: [] } }),
  ],
  'PUT /v1/nodes/:name': [
    'node.put',
    () => admin.call('PUT', '/v1/nodes/n1', { name: 'n1', kind: 'openssh', address: '127.0.0.1:22', labels: {}, host_keys: [] }),
  ],
  'DELETE /v1/nodes/:name': ['node.delete', () => admin.call('DELETE', '/v1/nodes/n1')],
  'PUT /v1/kube-clusters/:name': [
    'kube_cluster.put',
    () =>
      admin.call('PUT', '/v1/kube-clusters/k1', {
        labels: {},
        upstream: { url: 'https://127.0.0.1:6443', credential: { kind: 'token', token: 't' } },
      }),
  ],
  'DELETE /v1/kube-clusters/:name': ['kube_cluster.delete', () => admin.call('DELETE', '/v1/kube-clusters/k1')],
  'PUT /v1/locks/:name': [
    'lock.put',
    () => admin.call('PUT', '/v1/locks/l1', { id: 'l1', target_kind: 'user', target: 'mallory', reason: 'r', expires_at: null }),
  ],
  'DELETE /v1/locks/:name': ['lock.delete', () => admin.call('DELETE', '/v1/locks/l1')],
  'POST /v1/session-notices': [
    'session_notice.post',
    () => admin.call('POST', '/v1/session-notices', { session: '01jdv3k5m8q2w7x9y4z6a0b1c2', text: 'please log out' }),
  ],
  'POST /v1/roles': ['role.put', () => admin.call('POST', '/v1/roles', { documents: [{ source: 'kind: role\nname: fresh\n' }] })],
  'PUT /v1/roles/:name': ['role.put', () => admin.call('PUT', '/v1/roles/fresh', { kind: 'role', name: 'fresh', view: 'none' })],
  'DELETE /v1/roles/:name': ['role.delete', () => admin.call('DELETE', '/v1/roles/fresh')],
  'POST /v1/users': ['user.create', () => admin.call('POST', '/v1/users', { name: 'new', roles: ['dev'] })],
  'PUT /v1/users/:name': ['user.update', () => admin.call('PUT', '/v1/users/new', { roles: ['lead'] })],
  'POST /v1/users/:name/disable': ['user.disable', () => admin.call('POST', '/v1/users/new/disable', {})],
  'POST /v1/users/:name/enable': ['user.enable', () => admin.call('POST', '/v1/users/new/enable')],
  'POST /v1/users/:name/reset': ['user.reset', () => admin.call('POST', '/v1/users/new/reset')],
  'DELETE /v1/users/:name': ['user.delete', () => admin.call('DELETE', '/v1/users/new')],
  'POST /v1/user-names/:name/release': ['user_name.release', () => admin.call('POST', '/v1/user-names/new/release')],
  'POST /v1/requests': ['request.create', asked],
  'POST /v1/requests/:name/review': [
    'request.approve',
    async () => lena.call('POST', `/v1/requests/${(await asked()).id}/review`, { decision: 'approve' }),
  ],
  'POST /v1/requests/:name/cancel': [
    'request.cancel',
    async () => inBrowser({ method: 'POST', target: `/v1/requests/${(await asked()).id}/cancel`, body: {} }),
  ],
  'POST /v1/session-invitations': ['session_invitation.create', invited],
  'POST /v1/session-invitations/:name/revoke': [
    'session_invitation.revoke',
    async () => lena.call('POST', `/v1/session-invitations/${(await invited()).id}/revoke`),
  ],
  'POST /v1/request-certificate': ['user.login', () => dan.call('POST', '/v1/request-certificate', { public_key: key(), requests: [] })],
  'PUT /v1/webhooks/:name': [
    'webhook.put',
    () =>
      admin.call('PUT', '/v1/webhooks/w', {
        kind: 'webhook',
        name: 'w',
        format: 'json',
        url: 'http://127.0.0.1:1/',
        secret: { file: 'none' },
      }),
  ],
  'PUT /v1/siem-destinations/:name': [
    'siem.put',
    () => admin.call('PUT', '/v1/siem-destinations/s', { kind: 'siem', name: 's', format: 'ocsf', url: 'http://127.0.0.1:1/' }),
  ],
  'DELETE /v1/siem-destinations/:name': ['siem.delete', () => admin.call('DELETE', '/v1/siem-destinations/s')],
  'DELETE /v1/webhooks/:name': ['webhook.delete', () => admin.call('DELETE', '/v1/webhooks/w')],
  'POST /v1/access-decisions': [
    'access.decide',
    () => admin.call('POST', '/v1/access-decisions', { user: 'dan', role: 'dev', decision: 'keep', reason: 'x' }),
  ],
  'POST /v1/rules': [
    'rule.put',
    () => admin.call('POST', '/v1/rules', { rules: [{ id: 'r1', kind: 'rule', title: 'R', level: 'low', text: 'title: R' }] }),
  ],
  'PUT /v1/rules/:name/enabled': ['rule.enable', () => admin.call('PUT', '/v1/rules/r1/enabled', { enabled: false })],
  'DELETE /v1/rules/:name': ['rule.delete', () => admin.call('DELETE', '/v1/rules/r1')],
  'POST /v1/honey-tokens': ['honey.add', () => admin.call('POST', '/v1/honey-tokens', { kind: 'path', text: '/srv/decoy', note: '' })],
  'DELETE /v1/honey-tokens/:name': [
    'honey.remove',
    async () => {
      const { id } = (await admin.call('POST', '/v1/honey-tokens', { kind: 'path', text: '/srv/other-decoy', note: '' })) as { id: string };
      return admin.call('DELETE', `/v1/honey-tokens/${id}`);
    },
  ],
  'POST /v1/hash-lists/:name': ['hashes.import', () => hashesImported('good')],
  'DELETE /v1/hash-lists/:name': [
    'hashes.remove',
    async () => {
      await hashesImported('gone');
      return admin.call('DELETE', '/v1/hash-lists/gone');
    },
  ],
  'POST /v1/suppressions': [
    'suppression.create',
    () => admin.call('POST', '/v1/suppressions', { scope: { rule: 'r1' }, reason: 'x', duration: 60_000 }),
  ],
  'DELETE /v1/suppressions/:name': [
    'suppression.delete',
    async () => {
      const body = { scope: { rule: 'r1' }, reason: 'x', duration: 60_000 };
      const { id } = (await admin.call('POST', '/v1/suppressions', body)) as { id: string };
      return admin.call('DELETE', `/v1/suppressions/${id}`);
    },
  ],
  'POST /v1/findings/:name/response': [
    'response.take',
    () =>
      asAnalyzer({
        method: 'POST',
        target: '/v1/findings/f1/response',
        body: {
          ...{ rule: 'r9', title: 't', severity: 'high', tier: 'alert', at: Date.now() },
          ...{ session: '01jdv3k5m8q2w7x9y4z6a0b1c2', user: 'mallory', node: 'n', login: 'l', reason: 'r', roles: [] },
        },
      }),
  ],
  'POST /v1/findings/:name/triage': ['finding.triage', () => admin.call('POST', '/v1/findings/f1/triage', { state: 'acknowledged' })],
  'POST /v1/notes': ['note.add', async () => admin.call('POST', '/v1/notes', { session: NOTED, offset: 1, ticket: await ticket() })],
  'DELETE /v1/notes/:name': [
    'note.remove',
    async () => {
      const { id } = (await admin.call('POST', '/v1/notes', { session: NOTED, offset: 2, ticket: await ticket() })) as { id: string };
      return admin.call('DELETE', `/v1/notes/${id}`);
    },
  ],
  'POST /v1/saved-searches': ['search.save', () => admin.call('POST', '/v1/saved-searches', { name: 'one', query: 'shadow' })],
  'DELETE /v1/saved-searches/:name': [
    'search.delete',
    async () => {
      const { id } = (await admin.call('POST', '/v1/saved-searches', { name: 'other', query: 'shadow' })) as { id: string };
      return admin.call('DELETE', `/v1/saved-searches/${id}`);
    },
  ],
  'POST /v1/cases': ['case.create', () => admin.call('POST', '/v1/cases', { title: 'a case' })],
  'POST /v1/cases/:name': ['case.update', async () => admin.call('POST', `/v1/cases/${await openedCase()}`, { title: 'another' })],
  'POST /v1/cases/:name/state': [
    'case.state',
    async () => admin.call('POST', `/v1/cases/${await openedCase()}/state`, { act: 'investigate' }),
  ],
  'POST /v1/cases/:name/items': [
    'case.add',
    async () => admin.call('POST', `/v1/cases/${await openedCase()}/items`, { items: [{ kind: 'finding', finding: 'f1' }] }),
  ],
  'POST /v1/cases/:name/items/:item/removal': [
    'case.remove',
    async () => {
      const id = await openedCase();
      const [item] = (await admin.call('POST', `/v1/cases/${id}/items`, { items: [{ kind: 'finding', finding: 'f1' }] })) as {
        id: string;
      }[];
      return admin.call('POST', `/v1/cases/${id}/items/${item!.id}/removal`, {});
    },
  ],
  'POST /v1/bots': ['bot.create', () => admin.call('POST', '/v1/bots', { name: 'ci', roles: ['dev'] })],
  'POST /v1/bots/:name/token': ['bot_token.create', () => admin.call('POST', '/v1/bots/ci/token', {})],
  'POST /v1/bots/:name/reset': ['bot.reset', () => admin.call('POST', '/v1/bots/ci/reset', {})],
  'POST /v1/tokens': ['token.create', () => admin.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels: {}, node_labels: [] })],
  'DELETE /v1/tokens/:id': [
    'token.delete',
    async () =>
      admin.call(
        'DELETE',
        `/v1/tokens/${((await admin.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels: {}, node_labels: [] })) as { id: string }).id}`,
      ),
  ],
  'POST /v1/service-tokens': ['service_token.create', () => admin.call('POST', '/v1/service-tokens', { kind: 'gateway', ttl_ms: 60_000 })],
  'DELETE /v1/service-tokens/:id': [
    'service_token.delete',
    async () => {
      const { id } = (await admin.call('POST', '/v1/service-tokens', { kind: 'ingest', ttl_ms: 60_000 })) as { id: string };
      return admin.call('DELETE', `/v1/service-tokens/${id}`);
    },
  ],
  'DELETE /v1/services/:kind/:name': ['service.remove', async () => admin.call('DELETE', `/v1/services/viewer/${await joinedViewer()}`)],
  'POST /v1/services/join': ['service.join', joinedViewer],
  'POST /v1/login/device': [
    'device_login.begin',
    () => asViewer({ method: 'POST', target: '/v1/login/device', body: { public_key: key(), client: 'test' } }),
  ],
  'POST /v1/cluster-statement': [
    'cluster.export',
    () => admin.call('POST', '/v1/cluster-statement', { gateways: ['127.0.0.1:22'], updates: null }),
  ],
  'PUT /v1/ca/:name/rotation': ['ca.rotate', () => admin.call('PUT', '/v1/ca/recording/rotation', { phase: 'init' })],
};

/** Successes that need another machine, an authenticator or a person, and are tested elsewhere; here they are only refused. */
const elsewhere: ReadonlySet<string> = new Set([
  'POST /v1/invitation/accept',
  'POST /v1/account/devices',
  'DELETE /v1/account/devices/:name',
  'PUT /v1/account/password',
  'POST /v1/account/recovery-codes',
  'POST /v1/login/local',
  'POST /v1/login/passkey',
  'POST /v1/login/callback/:name',
  'POST /v1/login/device/token',
  'POST /v1/login/device/decision',
  'PUT /v1/clusters/:name',
  'POST /v1/clusters/:name/refresh',
  'DELETE /v1/clusters/:name',
  'POST /v1/ca-seal',
  'POST /v1/webhooks/:name/answer',
  'POST /v1/disclosures',
  'POST /v1/bots/join',
  'POST /v1/bots/renew',
  'POST /v1/session-confirmations',
  'POST /v1/kube-confirmations',
  'POST /v1/confirm/decision',
  'PUT /v1/connectors/:name',
  'DELETE /v1/connectors/:name',
  'POST /v1/nodes/join',
  'POST /v1/nodes/signed',
  'PUT /v1/nodes/held',
  'POST /v1/services/renew',
]);
/** Refreshed every few seconds: the grant is audited when it is granted. */
const kept: ReadonlySet<string> = new Set([
  'PUT /v1/session-places',
  'PUT /v1/lock-effects',
  'POST /v1/leases/acquire',
  'POST /v1/leases/renew',
  'POST /v1/leases/release',
  'POST /v1/leases/held',
  'PUT /v1/rule-states',
  'PUT /v1/rule-catalogue',
  // Each suppressed finding leaves a row; for others, the sending is audited.
  'POST /v1/finding-announcements',
  // A taken search is reported later; the report leaves a row if there are new hits, or if the search begins to fail.
  'POST /v1/saved-search-runs',
  'POST /v1/saved-search-results',
]);
/** Requests with a body that change nothing: the act is the following call. */
const questions: ReadonlySet<string> = new Set([
  'POST /v1/invitation',
  'POST /v1/invitation/totp',
  'POST /v1/invitation/passkey',
  'POST /v1/account/totp',
  'POST /v1/account/passkey',
  'POST /v1/login/passkey-options',
  'POST /v1/login/connectors/:name',
  'POST /v1/login/parked/:name',
  'POST /v1/login/device/facts',
  'POST /v1/access/check',
  'POST /v1/invitation/password',
  'POST /v1/session-confirmations/state',
  'POST /v1/confirm/facts',
  'POST /v1/nodes/challenge',
  'POST /v1/cluster-nodes',
  'POST /v1/live-sessions/read',
  'POST /v1/rule-set',
  'POST /v1/honey-set',
  'POST /v1/siem-set',
  'POST /v1/hash-set',
  'POST /v1/hash-set/piece',
  // Nothing is in force before the import is finished, which leaves a row.
  'PUT /v1/hash-lists/:name/pieces',
  'POST /v1/session-notes',
  'POST /v1/note-tickets',
]);

describe('what is done leaves a row', () => {
  test('of each route that changes something, there is a case', () => {
    const changing = authority.routes.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`);
    expect(
      changing.filter((head) => !Object.hasOwn(successes, head) && !elsewhere.has(head) && !kept.has(head) && !questions.has(head)),
    ).toEqual([]);
  });
  test.each(Object.keys(successes))('%s', async (head) => {
    if (!authority.routes.some(({ method, path }) => `${method} ${path}` === head)) throw new Error(`there is no route ${head}`);
    const [event, act] = successes[head]!;
    const { rows, error } = await rowsSince(act);
    expect(error).toBeNull();
    const row = rows.find((found) => found.event === event && found.outcome === 'success');
    expect(row, JSON.stringify(rows)).toMatchObject({
      actor: expect.stringMatching(/./),
      source_address: expect.stringMatching(/./),
      code: '',
    });
    expect(row!.at).toBeGreaterThan(0);
  });
});
