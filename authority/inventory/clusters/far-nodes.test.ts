import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ClusterNodes } from '#schemas/api/inventory/clusters.js';
import { NODES_NAMESPACE } from '#schemas/documents/cluster.js';
import type { SignedStatement } from '#schemas/documents/cluster.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { signMessage } from '#runtime/ssh/sshsig.js';
import { administrator, authorityIn, casIn, Cleanup, clientOf, person, temporaryFolder } from '../../testing/authority.js';
import type { Administrator, Signer } from '../../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

let folders: { readonly home: string; readonly away: string };
let [home, away]: [Administrator, Administrator] = [undefined as never, undefined as never];
let ann: Signer;
/** What the server at the address in away's statements does with a question; it may be anybody's server. */
let carry: (question: SignedStatement, toAway: (question: SignedStatement) => Promise<unknown>) => Promise<unknown>;
let asked: SignedStatement[];

beforeEach(async () => {
  folders = { home: temporaryFolder(cleanup), away: temporaryFolder(cleanup) };
  const [here, there] = [
    await authorityIn(folders.home, cleanup, { cluster: 'home' }),
    await authorityIn(folders.away, cleanup, { cluster: 'away' }),
  ];
  [home, away] = [await administrator(here, cleanup), await administrator(there, cleanup)];
  const viewer = await clientOf(there, { kind: 'viewer', name: 'v' }, cleanup);
  carry = (question, toAway) => toAway(question);
  asked = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const question = JSON.parse(Buffer.concat(chunks).toString()) as SignedStatement;
        asked.push(question);
        carry(question, (body) => viewer.relaying({ client: '192.0.2.1' })('POST', '/v1/cluster-nodes', body)).then(
          (answer) => response.end(JSON.stringify(answer)),
          () => response.writeHead(403).end('{}'),
        );
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => {
    server.closeAllConnections();
    server.close();
  });
  const updates = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cluster`;
  const statement = (of: Administrator, from: string | null): Promise<unknown> =>
    of.call('POST', '/v1/cluster-statement', { gateways: ['127.0.0.1:22'], updates: from });
  await home.call('PUT', '/v1/roles/ops', { kind: 'role', name: 'ops', allow: { nodes: { 'steno/cluster': 'away' }, logins: ['www'] } });
  await away.call('PUT', '/v1/roles/guest', { kind: 'role', name: 'guest', allow: { nodes: { env: 'dev' }, logins: ['www'] } });
  await home.call('PUT', '/v1/clusters/away', { signed: await statement(away, updates), role_map: {}, reach: true });
  await away.call('PUT', '/v1/clusters/home', { signed: await statement(home, null), role_map: { ops: ['guest'] }, reach: false });
  for (const [name, env] of [
    ['lab', 'dev'],
    ['vault', 'prod'],
  ] as const)
    await away.call('PUT', `/v1/nodes/${name}`, { name, kind: 'openssh', address: '127.0.0.1:22', labels: { env }, host_keys: [] });
  for (const name of ['ann', 'bob']) await home.call('POST', '/v1/users', { name, roles: ['ops'] });
  ann = await person(here, folders.home, home, 'ann', ['ops'], cleanup);
});

const listed = (who: Signer = ann): Promise<readonly ClusterNodes[]> =>
  who.call('GET', '/v1/cluster-nodes') as Promise<readonly ClusterNodes[]>;
const unreachable = [expect.objectContaining({ cluster: 'away', nodes: [], unreachable: expect.stringMatching(/./) })];

describe('nodes of a trusted cluster', () => {
  test('are those that its roles let the user reach, asked for once a minute', async () => {
    const expected = [
      { cluster: 'away', nodes: [{ name: 'lab.away', labels: { 'steno/cluster': 'away' }, state: 'agentless' }], unreachable: null },
    ];
    expect(await listed()).toEqual(expected);
    expect(await listed()).toEqual(expected);
    expect(asked).toHaveLength(1);
    expect(JSON.parse(asked[0]!.statement)).toMatchObject({ from: 'home', to: 'away', user: 'ann', roles: ['ops'] });
  });

  test('are left out where our own roles keep them from the user', async () => {
    await home.call('PUT', '/v1/roles/ops', {
      kind: 'role',
      name: 'ops',
      allow: { nodes: { 'steno/cluster': 'away' }, logins: ['www'] },
      deny: { nodes: { name: 'lab.away' } },
    });
    expect(await listed()).toMatchObject([{ cluster: 'away', nodes: [], unreachable: null }]);
  });

  test('of a cluster that does not answer are none, with one word why, and it is not asked at once again', async () => {
    carry = () => Promise.reject(new Error('on purpose'));
    expect(await listed()).toEqual(unreachable);
    expect(await listed()).toEqual(unreachable);
    expect(asked).toHaveLength(1);
  });

  test('of a cluster that has locked the user, or trusts us no more, are none', async () => {
    await away.call('PUT', '/v1/locks/l', { id: 'l', target_kind: 'user', target: 'ann_at_home', reason: 'r', expires_at: null });
    expect(await listed()).toEqual(unreachable);
    await away.call('DELETE', '/v1/clusters/home');
    expect(await listed(home)).toEqual(unreachable);
  });
});

describe('an answer does not count', () => {
  test.each<readonly [string, (answer: SignedStatement) => Promise<SignedStatement>]>([
    ['that was changed', async (answer) => ({ ...answer, statement: answer.statement.replace('lab', 'lob') })],
    [
      'that somebody else signed',
      async ({ statement }) => ({
        statement,
        signatures: [signMessage(generateKey(), Buffer.from(statement), { namespace: NODES_NAMESPACE })],
      }),
    ],
    [
      'that was given to another question',
      async (answer) => {
        const statement = answer.statement.replace(/"time":\d+/, '"time":1');
        return { statement, signatures: [...(await (await casIn(folders.away)).signStatement(Buffer.from(statement), NODES_NAMESPACE))] };
      },
    ],
    [
      'that is signed for another purpose',
      async ({ statement }) => ({ statement, signatures: [...(await (await casIn(folders.away)).signStatement(Buffer.from(statement)))] }),
    ],
  ])('%s', async (_what, change) => {
    carry = async (question, toAway) => change((await toAway(question)) as SignedStatement);
    expect(await listed()).toEqual(unreachable);
  });
});

describe('a question is refused', () => {
  const question = async (change: object, by = folders.home, namespace?: string): Promise<SignedStatement> => {
    const statement = JSON.stringify({
      version: 1,
      kind: 'question',
      from: 'home',
      to: 'away',
      user: 'ann',
      roles: ['ops'],
      time: Date.now(),
      ...change,
    });
    return { statement, signatures: [...(await (await casIn(by)).signStatement(Buffer.from(statement), namespace ?? NODES_NAMESPACE))] };
  };
  test.each<readonly [string, string, () => Promise<SignedStatement>]>([
    ['CLUSTER_UNTRUSTED', 'that is signed by another', () => question({}, folders.away)],
    ['CLUSTER_UNTRUSTED', 'that is signed for another purpose', () => question({}, folders.home, 'steno-cluster')],
    ['CLUSTER_UNTRUSTED', 'of a cluster that is not known', () => question({ from: 'c' })],
    ['CLUSTER_UNTRUSTED', 'to another cluster', () => question({ to: 'c' })],
    ['REQUEST_REPLAYED', 'from long ago', () => question({ time: Date.now() - 600_000 })],
    ['ACCESS_DENIED', 'for roles that no map names', () => question({ roles: ['dev'] })],
    ['BAD_REQUEST', 'that is none', () => question({ kind: 'answer' })],
  ])('%s: %s', async (code, _what, make) => {
    let refusal: unknown;
    carry = async (_question, toAway) => {
      refusal = await toAway(await make()).catch((error: unknown) => error);
      throw refusal;
    };
    expect(await listed()).toEqual(unreachable);
    expect(refusal).toMatchObject({ code });
  });
});
