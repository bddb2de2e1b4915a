/** Sessions in pods that need moderators, or that others join, over WebSocket and SPDY. */
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { CHANNEL } from '#schemas/kube/remote-command.js';
import type { ParticipantMode } from '#schemas/session-join.js';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';
import type { SpdyEnd } from '../testing/spdy-client.js';

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterAll(() => world.close());
const demand = (moderation?: object): void => {
  world.snapshot = {
    ...world.snapshot,
    roles: [kubeRole('dev', [{ groups: ['devs'] }], moderation === undefined ? {} : { moderation })],
  };
  world.changed();
};
beforeEach(() => {
  world.renew();
  demand({});
  world.answer = (_, response) => void response.end('{}');
});

const POD = '/east/api/v1/namespaces/shop/pods/web-1';
const COMMAND = `${POD}/exec?command=sh&stdin=true&stdout=true&stderr=true`;
const TERMINAL = `${POD}/exec?command=sh&stdin=true&stdout=true&tty=true`;
const frame = (channel: number, text: string): Buffer => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const closed = (side: WebSocket): Promise<unknown> => (side.readyState === 3 ? Promise.resolve() : once(side, 'close'));
const asked = (): number => world.seen.filter(({ url }) => url.includes('/exec')).length;
/** Waits until the last session has begun to discard input this many times. */
const discarded = (times: number) =>
  expect
    .poll(
      () =>
        world.recorder
          .recordings()
          .at(-1)!
          .lines.filter((line) => line.code === 'g' && line.data.reason === 'input_discarded').length,
    )
    .toBe(times);
const status = (got: readonly Buffer[]): string => Buffer.concat(got.filter((bytes) => bytes[0] === CHANNEL.error)).toString();

/** Joins the only live session; what the participant sees is in `text`. */
function join(user: string, mode: ParticipantMode, roles: readonly string[] = ['helper']) {
  const session = world.session()!;
  const audience = world.live.audience(session, session.about!);
  const got = { text: '', ended: '' };
  const participant = audience.join(
    { user, mode, source: '::1', roles, traits: {} },
    {
      size: { cols: 80, rows: 24 },
      room: 1 << 20,
      send: (bytes) => void (got.text += bytes.toString()),
      close: (lines) => void (got.ended = lines.join(' ')),
    },
  );
  return {
    got,
    type: (text: string) => audience.type(participant, Buffer.from(text), () => undefined),
    leave: () => audience.command(participant, 'leave'),
    saw: (text: string) => expect.poll(() => got.text).toContain(text),
  };
}

/** A client that was accepted, and the API server's side once it has been asked. */
async function connect(path: string) {
  const server = new Promise<WebSocket>((resolve) => {
    world.stream = (side) => resolve(side);
  });
  const client = await world.connect(ann, path);
  const toClient: Buffer[] = [];
  client.on('message', (data) => void toClient.push(data as Buffer));
  const shown = (text: string) => expect.poll(() => Buffer.concat(toClient).toString()).toContain(text);
  return { client, server, toClient, shown };
}

describe('where a role demands participants', () => {
  it('the API server is asked once they have joined, with the size that the terminal has then', async () => {
    const { client, server, shown, toClient } = await connect(TERMINAL);
    await shown('this session waits for others');
    await shown('to join: steno join ');
    client.send(frame(CHANNEL.resize, '{"Width":100,"Height":30}'));
    client.send(frame(CHANNEL.stdin, 'too early'));
    await discarded(1);
    const watcher = join('bob', 'observer');
    await watcher.saw('waits');
    expect(asked()).toBe(0);
    const carol = join('carol', 'moderator');
    const far = await server;
    const toServer: Buffer[] = [];
    far.on('message', (data) => void toServer.push(data as Buffer));
    await expect.poll(() => toServer).toEqual([frame(CHANNEL.resize, '{"Width":100,"Height":30}')]);
    client.send(frame(CHANNEL.stdin, 'in time'));
    await expect.poll(() => toServer.at(-1)).toEqual(frame(CHANNEL.stdin, 'in time'));
    far.send(frame(CHANNEL.stdout, 'secret of the pod'));
    await carol.saw('secret of the pod');
    carol.leave();
    await shown('carol left this session');
    client.send(frame(CHANNEL.stdin, 'unseen'));
    await discarded(2);
    join('dave', 'moderator');
    await shown('it goes on');
    client.send(frame(CHANNEL.stdin, 'seen'));
    await expect.poll(() => toServer.at(-1)).toEqual(frame(CHANNEL.stdin, 'seen'));
    expect(Buffer.concat(toServer).toString()).not.toMatch(/too early|unseen/);
    expect(Buffer.concat(toClient).toString()).toContain('secret of the pod');
    client.close();
    await closed(far);
    await world.recorded();
    const recording = world.recorder.recordings().at(-1)!;
    expect(recording.bytes('in').toString()).toBe('in timeseen');
    expect(recording.lines.filter(({ code }) => code === 'j')).toHaveLength(7);
  });

  it('a command waits too, says so on standard error, and gets its whole input', async () => {
    const { client, server, shown, toClient } = await connect(COMMAND);
    for (const text of ['one ', 'two ']) client.send(frame(CHANNEL.stdin, text));
    client.send(Buffer.of(CHANNEL.close, CHANNEL.stdin));
    await shown('to join: steno join ');
    expect(toClient.every(([channel]) => channel === CHANNEL.stderr)).toBe(true);
    join('carol', 'moderator');
    const far = await server;
    const toServer: Buffer[] = [];
    far.on('message', (data) => void toServer.push(data as Buffer));
    await expect
      .poll(() => toServer)
      .toEqual([frame(CHANNEL.stdin, 'one '), frame(CHANNEL.stdin, 'two '), Buffer.of(CHANNEL.close, CHANNEL.stdin)]);
    far.close();
    await closed(client);
  });

  it('a waiting user may cancel, and a client that leaves leaves nothing behind', async () => {
    const waiting = await connect(TERMINAL);
    await waiting.shown('steno join ');
    waiting.client.send(frame(CHANNEL.stdin, '\u0003'));
    await waiting.shown('MODERATION_AWAITED');
    await closed(waiting.client);
    expect(status(waiting.toClient)).toContain('MODERATION_AWAITED');
    const gone = await connect(COMMAND);
    await gone.shown('steno join ');
    gone.client.terminate();
    await expect.poll(() => world.session()).toBeUndefined();
    await world.recorded();
    expect([asked(), world.recorder.live.size]).toEqual([0, 0]);
  });

  it('a lock ends the wait and gives its reason', async () => {
    const { client, shown, toClient } = await connect(TERMINAL);
    await shown('steno join ');
    const locks = [
      { id: 'l', target_kind: 'user', target: 'ann', mode: 'block', reason: 'left', expires_at: null, created_by: 'r', created_at: 0 },
    ];
    world.snapshot = { ...world.snapshot, locks: locks as never };
    world.changed();
    await closed(client);
    expect(status(toClient)).toMatch(/LOCKED/);
    expect(asked()).toBe(0);
  });

  it('the session ends when they leave, if the role says so', async () => {
    demand({ on_leave: 'terminate' });
    const { client, server, shown, toClient } = await connect(TERMINAL);
    await shown('steno join ');
    const carol = join('carol', 'moderator');
    const far = await server;
    carol.leave();
    await Promise.all([closed(client), closed(far)]);
    expect(status(toClient)).toContain('MODERATION_LOST');
  });

  it('a refusal by the API server ends the session and is passed on in its own words', async () => {
    const client = await world.connect(ann, COMMAND.replace('web-1', 'absent'));
    const got: Buffer[] = [];
    client.on('message', (data) => void got.push(data as Buffer));
    await expect.poll(() => world.session()).toBeDefined();
    join('carol', 'moderator');
    await closed(client);
    expect(JSON.parse(status(got).slice(1))).toMatchObject({
      status: 'Failure',
      message: expect.stringContaining('pods "absent" not found') as string,
    });
  });

  it('all of this works over SPDY', async () => {
    const accepted = new Promise<SpdyEnd>((resolve) => {
      world.spdy = (server) => resolve(server);
    });
    const client = await world.connectSpdy(ann, COMMAND);
    const streams = new Map(['error', 'stdin', 'stdout', 'stderr'].map((streamtype) => [streamtype, client.open({ streamtype })]));
    streams.get('stdin')!.stream.write(Buffer.from('early'));
    streams.get('stdin')!.stream.end();
    await expect.poll(() => world.session()?.gate.open).toBe(false);
    expect(asked()).toBe(0);
    join('carol', 'moderator');
    const server = await accepted;
    const stdin = await server.stream('stdin');
    await stdin.until(({ got }) => got.toString() === 'early');
    client.connection.destroy();
    await expect.poll(() => world.session()).toBeUndefined();
  });

  it('the session starts as the user and groups that roles name at that moment', async () => {
    const { server, shown, client } = await connect(TERMINAL);
    await shown('steno join ');
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['viewers'] }], { moderation: {} })] };
    world.changed();
    join('carol', 'moderator');
    const far = await server;
    expect(world.seen.find(({ url }) => url.includes('/exec'))!.headers['impersonate-group']).toEqual(['viewers']);
    client.close();
    await closed(far);
  });

  it('a pod whose name is too long to show is refused, unless no participants are demanded', async () => {
    const long = TERMINAL.replace('web-1', 'w'.repeat(253));
    await expect(world.connect(ann, long)).rejects.toThrow(/MODERATION_IMPOSSIBLE/);
    demand();
    const { client, server } = await connect(long);
    const far = await server;
    await expect.poll(() => world.session()).toBeDefined();
    expect(world.session()!.about).toBeNull();
    client.close();
    await closed(far);
  });

  it('port-forward is refused, because nobody can watch it', async () => {
    await expect(world.connectSpdy(ann, `${POD}/portforward`, 'portforward.k8s.io')).rejects.toThrow(/MODERATION_IMPOSSIBLE/);
  });
});

describe('a session in a pod can be joined', () => {
  it('observers see it, and peers type into its terminal', async () => {
    demand();
    const { client, server } = await connect(TERMINAL);
    const far = await server;
    const toServer: Buffer[] = [];
    far.on('message', (data) => void toServer.push(data as Buffer));
    await expect.poll(() => world.session()).toBeDefined();
    const [bob, eve] = [join('bob', 'peer'), join('eve', 'observer')];
    bob.type('ls\r');
    await expect.poll(() => toServer).toEqual([frame(CHANNEL.stdin, 'ls\r')]);
    far.send(frame(CHANNEL.stdout, 'files'));
    await Promise.all([bob.saw('files'), eve.saw('files')]);
    client.close();
    await closed(far);
    await expect.poll(() => bob.got.ended).not.toBe('');
    await world.recorded();
    const recording = world.recorder.recordings().at(-1)!;
    expect(recording.facts('typist').map(({ user }) => user)).toEqual(['bob', 'ann']);
  });
});
