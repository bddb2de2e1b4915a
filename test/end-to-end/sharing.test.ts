/** Sharing live sessions over two gateways of one Steno, with stock `ssh` and `steno join`: each gateway is a process of its own. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TotpEnrolment } from '#schemas/api/people/account.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Ca } from '../../authority/ca/ca.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { startSecondGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
const target = `${steno.login}@local`;
let second: SecondGateway;
let ca: Ca;
let [bob, carol, dora, mallory]: Person[] = [];

const apply = async (document: object): Promise<void> => {
  const path = join(steno.folder, 'document.yaml');
  writeFileSync(path, JSON.stringify(document));
  await must(steno.steno('apply', '-f', path));
};
/** The only live session in a terminal. */
const liveSession = async (): Promise<SessionInfo> =>
  (
    await eventually(
      () => viewerOf(steno).sessions({ state: 'live' }),
      (rows) => rows.some(({ tty, live }) => tty && live !== undefined),
    )
  ).find(({ tty, live }) => tty && live !== undefined)!;
const joining = (who: Person, ...args: readonly string[]): Terminal =>
  steno.terminal(process.execPath, [bin, 'join', ...args], undefined, { STENO_HOME: who.home });

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  await apply({
    ...{ kind: 'role', name: 'helper', view: 'none' },
    allow: { sessions: [{ actions: ['list', 'join', 'moderate'], modes: ['observer', 'peer', 'moderator'] }] },
  });
  await apply({ kind: 'role', name: 'stranger', view: 'none' });
  await apply({
    ...{ kind: 'role', name: 'inviter', view: 'none' },
    allow: { sessions: [{ actions: ['list', 'invite'], modes: ['observer', 'peer'] }] },
  });
  ca = await openAuthorities(steno);
  for (const name of ['bob', 'carol']) await must(steno.steno('users', 'add', name, '--roles', 'helper'));
  await must(steno.steno('users', 'add', 'dora', '--roles', 'inviter'));
  await must(steno.steno('users', 'add', 'mallory', '--roles', 'stranger'));
  bob = await person(steno, ca, 'bob', ['helper'], ['nobody']);
  carol = await person(steno, ca, 'carol', ['helper'], ['nobody']);
  dora = await person(steno, ca, 'dora', ['inviter'], ['nobody']);
  mallory = await person(steno, ca, 'mallory', ['stranger'], ['nobody']);
  second = await startSecondGateway(steno, 'second');
}, 90_000);
afterAll(
  () =>
    stopAll(
      () => second?.stop(),
      () => steno.dispose(),
    ),
  60_000,
);

describe('a session of another gateway', () => {
  let owner: Terminal;
  let session: SessionInfo;

  beforeAll(async () => {
    owner = second.terminal(target);
    await owner.until(/[$#] $/);
    session = await liveSession();
    expect(session.gateway).toBe('second');
  }, 30_000);
  afterAll(() => owner.kill());

  it('can be joined through the local gateway, and everybody sees the participants', async () => {
    const joined = joining(bob!, session.id, '--mode', 'peer');
    await joined.until(/you type into/);
    await owner.until(/bob joined this session as peer/);
    const shown = await eventually(
      () => viewerOf(steno).sessions({ state: 'live' }),
      (rows) => rows.some(({ live }) => live?.participants.length === 2),
    );
    expect(shown.find(({ id }) => id === session.id)!.live!.participants.map(({ user, mode }) => [user, mode])).toEqual([
      [session.user, 'owner'],
      ['bob', 'peer'],
    ]);
    expect((await must(steno.steno('sessions', '--live'))).stdout).toMatch(/bob \(peer, 0:\d\d\)/);
    joined.write('echo from-$((20 + 3))\r');
    await Promise.all([owner, joined].map((one) => one.until(/from-23/)));
    // More than fits into any window along the path, both ways.
    joined.write(`seq 1 60000 | tail -c 300000; echo done-$((1 + 1))\r`);
    await Promise.all([owner, joined].map((one) => one.until(/done-2/)));
    joined.write('\u001dq');
    expect(await joined.ended).toBe(0);
    await owner.until(/bob left this session/);
  }, 60_000);

  it('can be joined and moderated by stock ssh, and the recording names who joined', async () => {
    const joined = steno.terminal('ssh', ['-F', carol!.config, '-tt', '-l', `join.${session.id}.moderator`, 'steno-gateway']);
    await joined.until(/you moderate/);
    joined.write('p');
    await owner.until(/carol paused this session/);
    joined.write('r');
    await owner.until(/carol resumed this session/);
    joined.write('q');
    expect(await joined.ended).toBe(0);
    const rows = await eventually(
      () => viewerOf(steno).audit(),
      (found: readonly AuditRow[]) => found.filter(({ event, actor }) => event === 'session.left' && actor === 'carol').length === 1,
    );
    for (const event of ['session.joined', 'session.paused', 'session.resumed', 'session.left'])
      expect(rows.find((row) => row.event === event && row.actor === 'carol')).toMatchObject({
        session: session.id,
        source_address: '127.0.0.1',
      });
  }, 60_000);

  it('is refused to the same users as at its own gateway', async () => {
    const refused = joining(mallory!, session.id);
    await refused.until(/SESSION_NOT_LIVE/);
    expect(await refused.ended).toBe(255);
    const unknown = joining(bob!, `${session.id.slice(0, -4)}0000`);
    await unknown.until(/SESSION_NOT_LIVE/);
    expect(await unknown.ended).toBe(255);
  }, 60_000);

  it('admits an invited user once, nobody else, and no longer than the invitation says', async () => {
    const invite = (mode: string): Promise<SessionInvitationView> =>
      dora!.json('invite', session.id, '--user', 'mallory', '--mode', mode, '--for', '10m', '--reason', 'look at this');
    const refused = async (terminal: Terminal, code: RegExp): Promise<void> => {
      await terminal.until(code);
      expect(await terminal.ended).not.toBe(0);
    };
    const stock = (who: Person, ...parts: readonly string[]): Terminal =>
      steno.terminal('ssh', ['-F', who.config, '-tt', '-l', ['join', session.id, ...parts].join('.'), 'steno-gateway']);
    const { id, link } = await invite('peer');
    await refused(stock(carol!, 'peer', id), /SESSION_INVITATION_FOREIGN/);
    await refused(stock(mallory!, 'moderator', id), /SESSION_INVITATION_FOREIGN/);
    await refused(stock(mallory!, 'peer', 'i-0000000000000000'), /SESSION_INVITATION_OVER/);
    await refused(stock(mallory!, 'peer'), /SESSION_NOT_LIVE/);
    await refused(joining(carol!, id), /SESSION_INVITATION_FOREIGN/);
    const joined = joining(mallory!, link);
    await joined.until(/you type into/);
    await owner.until(/mallory joined this session as peer, invited by dora: look at this/);
    joined.write('echo invited-$((40 + 2))\r');
    await owner.until(/invited-42/);
    await refused(stock(mallory!, 'peer', id), /SESSION_INVITATION_USED/);
    expect(
      await eventually(
        () => dora!.json<SessionInvitationView[]>('invitations'),
        ([one]) => one?.state === 'used',
      ),
    ).toMatchObject([{ id, user: 'mallory', session: session.id, by: 'dora' }]);
    await must(dora!.steno('invitations', 'revoke', id));
    await refused(joined, /SESSION_INVITATION_OVER/);
    await owner.until(/mallory left this session/);
    await refused(joining(mallory!, id), /SESSION_INVITATION_OVER/);
    const rows: readonly AuditRow[] = await eventually(
      () => viewerOf(steno).audit(),
      (found) => found.some(({ event, actor }) => event === 'session.left' && actor === 'mallory'),
    );
    expect(rows.find(({ event, actor }) => event === 'session.joined' && actor === 'mallory')).toMatchObject({
      session: session.id,
      reason: 'look at this',
      data: expect.stringContaining(id),
    });
    for (const event of ['session_invitation.create', 'session_invitation.revoke'])
      expect(rows.find((row) => row.event === event)).toMatchObject({ actor: 'dora', target: id, session: session.id });
  }, 90_000);

  it('is left by a participant that a lock names, at any gateway', async () => {
    const joined = joining(bob!, session.id);
    await joined.until(/you watch/);
    await must(steno.steno('lock', '--user', 'bob', '--reason', 'incident 7'));
    await joined.until(/LOCKED/);
    expect(await joined.ended).toBe(255);
    await owner.until(/bob left this session/);
  }, 60_000);

  it('asks for a second factor through the local gateway, and admits a user who has given it', async () => {
    await apply({
      ...{ kind: 'role', name: 'careful', view: 'none', require_session_mfa: true },
      allow: { sessions: [{ actions: ['list', 'join'], modes: ['observer'] }] },
    });
    const { link } = await steno.json<{ link: string }>('users', 'add', 'erin', '--roles', 'careful');
    const token = link.slice(link.indexOf('#') + 1);
    const { origin } = new URL(steno.run.web);
    let cookie = '';
    const post = async <T>(path: string, data: object): Promise<T> => {
      const answer = await fetch(`${origin}${path}`, {
        method: 'POST',
        headers: { origin, cookie, 'content-type': 'application/json' },
        body: JSON.stringify(data),
      });
      const text = await answer.text();
      expect(answer.status, text).toBe(200);
      cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return JSON.parse(text) as T;
    };
    const { ceremony, secret } = await post<TotpEnrolment>('/api/invitation/totp', { token });
    const totp = new TOTP({ secret: Secret.fromBase32(secret) });
    const device = { kind: 'totp', ceremony, code: totp.generate(), label: 'app' };
    await post('/api/invitation/accept', { token, password: 'turnip gravel osprey lantern', device });
    const erin = await person(steno, ca, 'erin', ['careful'], ['nobody']);
    const joined = steno.terminal('ssh', ['-F', erin.config, '-tt', '-l', `join.${session.id}`, 'steno-gateway']);
    const asked = /\/confirm#([A-Za-z0-9_-]{43})/;
    await joined.until(asked);
    expect(joined.text()).not.toContain('you watch');
    // Each code is valid once.
    const code = totp.generate({ timestamp: Date.now() + 30_000 });
    await post('/api/confirm/decision', { token: asked.exec(joined.text())![1], approve: true, code });
    await joined.until(/you watch/);
    await owner.until(/erin joined this session as observer/);
    joined.write('q');
    expect(await joined.ended).toBe(0);
  }, 60_000);

  it('has in its recording who joined by which invitation, and why', async () => {
    owner.write('exit\r');
    await owner.ended;
    const cast = await eventually(
      () => viewerOf(steno).cast(session.id),
      (found) => found.includes(',"x",'),
    );
    expect(cast).toMatch(
      /"action":"joined","user":"mallory","mode":"peer"[^\n]*"invitation":\{"id":"i-[0-9a-z]{16}","by":"dora","reason":"look at this"\}/,
    );
  }, 60_000);
});

it('a session at a gateway that is gone is reported as over', async () => {
  const owner = second.terminal(target);
  await owner.until(/[$#] $/);
  const { id } = await liveSession();
  const joined = joining(carol!, id);
  await joined.until(/you watch/);
  await second.stop('SIGKILL');
  await joined.ended;
  const late = joining(carol!, id);
  await late.until(/SESSION_ELSEWHERE|SESSION_NOT_LIVE/);
  expect(await late.ended).toBe(255);
  owner.kill();
}, 60_000);
