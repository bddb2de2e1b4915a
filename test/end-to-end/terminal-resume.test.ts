/**
 * The stream below a terminal of the page, which survives the loss of its network: the page's link, a viewer's relay, mutual TLS and
 * the gateway's tunnel port, cut in many places; and attempts to resume a terminal of another user or one that is over.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket as NodeSocket, WebSocketServer } from 'ws';
import { terminalCloses } from '#schemas/api/front/terminal-closes.js';
import { MAX_TERMINAL_MESSAGE } from '#schemas/api/front/terminal.js';
import { StenoError } from '#schemas/base/errors.js';
import { encodeFrame, FrameReader, proofInput } from '#schemas/terminal/frames.js';
import type { TerminalFrame } from '#schemas/terminal/frames.js';
import { Cleanup, authorityIn, clientOf, identityOf, silent, temporaryFolder } from '../../authority/testing/authority.js';
import type { KeepTerms, Ticket } from '../../gateway/edge/keep-terms.js';
import type { Wire } from '../../gateway/edge/socket-wire.js';
import { listenForTunnels } from '../../gateway/tunnel/listener.js';
import { TerminalRelay } from '../../viewer/api/terminal/relay.js';
import { TerminalLink } from '../../viewer/web/terminal/link.js';

const cleanup = new Cleanup();
/** The gateway's handler of the next connection. */
let accept: (wire: Wire) => void;
const audited: { readonly event: string; readonly code?: string }[] = [];
let relay: TerminalRelay;
let port: number;
/** Address of the browser that connects next. */
let client = '198.51.100.9';
let signedIn = true;
/** Browsers cannot reach the viewer. */
let unreachable = false;
/** The viewer's answer when it refuses a browser. */
let refusal: StenoError | null = null;
/** The viewer's ends, newest last. */
const ends: NodeSocket[] = [];

beforeAll(async () => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw', hostNames: ['127.0.0.1'] }, cleanup);
  const other = await clientOf(authority, { kind: 'gateway', name: 'other', hostNames: ['127.0.0.1'] }, cleanup);
  const [tunnel, elsewhere] = await Promise.all(
    [gateway, other].map((one) =>
      listenForTunnels(
        { host: '127.0.0.1', port: 0 },
        {
          ...{ name: one === gateway ? 'gw' : 'other', identity: one.identity, ingest: ['wss://127.0.0.1:1'], calls: one.nodes },
          ...{ log: silent, now: Date.now },
          eventLogs: { closed: true, find: () => Promise.resolve(null), room: () => Promise.resolve(true) },
          held: () => undefined,
          snapshot: () => one.current(),
          onChange: (callback) => one.onChange(() => callback()),
          audit: (entry) => void audited.push(entry as (typeof audited)[number]),
          // New terminals go to `gw`.
          ssh: { taking: () => one === gateway, accept: (wire) => accept(wire) },
          relayed: (socket) => socket.terminate(),
        },
      ),
    ),
  );
  cleanup.add(() => tunnel!.close());
  cleanup.add(() => elsewhere!.close());
  const viewer = await identityOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
  relay = new TerminalRelay(
    {
      list: () => Promise.resolve([elsewhere!.address, tunnel!.address]),
      get tls() {
        return viewer.tlsClientOptions(['gateway']);
      },
    },
    silent,
  );
  cleanup.add(() => relay.close());
  const server = createServer();
  const sockets = new WebSocketServer({ server, maxPayload: MAX_TERMINAL_MESSAGE, verifyClient: () => !unreachable });
  sockets.on('connection', (socket, request) => {
    ends.push(socket);
    const resume = new URL(request.url!, 'http://viewer').searchParams.get('resume');
    const recheck = (): Promise<void> => (signedIn ? Promise.resolve() : Promise.reject(new StenoError('NOT_SIGNED_IN')));
    relay.open(socket, { user: 'ann', client, recheck, ...(resume === null ? {} : { resume }) });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
  cleanup.add(() => void server.close());
}, 60_000);
afterAll(() => cleanup.run());
const links = new Set<TerminalLink>();
afterEach(() => {
  for (const link of links) link.close();
  links.clear();
  client = '198.51.100.9';
  signedIn = true;
  unreachable = false;
  refusal = null;
});

const pattern = (from: number, length: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, i) => ((from + i) * 7919) % 251));

/** The gateway's end: collects its input and its events. */
interface Near {
  wire: Wire;
  ticket: Ticket;
  readonly got: Buffer[];
  readonly told: string[];
  closed: number;
  ms: number;
}
function gatewayEnd(seconds: number): Near {
  const near = { got: [], told: [], closed: 0, ms: seconds * 1000 } as unknown as Near;
  accept = (wire) => {
    near.wire = wire;
    wire.attach({
      bytes: (bytes) => void near.got.push(Buffer.from(bytes)),
      drained: () => undefined,
      closed: () => (near.closed += 1),
    });
    const terms: KeepTerms = {
      ms: () => near.ms,
      assertFrom: (source) => {
        if (source !== '198.51.100.9') throw new StenoError('CERT_WRONG_SOURCE', source);
      },
      lost: () => near.told.push('lost'),
      resumed: (_ms, source) => near.told.push(`resumed ${source}`),
      refused: (source, why) => near.told.push(`refused ${source}: ${why}`),
    };
    near.ticket = wire.keep!(terms);
    wire.send(Buffer.from('S'));
  };
  return near;
}

/** The page's end. */
interface Page {
  readonly link: TerminalLink;
  readonly got: Buffer[];
  readonly told: string[];
  readonly sockets: NodeSocket[];
  online: () => void;
}
async function open(near: Near): Promise<Page> {
  const page: Page = { got: [], told: [], sockets: [], online: () => undefined } as unknown as Page;
  const link = new TerminalLink(
    {
      open: (resume) => {
        const socket = new NodeSocket(`ws://127.0.0.1:${port}/?${new URLSearchParams({ resume })}`);
        socket.on('error', () => undefined);
        page.sockets.push(socket);
        return socket as unknown as WebSocket;
      },
      onOnline: (callback) => {
        page.online = callback;
        return () => undefined;
      },
      onLeave: () => () => undefined,
      refused: () => Promise.resolve(refusal),
    },
    {
      opened: () => void page.told.push('opened'),
      bytes: (bytes) => void page.got.push(Buffer.from(bytes)),
      away: () => void page.told.push('away'),
      back: () => void page.told.push('back'),
      ended: (why) => void page.told.push(why.code),
    },
  );
  links.add(link);
  Object.assign(page, { link });
  await expect.poll(() => page.told).toEqual(['opened']);
  link.ticket({ ...near.ticket, seconds: near.ms / 1000 });
  await expect.poll(() => Buffer.concat(page.got).toString()).toBe('S');
  page.got.length = 0;
  return page;
}

describe('a terminal of the page', () => {
  test('continues over one network after the other, and loses, repeats and reorders no byte', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    let [down, up] = [0, 0];
    for (let round = 0; round < 12; round += 1) {
      for (const length of [1, 40, 5_000, 120_000]) {
        near.wire.send(pattern(down, length));
        down += length;
        page.link.send(pattern(up, length));
        up += length;
      }
      const before = near.told.length;
      // Cut at either end of the browser's connection, with bytes in transit both ways.
      if (round % 2 === 0) page.sockets.at(-1)!.terminate();
      else ends.at(-1)!.terminate();
      near.wire.send(pattern(down, 77));
      down += 77;
      await expect.poll(() => near.told.slice(before)).toContain('resumed 198.51.100.9');
    }
    await expect.poll(() => Buffer.concat(page.got).length).toBe(down);
    await expect.poll(() => Buffer.concat(near.got).length).toBe(up);
    expect(Buffer.concat(page.got).equals(pattern(0, down))).toBe(true);
    expect(Buffer.concat(near.got).equals(pattern(0, up))).toBe(true);
    // If a connection is cut before the page learns that it has resumed, the gateway counts one more resume than the page.
    expect(near.told.filter((one) => one === 'resumed 198.51.100.9').length).toBeGreaterThanOrEqual(12);
    expect(page.told.at(-1)).toBe('back');
    expect(near.closed).toBe(0);
  });

  test('reports that it is away, retries when the browser is online, and is back', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    unreachable = true;
    page.sockets.at(-1)!.terminate();
    await expect.poll(() => page.told.at(-1)).toBe('away');
    await expect.poll(() => near.told).toEqual(['lost']);
    expect(page.link.away).toBe(true);
    await expect.poll(() => page.sockets.length).toBeGreaterThan(2);
    unreachable = false;
    page.online();
    await expect.poll(() => page.told.at(-1)).toBe('back');
    expect(near.told).toEqual(['lost', 'resumed 198.51.100.9']);
  });

  test('ends with the viewer’s message when it is refused, but not when the network is lost', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    unreachable = true;
    page.sockets.at(-1)!.terminate();
    await expect.poll(() => page.told.at(-1)).toBe('away');
    await expect.poll(() => page.sockets.length).toBeGreaterThan(2);
    expect(page.told.at(-1)).toBe('away');
    refusal = new StenoError('LOCKED', 'stolen laptop');
    page.online();
    await expect.poll(() => page.told.at(-1)).toBe('LOCKED');
    expect(page.link.away).toBe(false);
  });

  test('gives up at both ends when its time is over', async () => {
    const near = gatewayEnd(1);
    const page = await open(near);
    unreachable = true;
    page.sockets.at(-1)!.terminate();
    await expect.poll(() => page.told.at(-1)).toBe('GATEWAY_LOST');
    await expect.poll(() => near.closed).toBe(1);
  });

  test('that the gateway ended meanwhile shows its last output, and is over', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    unreachable = true;
    page.sockets.at(-1)!.terminate();
    await expect.poll(() => near.told).toEqual(['lost']);
    near.wire.send(Buffer.from('locked'));
    near.wire.end();
    await expect.poll(() => near.closed).toBe(1);
    unreachable = false;
    page.online();
    await expect.poll(() => Buffer.concat(page.got).toString()).toBe('locked');
    await expect.poll(() => page.told.at(-1)).toBe('GATEWAY_LOST');
  });

  test('whose user is signed out also ends at the gateway at once', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    signedIn = false;
    relay.recheck();
    await expect.poll(() => page.told.at(-1)).toBe('NOT_SIGNED_IN');
    await expect.poll(() => near.closed).toBe(1);
    expect(near.told).toEqual([]);
  });

  test('that its user closes ends at once at the gateway', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    page.link.close();
    await expect.poll(() => near.closed).toBe(1);
    expect(near.told).toEqual([]);
  });

  test('ends with its network if roles allow no waiting', async () => {
    const near = gatewayEnd(0);
    const page = await open(near);
    page.sockets.at(-1)!.terminate();
    await expect.poll(() => near.closed).toBe(1);
    await expect.poll(() => page.told.at(-1)).toBe('GATEWAY_LOST');
  });

  test('of an older gateway without frames is a plain stream', async () => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    cleanup.add(() => void server.close());
    await once(server, 'listening');
    const got: string[] = [];
    server.on('connection', (socket) => {
      socket.send(Buffer.from('SSH-2.0-older\r\n'));
      socket.on('message', (data: Buffer) => void got.push(data.toString()));
    });
    const said: string[] = [];
    const link = new TerminalLink(
      {
        open: () => new NodeSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`) as unknown as WebSocket,
        onOnline: () => () => undefined,
        onLeave: () => () => undefined,
        refused: () => Promise.resolve(null),
      },
      {
        opened: () => link.send(Buffer.from('SSH-2.0-page\r\n')),
        bytes: (bytes) => void said.push(Buffer.from(bytes).toString()),
        away: () => undefined,
        back: () => undefined,
        ended: () => undefined,
      },
    );
    links.add(link);
    await expect.poll(() => [got, said]).toEqual([['SSH-2.0-page\r\n'], ['SSH-2.0-older\r\n']]);
  });
});

/** An attacker who speaks frames by hand. */
class Stranger {
  readonly socket: NodeSocket;
  readonly frames: TerminalFrame[] = [];
  readonly closed: Promise<number>;
  constructor(resume: string) {
    this.socket = new NodeSocket(`ws://127.0.0.1:${port}/?${new URLSearchParams({ resume })}`);
    const reader = new FrameReader();
    this.socket.on('message', (data: Buffer) => {
      reader.put(data);
      for (let frame = reader.next(); frame !== null; frame = reader.next()) this.frames.push(frame);
    });
    this.closed = once(this.socket, 'close').then(([code]) => code as number);
  }
  async challenge(): Promise<Uint8Array> {
    await expect.poll(() => this.frames[0]?.kind).toBe('challenge');
    const [first] = this.frames;
    return first?.kind === 'challenge' ? first.nonce : new Uint8Array();
  }
  prove({ id, secret }: Ticket, nonce: Uint8Array, received: number): Uint8Array {
    const mac = createHmac('sha256', secret)
      .update(proofInput(id, nonce, received))
      .digest();
    const frame = encodeFrame({ kind: 'proof', received, mac });
    this.socket.send(frame);
    return frame;
  }
}

describe('a client that resumes a terminal', () => {
  test('must know its secret', async () => {
    const near = gatewayEnd(60);
    await open(near);
    const stranger = new Stranger(near.ticket.id);
    stranger.prove({ ...near.ticket, secret: randomBytes(32) }, await stranger.challenge(), 0);
    await expect.poll(() => near.told).toEqual(['refused 198.51.100.9: its proof is wrong']);
    await stranger.closed;
    expect(stranger.frames.map(({ kind }) => kind)).toEqual(['challenge', 'refused']);
    expect(near.closed).toBe(0);
  });

  test('cannot replay a proof', async () => {
    const near = gatewayEnd(60);
    await open(near);
    const first = new Stranger(near.ticket.id);
    const proof = first.prove(near.ticket, await first.challenge(), 0);
    await expect.poll(() => near.told[0]).toBe('resumed 198.51.100.9');
    const second = new Stranger(near.ticket.id);
    await second.challenge();
    second.socket.send(proof);
    await expect.poll(() => near.told).toContain('refused 198.51.100.9: its proof is wrong');
  });

  test.each<[string, (stranger: Stranger, near: Near) => Promise<void>, RegExp]>([
    ['sends no proof', async (stranger) => void stranger.socket.send(encodeFrame({ kind: 'received', received: 0 })), /no proof/],
    ['sends no frames', async (stranger) => void stranger.socket.send(Buffer.from('SSH-2.0-x\r\n')), /no proof/],
    [
      'claims to have received more than was sent',
      async (stranger, { ticket }) => void stranger.prove(ticket, await stranger.challenge(), 1_000_000),
      /cannot be/,
    ],
  ])('that %s is refused', async (_, act, why) => {
    const near = gatewayEnd(60);
    await open(near);
    const stranger = new Stranger(near.ticket.id);
    await stranger.challenge();
    await act(stranger, near);
    await expect.poll(() => near.told.at(-1)).toMatch(why);
    expect(near.closed).toBe(0);
  });

  test('must come from an address of the certificate', async () => {
    const near = gatewayEnd(60);
    await open(near);
    client = '203.0.113.5';
    const stranger = new Stranger(near.ticket.id);
    stranger.prove(near.ticket, await stranger.challenge(), 0);
    await expect.poll(() => near.told.at(-1)).toMatch(/^refused 203.0.113.5: .*address/);
  });

  test('is refused once the terminal is over, and audited once', async () => {
    const near = gatewayEnd(60);
    const page = await open(near);
    page.link.close();
    await expect.poll(() => near.closed).toBe(1);
    const before = audited.length;
    expect(await new Stranger(near.ticket.id).closed).toBe(terminalCloses.gone);
    expect(audited.slice(before)).toMatchObject([{ event: 'terminal.refused', code: 'RECONNECT_REFUSED' }]);
  });

  test.each([
    ['an invented id', `${'A'.repeat(22)}@gw`, terminalCloses.gone],
    ['an id of an unknown gateway', `${'A'.repeat(22)}@none`, terminalCloses.unavailable],
  ])('with %s is refused', async (_, id, code) => {
    expect(await new Stranger(id).closed).toBe(code);
  });

  test('is refused while too many others have not yet sent a proof', async () => {
    const near = gatewayEnd(60);
    await open(near);
    const many = Array.from({ length: 4 }, () => new Stranger(near.ticket.id));
    await Promise.all(many.map((one) => one.challenge()));
    expect(await new Stranger(near.ticket.id).closed).toBe(terminalCloses.unavailable);
    for (const { socket } of many) socket.terminate();
    await expect
      .poll(async () => {
        const again = new Stranger(near.ticket.id);
        const opened = await Promise.race([again.closed, once(again.socket, 'message').then(() => 'challenged')]);
        again.socket.terminate();
        return opened;
      })
      .toBe('challenged');
  });
});
