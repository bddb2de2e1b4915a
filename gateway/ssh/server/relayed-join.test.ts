/**
 * A session joined through another gateway: it relays only the user who connected to it, only as the user signed, once, and nothing
 * else.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { roleSchema } from '#schemas/policy/role.js';
import { EXTENSION_ROLES, EXTENSION_USER, PRINCIPAL_NONE } from '#schemas/base/identity.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';
import { openRoles, person } from '../../testing/people.js';
import type { Person } from '../../testing/people.js';

let world: World;
let alice: Person;
let session: string;
let server: WebSocketServer;

beforeEach(async () => {
  world = await openWorld();
  world.authority.roles.push(...openRoles);
  alice = person(world.start('ssh', ['-F', world.sshConfig, '-tt', 'node-1', 'echo ready; read -r line']));
  await alice.until('ready');
  session = [...world.recorder.live][0]!;
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket) => world.gateway.takeRelayed(socket, 'other'));
  await once(server, 'listening');
});
afterEach(async () => {
  for (const client of server.clients) client.terminate();
  server.close();
  await world.close();
});

interface Wish {
  readonly user?: string;
  readonly role?: string;
  readonly mode?: string;
  /** The user name in the signature; without it, the name for the session and mode. */
  readonly signedFor?: string;
  readonly sessionId?: Buffer;
  /** The user whose key signs. */
  readonly signer?: string;
}

function request({ user = 'bob', role = 'helper', mode = 'observer', signedFor, sessionId, signer = user }: Wish = {}): object {
  const extensions = new Map([
    [EXTENSION_USER, user],
    [EXTENSION_ROLES, role],
  ]);
  for (const name of new Set([signer, user])) world.userKey(name, { keyId: name, principals: [PRINCIPAL_NONE], extensions });
  const blob = parseAuthorizedLine(readFileSync(`${world.directory}/${user}-cert.pub`, 'utf8').trim()).blob;
  const userName = signedFor ?? (mode === 'observer' ? `join.${session}` : `join.${session}.${mode}`);
  const key = loadPrivateKey(readFileSync(`${world.directory}/${signer}`, 'utf8'));
  return {
    version: 1,
    session,
    mode,
    user_certificate: Buffer.from(blob).toString('base64'),
    proof: signUserProof(key, blob, { userName, ...(sessionId === undefined ? {} : { sessionId }) }),
    source_address: '192.0.2.7',
  };
}

/** The gateway's answer to this first message, or null if it closes. */
async function ask(
  first: object | string | Buffer,
): Promise<{ readonly socket: WebSocket; readonly answer: Record<string, string> | null }> {
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(socket, 'open');
  const answer = new Promise<Record<string, string> | null>((resolve) => {
    socket.once('message', (data) => resolve(JSON.parse((data as Buffer).toString()) as Record<string, string>));
    socket.once('close', () => resolve(null));
  });
  socket.send(typeof first === 'string' || Buffer.isBuffer(first) ? first : JSON.stringify(first));
  return { socket, answer: await answer };
}

describe('another gateway', () => {
  it('relays a user who signed for this session and mode, once', async () => {
    const first = request();
    const { answer, socket } = await ask(first);
    expect(answer).toEqual({ kind: 'ready' });
    expect((await ask(first)).answer).toMatchObject({
      kind: 'refused',
      code: 'USER_PROOF_REFUSED',
      detail: expect.stringContaining('used before'),
    });
    // Opens the channel of a terminal as ssh does.
    const got: Buffer[] = [];
    const text = new Promise<void>((resolve) =>
      socket.on('message', (data) => {
        got.push(data as Buffer);
        if (Buffer.concat(got).includes('you watch')) resolve();
      }),
    );
    const string = (value: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
    const number = (...values: readonly number[]): Buffer =>
      Buffer.concat(values.map((value) => Buffer.from([0, value >> 16, (value >> 8) & 255, value & 255])));
    socket.send(Buffer.concat([Buffer.from([90]), string('session'), number(0, 100_000, 30_000)]));
    socket.send(
      Buffer.concat([Buffer.from([98]), number(0), string('pty-req'), Buffer.from([0]), string('xterm'), number(80, 24, 0, 0), string('')]),
    );
    socket.send(Buffer.concat([Buffer.from([98]), number(0), string('shell'), Buffer.from([0])]));
    await text;
    await alice.until('bob joined this session as observer');
    expect(world.recorder.audits).toContainEqual(
      expect.objectContaining({ event: 'session.joined', actor: 'bob', source_address: '192.0.2.7' }),
    );
    socket.close();
    await alice.until('bob left this session');
  });

  it.each<[string, Wish, string]>([
    ['another mode', { mode: 'peer', signedFor: 'join.SESSION' }, 'USER_PROOF_REFUSED'],
    ['another session', { signedFor: 'join.01jdv3k5m8q2w7x9y4z6a0b1c2' }, 'USER_PROOF_REFUSED'],
    ['a login on a node', { signedFor: 'root@node-1' }, 'USER_PROOF_REFUSED'],
  ])("cannot use a user's signature for %s", async (_what, { signedFor, ...wish }, code) => {
    const { answer } = await ask(request({ ...wish, signedFor: signedFor!.replace('SESSION', session) }));
    expect(answer).toMatchObject({ kind: 'refused', code });
    expect(world.recorder.audits).toContainEqual(
      expect.objectContaining({ event: 'session.join_refused', actor: 'gateway/other', code, session }),
    );
  });

  it('cannot relay a user of whom it only has the certificate', async () => {
    expect((await ask(request({ signer: 'mallory' }))).answer).toMatchObject({ kind: 'refused', code: 'USER_PROOF_REFUSED' });
  });

  it.each([
    ['stranger', 'observer', 'SESSION_NOT_LIVE'],
    ['watcher', 'peer', 'ACCESS_DENIED'],
  ])('cannot give a %s more rights: as %s it is %s', async (role, mode, code) => {
    expect((await ask(request({ role, mode }))).answer).toMatchObject({ kind: 'refused', code });
  });

  it('is told where the user confirms a second factor, and relays the user only after that', async () => {
    const careful = roleSchema.parse({
      ...{ kind: 'role', name: 'careful', view: 'none', require_session_mfa: true },
      allow: { sessions: [{ actions: ['list', 'join'], modes: ['observer'] }] },
    });
    world.authority.roles = [...world.authority.roles, careful];
    world.authority.changed();
    const questions: ((yes: boolean) => void)[] = [];
    world.authority.confirmed = () => new Promise((resolve) => void questions.push(resolve));
    for (const yes of [true, false]) {
      const { socket, answer } = await ask(request({ role: 'careful', user: yes ? 'bob' : 'carol' }));
      expect(answer).toMatchObject({ kind: 'confirm', node: 'node-1', url: expect.stringMatching(/^http:\/\/steno\.invalid\/confirm#/) });
      const next = once(socket, 'message');
      questions.at(-1)!(yes);
      const [said] = (await next) as [Buffer];
      expect(JSON.parse(said.toString())).toMatchObject(yes ? { kind: 'ready' } : { kind: 'refused', code: 'SESSION_UNCONFIRMED' });
    }
    // A user who leaves while being asked is forgotten, even if they confirm later.
    const { socket } = await ask(request({ role: 'careful', user: 'dave' }));
    socket.terminate();
    await once(socket, 'close');
    questions.at(-1)!(true);
    expect(world.recorder.audits.filter(({ event }) => event === 'session.joined')).toEqual([]);
  });

  it('is disconnected when it sends anything but messages of the connection protocol', async () => {
    for (const first of [Buffer.from('binary first'), Buffer.alloc(0)]) expect((await ask(first)).answer).toBeNull();
    for (const first of ['', '{', '{}', JSON.stringify({ ...request(), more: 1 })])
      expect((await ask(first)).answer).toMatchObject({ kind: 'refused', code: 'BAD_REQUEST' });
    for (const next of [Buffer.of(20), Buffer.of(50), Buffer.alloc(0), 'text']) {
      const { socket, answer } = await ask(request());
      expect(answer).toEqual({ kind: 'ready' });
      socket.send(next);
      await once(socket, 'close');
    }
    const { socket } = await ask(request());
    socket.send(Buffer.of(90, 0, 0));
    const [said] = (await once(socket, 'message')) as [Buffer];
    expect(JSON.parse(said.toString())).toMatchObject({ kind: 'disconnect' });
    await once(socket, 'close');
    alice.type('on\r');
    expect(await alice.closed).toBe(0);
  });
});
