/**
 * Stores that refuse, answer wrongly, or are away: nothing is acknowledged meanwhile, sessions continue and new ones begin,
 * and afterwards everything is stored once.
 *
 * The object store is a real S3 server with a hook that can answer in its place. Each failure is tested twice: the request
 * was not done, and it was done but reported as failed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startS3Server } from '#stores/objects/s3server.js';
import type { S3Server } from '#stores/objects/s3server.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { A_PART, Scene, audit } from './scene.js';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
let s3: S3Server;
let restore: (() => void | Promise<void>) | null = null;

beforeAll(async () => {
  s3 = await startS3Server();
  Object.assign(steno.env, {
    AWS_ENDPOINT_URL_S3: s3.options.endpoint,
    AWS_ACCESS_KEY_ID: 'S3RVER',
    AWS_SECRET_ACCESS_KEY: 'S3RVER',
    AWS_REGION: 'us-east-1',
  });
  await steno.start('--objects', 's3://recordings/survival');
  await steno.json('login', '--data', steno.data);
});
afterEach(async () => {
  await restore?.();
  restore = null;
});
afterAll(() =>
  stopAll(
    () => steno.dispose(),
    () => s3?.close(),
  ),
);

const isPut = ({ method }: IncomingMessage): boolean => method === 'PUT';

function answer500(request: IncomingMessage, response: ServerResponse): true {
  request.resume();
  response.writeHead(500, { 'content-type': 'application/xml' });
  response.end('<?xml version="1.0"?><Error><Code>InternalError</Code><Message>no</Message></Error>');
  return true;
}

function cut(request: IncomingMessage): true {
  request.socket.destroy();
  return true;
}

/** Lets the server do its work, but replaces its answer. */
function instead(response: ServerResponse, act: (end: ServerResponse['end']) => void): false {
  const end = response.end.bind(response) as ServerResponse['end'];
  response.writeHead = (() => response) as typeof response.writeHead;
  response.write = (() => true) as typeof response.write;
  response.end = (() => {
    act(end);
    return response;
  }) as typeof response.end;
  return false;
}

const trouble: readonly (readonly [string, string, (request: IncomingMessage, response: ServerResponse) => boolean])[] = [
  ['answers 500 to every write', 'failed', (request, response) => isPut(request) && answer500(request, response)],
  [
    'answers 500 to every write',
    'but done',
    (request, response) =>
      isPut(request) &&
      instead(response, (end) => {
        response.statusCode = 500;
        end();
      }),
  ],
  ['cuts every connection', 'failed', (request) => cut(request)],
  [
    'cuts the connection of every write',
    'but done',
    (request, response) => isPut(request) && instead(response, () => response.socket?.destroy()),
  ],
];

/**
 * Runs a session that began before the failure and one that begins and ends during it: neither notices. Returns both.
 *
 * Nothing is acknowledged, unless writes are `done` but reported as failed: then a later attempt finds the object.
 */
async function sessionsGoOn(break_: () => void, done = false): Promise<readonly Scene[]> {
  const before = new Scene(steno);
  await before.opened();
  before.print(A_PART);
  await before.printed(5);
  break_();
  await before.printed(40);
  const meanwhile = new Scene(steno);
  await meanwhile.opened();
  meanwhile.print();
  await meanwhile.printed(35);
  await meanwhile.leave();
  await before.printedMore();
  await before.leave();
  for (const scene of done ? [] : [before, meanwhile]) {
    expect(scene.forgotten).toBe(false);
    expect(scene.journal).not.toContain('"closed":true');
  }
  if (!done) expect(meanwhile.journal).not.toContain('"stored"');
  return [before, meanwhile];
}

async function everythingArrives(scenes: readonly Scene[]): Promise<void> {
  await restore?.();
  restore = null;
  for (const scene of scenes) expect(await scene.check()).toBe('complete');
}

describe('the object store', () => {
  it.each(trouble)('%s (%s)', async (name, how, intercept) => {
    const scenes = await sessionsGoOn(() => {
      s3.intercept = intercept;
      restore = () => {
        s3.intercept = undefined;
      };
    }, how === 'but done');
    // Rows are written before objects, so a search finds the output, unless reading fails too.
    const readable = !name.includes('every connection');
    if (readable)
      await eventually(
        () => scenes[1]!.found(),
        (found) => found.size >= 35,
      );
    await everythingArrives(scenes);
  });

  it('its outage is in the audit log', async () => {
    const rows = await eventually(
      () => audit(steno, 'store.unavailable'),
      ({ length }) => length > 0,
    );
    expect(rows[0]).toMatchObject({ target: 'objects', outcome: 'failure', code: 'STORE_UNAVAILABLE' });
  });
});

describe('ingest', () => {
  it('stopped for a while: it does not answer, and no connection is closed', async () => {
    const pid = steno.run.processes['store']!;
    const scenes = await sessionsGoOn(() => {
      process.kill(pid, 'SIGSTOP');
      restore = () => void process.kill(pid, 'SIGCONT');
    });
    await everythingArrives(scenes);
  });

  it('killed and unable to restart: its port is taken', async () => {
    const port = Number(/:(\d+)$/.exec((steno.run as unknown as { ingest: string }).ingest)![1]);
    const pid = steno.run.processes['store']!;
    const scenes = await sessionsGoOn(() => {
      process.kill(pid, 'SIGKILL');
      restore = takePort(port);
    });
    await restore?.();
    restore = null;
    await eventually(
      async () => steno.run.processes['store'],
      (now) => now !== undefined && now !== pid,
      60_000,
    );
    await everythingArrives(scenes);
  });
});

/** Takes the port as soon as its previous owner is gone. The returned function gives it back, or stops trying to get it. */
function takePort(port: number): () => Promise<void> {
  const thief = createServer((socket) => socket.destroy());
  let wanted = true;
  const take = (): void => {
    if (wanted) thief.listen(port, '127.0.0.1');
  };
  thief.on('error', () => setImmediate(take));
  take();
  return () => {
    wanted = false;
    return new Promise((resolve) => void thief.close(() => resolve()));
  };
}
