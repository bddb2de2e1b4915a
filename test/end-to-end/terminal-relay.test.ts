/**
 * The path of a terminal's bytes from a browser's WebSocket through a viewer to a gateway, over real mutual TLS with certificates
 * of a real authority: order, back-pressure, limits, and whom the gateway believes about the browser's address.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { terminalCloses } from '#schemas/api/front/terminal-closes.js';
import { MAX_TERMINAL_MESSAGE } from '#schemas/api/front/terminal.js';
import type { ServiceKind } from '#schemas/base/identity.js';
import { StenoError } from '#schemas/base/errors.js';
import { SSH_RELAY, SSH_RELAY_PATH } from '#schemas/tunnel.js';
import { Cleanup, authorityIn, clientOf, identityOf, silent, temporaryFolder } from '../../authority/testing/authority.js';
import type { RunningAuthority } from '../../authority/app.js';
import type { Wire } from '../../gateway/edge/socket-wire.js';
import { listenForTunnels } from '../../gateway/tunnel/listener.js';
import type { TunnelListener } from '../../gateway/tunnel/listener.js';
import { MAX_PER_USER, TerminalRelay } from '../../viewer/api/terminal/relay.js';
import type { Opening } from '../../viewer/api/terminal/relay.js';

const cleanup = new Cleanup();
let authority: RunningAuthority;
let tunnel: TunnelListener;
/** The gateway's handler of the next connection. */
let accept: (wire: Wire, source: string) => void;
let taking = true;
const audited: { readonly event: string; readonly code?: string }[] = [];
let relay: TerminalRelay;
let gateways: readonly string[];
let port: number;
let opening: Opening;
const browsers = new Set<WebSocket>();
/** The viewer's ends, newest last. */
const ends: WebSocket[] = [];

beforeAll(async () => {
  authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw', hostNames: ['127.0.0.1'] }, cleanup);
  tunnel = await listenForTunnels(
    { host: '127.0.0.1', port: 0 },
    {
      ...{ name: 'gw', identity: gateway.identity, ingest: ['wss://127.0.0.1:1'], calls: gateway.nodes, log: silent, now: Date.now },
      eventLogs: { closed: true, find: () => Promise.resolve(null), room: () => Promise.resolve(true) },
      held: () => undefined,
      snapshot: () => gateway.current(),
      onChange: (callback) => gateway.onChange(() => callback()),
      audit: (entry) => void audited.push(entry as (typeof audited)[number]),
      ssh: { taking: () => taking, accept: (wire, source) => accept(wire, source) },
      relayed: (socket) => socket.terminate(),
    },
  );
  cleanup.add(() => tunnel.close());
  gateways = [tunnel.address];
  const viewer = await identityOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
  relay = new TerminalRelay(
    {
      list: () => Promise.resolve(gateways),
      get tls() {
        return viewer.tlsClientOptions(['gateway']);
      },
    },
    silent,
  );
  cleanup.add(() => relay.close());
  const server = createServer();
  const sockets = new WebSocketServer({ server, maxPayload: MAX_TERMINAL_MESSAGE });
  sockets.on('connection', (socket) => {
    ends.push(socket);
    relay.open(socket, opening);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
  cleanup.add(() => void server.close());
}, 60_000);
afterAll(() => cleanup.run());
afterEach(() => {
  for (const browser of browsers) browser.terminate();
  browsers.clear();
  gateways = [tunnel.address];
});

const signedIn: Opening = { user: 'ann', client: '198.51.100.9', recheck: () => Promise.resolve() };

interface Browser {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  received(): Buffer;
}
async function browse(more: Partial<Opening> = {}): Promise<Browser> {
  opening = { ...signedIn, ...more };
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  browsers.add(socket);
  const chunks: Buffer[] = [];
  socket.on('message', (data: Buffer) => void chunks.push(data));
  const closed = once(socket, 'close').then(([code]) => code as number);
  await once(socket, 'open');
  return { socket, closed, received: () => Buffer.concat(chunks) };
}
/** Echoes its input. */
const echo = (wire: Wire): void =>
  wire.attach({ bytes: (chunk) => wire.send(Buffer.from(chunk)), drained: () => undefined, closed: () => undefined });
const pattern = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7919) % 251));

describe('a terminal of a browser', () => {
  test('reaches the gateway with the address of the browser, and its bytes come back', async () => {
    let from = '';
    accept = (wire, source) => {
      from = source;
      echo(wire);
    };
    const { socket, received } = await browse();
    const bytes = pattern(50_000);
    socket.send(bytes);
    await expect.poll(() => received().length).toBe(bytes.length);
    expect(received().equals(bytes)).toBe(true);
    expect(from).toBe('198.51.100.9');
  });

  test('pauses while the gateway does not read, and loses nothing', async () => {
    let wire: Wire;
    let length = 0;
    let stopped = false;
    accept = (given) => {
      wire = given;
      wire.attach({
        bytes: (chunk) => {
          length += chunk.length;
          if (!stopped) wire.pause();
          stopped = true;
        },
        drained: () => undefined,
        closed: () => undefined,
      });
    };
    const { socket } = await browse();
    const piece = pattern(MAX_TERMINAL_MESSAGE);
    const pieces = 1_024;
    for (let i = 0; i < pieces; i += 1) socket.send(piece);
    // The browser holds back all of the 64 MB that does not fit into the sockets.
    await expect.poll(() => stopped).toBe(true);
    await expect.poll(() => ends.at(-1)!.isPaused, { timeout: 60_000 }).toBe(true);
    expect(socket.bufferedAmount).toBeGreaterThan(0);
    wire!.resume();
    await expect.poll(() => length, { timeout: 60_000 }).toBe(pieces * piece.length);
  });

  test('pauses the gateway while the browser does not read, and loses nothing', async () => {
    let wire: Wire;
    let drained = 0;
    accept = (given) => {
      wire = given;
      wire.attach({ bytes: () => undefined, drained: () => (drained += 1), closed: () => undefined });
    };
    const { socket, received } = await browse();
    await expect.poll(() => wire as Wire | undefined).toBeDefined();
    socket.pause();
    const piece = pattern(64 * 1024);
    let sent = 0;
    // Like a gateway, which sends while there is room.
    while (sent < 512 && wire!.queued <= 256 * 1024) {
      wire!.send(piece);
      sent += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(512);
    socket.resume();
    await expect.poll(() => received().length, { timeout: 60_000 }).toBe(sent * piece.length);
    expect(drained).toBeGreaterThan(0);
  });

  test('ends when the gateway ends it, and the gateway notices when the browser is gone', async () => {
    let wire: Wire;
    let closed = 0;
    accept = (given) => {
      wire = given;
      wire.attach({ bytes: () => undefined, drained: () => undefined, closed: () => (closed += 1) });
      wire.send(Buffer.from('last words'));
      wire.end();
    };
    const first = await browse();
    expect(await first.closed).toBe(terminalCloses.over);
    expect(first.received().toString()).toBe('last words');
    accept = (given) => given.attach({ bytes: () => undefined, drained: () => undefined, closed: () => (closed += 1) });
    const before = closed;
    const second = await browse();
    second.socket.send(Buffer.from('x'));
    second.socket.terminate();
    await expect.poll(() => closed).toBeGreaterThan(before);
  });

  test('ends when its user is signed out', async () => {
    accept = echo;
    let out = false;
    const { closed } = await browse({ recheck: () => (out ? Promise.reject(new StenoError('NOT_SIGNED_IN')) : Promise.resolve()) });
    relay.recheck();
    out = true;
    relay.recheck();
    expect(await closed).toBe(terminalCloses.signedOut);
  });

  test('types nothing more once its user is signed out, and still shows why the gateway ends it', async () => {
    let typed = '';
    let gateway: Wire | undefined;
    accept = (wire) => {
      gateway = wire;
      wire.attach({ bytes: (chunk) => void (typed += Buffer.from(chunk).toString()), drained: () => undefined, closed: () => undefined });
    };
    let out = false;
    const { socket, closed, received } = await browse({
      recheck: () => (out ? Promise.reject(new StenoError('NOT_SIGNED_IN')) : Promise.resolve()),
    });
    socket.send(Buffer.from('before'));
    await expect.poll(() => typed).toBe('before');
    out = true;
    relay.recheck();
    await new Promise((resolve) => setImmediate(resolve));
    socket.send(Buffer.from('after'));
    gateway!.send(Buffer.from('a lock: stolen laptop'));
    expect(await closed).toBe(terminalCloses.signedOut);
    expect(received().toString()).toBe('a lock: stolen laptop');
    expect(typed).toBe('before');
  });

  test('is closed if it sends text or an oversized message', async () => {
    accept = echo;
    const text = await browse();
    text.socket.send('hello');
    expect(await text.closed).toBe(terminalCloses.misuse);
    const large = await browse();
    large.socket.send(Buffer.alloc(MAX_TERMINAL_MESSAGE + 1));
    expect(await large.closed).toBe(1009);
  });

  test('is refused beyond the limit of its user', async () => {
    accept = echo;
    const open = await Promise.all(Array.from({ length: MAX_PER_USER }, () => browse({ user: 'many' })));
    const { closed } = await browse({ user: 'many' });
    expect(await closed).toBe(terminalCloses.full);
    const other = await browse({ user: 'other' });
    other.socket.send(Buffer.from('still in'));
    await expect.poll(() => other.received().toString()).toBe('still in');
    for (const { socket } of open) socket.terminate();
  });

  test('uses another gateway if one is unreachable, and reports it if all are', async () => {
    accept = echo;
    gateways = ['127.0.0.1:1', tunnel.address];
    const { socket, received } = await browse();
    socket.send(Buffer.from('x'));
    await expect.poll(() => received().toString(), { timeout: 60_000 }).toBe('x');
    gateways = ['127.0.0.1:1'];
    expect(await (await browse()).closed).toBe(terminalCloses.unavailable);
    gateways = [];
    expect(await (await browse()).closed).toBe(terminalCloses.unavailable);
  });
});

describe('at the gateway', () => {
  const dial = async (kind: ServiceKind | null, headers: Record<string, string>): Promise<number> => {
    const tls =
      kind === null
        ? { rejectUnauthorized: false }
        : (await identityOf(authority, { kind, name: `some-${kind}` }, cleanup)).tlsClientOptions(['gateway']);
    const [host, at] = tunnel.address.split(':') as [string, string];
    const asked = request({
      ...tls,
      ...{ host, port: Number(at), path: SSH_RELAY_PATH, agent: false },
      headers: { connection: 'Upgrade', upgrade: SSH_RELAY, ...headers },
    });
    return new Promise((resolve, reject) => {
      asked.on('upgrade', (response, socket) => {
        socket.destroy();
        resolve(response.statusCode!);
      });
      asked.on('response', (response) => {
        response.destroy();
        resolve(response.statusCode!);
      });
      asked.on('error', reject);
      asked.end();
    });
  };
  const address = { 'x-steno-client': '192.0.2.5' };

  test('a viewer’s word about the address is accepted', async () => {
    accept = (wire) => wire.destroy();
    expect(await dial('viewer', address)).toBe(101);
  });

  test.each([
    ['another service', 'agent', address, 'CERT_UNKNOWN_CA'],
    ['ingest', 'ingest', address, 'CERT_UNKNOWN_CA'],
    ['an unknown client', null, address, 'CERT_UNKNOWN_CA'],
    ['a viewer that names no address', 'viewer', {}, 'BAD_REQUEST'],
    ['a viewer, at a draining gateway,', 'viewer', address, 'DRAINING'],
    ['a viewer that names an invalid address', 'viewer', { 'x-steno-client': 'localhost' }, 'BAD_REQUEST'],
  ] as const)('%s is refused and audited', async (_, kind, headers, code) => {
    accept = () => {
      throw new Error('not to be accepted');
    };
    const before = audited.length;
    taking = code !== 'DRAINING';
    expect(await dial(kind, headers)).toBeGreaterThanOrEqual(400);
    taking = true;
    expect(audited.slice(before)).toMatchObject([{ event: 'terminal.refused', code }]);
  });
});
