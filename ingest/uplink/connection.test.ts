import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { recordingPrefix } from '#schemas/recording/layout.js';
import { UPLINK_PROTOCOL, UPLINK_VERSIONS, encodeUplink } from '#schemas/uplink.js';
import type { UplinkFrame } from '#schemas/uplink.js';
import type { Running } from '#runtime/service/process.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { startIngest } from '../main.js';
import { Recorder, RecordingAuthority, signCheckpoint } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, encodeMade, quiet, temporaryFolder } from '../testing/gateway.js';
import type { Made, MadeBlock } from '#recordings/testing/recorder.js';

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let services: ServiceAuthority;
let tls: Awaited<ReturnType<ServiceAuthority['certify']>>;
let objects: ObjectStore;
let events: EventStore;
let ingest: Running;
let address: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  services = await ServiceAuthority.create();
  tls = await services.certify('gateway/gw-1');
  objects = await openDirectoryStore(`${folder.path}/objects`);
  events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  ingest = await startIngest(
    { listen: '127.0.0.1:0' },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects,
      events,
      snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
      retry: { firstWait: 1, longestWait: 5 },
    },
  );
  address = ingest.addresses['uplink']!;
});
afterAll(async () => {
  await ingest?.close();
  await events?.close();
  await folder?.remove();
});

function recorded(facts: ConstructorParameters<typeof Recorder>[1] = {}): Recorder {
  const recorder = new Recorder(identity, facts);
  for (let i = 0; i < 5; i++) recorder.output(600, `line ${i}\r\n`);
  recorder.checkpoint();
  for (let i = 5; i < 10; i++) recorder.output(600, `line ${i}\r\n`);
  return recorder.close();
}

function changed(made: readonly Made[], n: number, change: (block: MadeBlock) => Partial<MadeBlock>): Made[] {
  return made.map((each) => (each.kind === 'block' && each.n === n ? { ...each, ...change(each) } : each));
}

const stranger = new RecordingAuthority().certify('gw-1');
const refusals: readonly {
  readonly name: string;
  readonly code: string;
  readonly made: (recorder: Recorder) => readonly Made[];
  readonly recorder?: () => Recorder;
}[] = [
  {
    name: 'a block whose content was changed',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => changed(made, 2, ({ content }) => ({ content: Buffer.from(content.toString().replace('line', 'LINE')) })),
  },
  {
    name: 'a head that was changed',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => changed(made, 2, ({ head }) => ({ head: head.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })),
  },
  {
    name: 'a block left out',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => made.filter((each) => each.kind !== 'block' || each.n !== 2),
  },
  {
    name: 'another block of a number that came',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => [made[0]!, { ...(made[0] as MadeBlock), head: 'a'.repeat(64) }],
  },
  {
    name: 'a header of another gateway',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => made,
    recorder: () => recorded({ gateway: 'gw-2' }),
  },
  {
    name: 'a checkpoint signed by another key',
    code: 'UPLINK_SIGNATURE',
    made: ({ made }) =>
      made.map((each) => (each.kind === 'block' ? each : { ...each, checkpoint: signCheckpoint(each.checkpoint, stranger.key) })),
  },
  {
    name: 'a checkpoint that was changed after signing',
    code: 'UPLINK_SIGNATURE',
    made: ({ made }) =>
      made.map((each) => (each.kind === 'block' ? each : { ...each, checkpoint: { ...each.checkpoint, time: each.checkpoint.time + 1 } })),
  },
  {
    name: 'a checkpoint over more blocks than there are',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => made.filter((each) => each.kind !== 'block' || each.n < 2),
  },
  {
    name: 'a part of another number',
    code: 'UPLINK_CHAIN_BROKEN',
    made: ({ made }) => made.map((each) => (each.kind === 'block' ? each : { ...each, part: each.part + 1 })),
  },
];

describe('refused, told and audited, and nothing is stored:', () => {
  for (const { name, code, made, recorder: make } of refusals) {
    test(name, async () => {
      const recorder = make?.() ?? recorded();
      const client = await UplinkClient.connect(address, tls, identity);
      client.send(encodeUplink('open', { session: recorder.session }));
      for (const each of made(recorder)) client.send(encodeMade(recorder.session, each));
      const refused = await client.next((frame) => frame.kind === 'refuse');
      expect(refused.header).toMatchObject({ session: recorder.session, code });
      // The connection continues for other sessions.
      const good = recorded();
      await client.deliver(good.session, good.made);
      await client.close();
      for (;;) {
        const { rows } = await events.audit({ session: recorder.session });
        if (rows.length > 0) {
          expect(rows).toMatchObject([{ event: 'uplink.refused', actor: 'gateway/gw-1', code, outcome: 'failure' }]);
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const found: string[] = [];
      for await (const { key } of objects.list(recordingPrefix(recorder.session, recorder.header.steno.started_at))) found.push(key);
      expect(found).toEqual([]);
    });
  }

  test('a block that is cut in the wrong place', async () => {
    const recorder = recorded();
    const halves = new Recorder(identity, { session: recorder.session });
    const client = await UplinkClient.connect(address, tls, identity);
    client.send(encodeUplink('open', { session: recorder.session }));
    const { chainNext, chainStart, toHex } = await import('#schemas/recording/chain.js');
    const { sha256 } = await import('#runtime/sha256.js');
    const content = Buffer.concat(recorder.made.flatMap((each) => (each.kind === 'block' ? [each.content] : [])));
    const head = toHex(chainNext(sha256, chainStart(sha256, halves.session), content));
    client.send(encodeUplink('block', { session: recorder.session, n: 1, head }, content));
    expect((await client.next((frame) => frame.kind === 'refuse')).header).toMatchObject({ code: 'UPLINK_CHAIN_BROKEN' });
    await client.close();
  });
});

test.each([
  ['bytes that are no JSON', Buffer.from('[{"id":"a","ev')],
  ['rows that are none', Buffer.from('[{"id":"a"}]')],
  ['something that is no list', Buffer.from('{}')],
])('a batch of audit rows of %s is refused by itself: the connection and all else goes on', async (_name, payload) => {
  const recorder = recorded();
  const client = await UplinkClient.connect(address, tls, identity);
  client.send(encodeUplink('events', { id: 'bad' }, payload));
  const row = {
    id: `good-${recorder.session}`,
    at: 1,
    event: 'test.good',
    actor: '',
    target: '',
    outcome: 'success',
    code: '',
    reason: '',
    source_address: '',
    session: recorder.session,
    node: '',
    login: '',
    data: '{}',
  };
  // A batch with a known name is accepted without effect: each case needs its own name.
  client.send(encodeUplink('events', { id: row.id }, Buffer.from(JSON.stringify([row]))));
  expect((await client.next((frame) => frame.kind === 'refuse')).header).toMatchObject({ events: 'bad', code: 'UPLINK_MALFORMED' });
  await client.next((frame) => frame.kind === 'ack' && 'events' in frame.header && frame.header.events === row.id);
  await client.deliver(recorder.session, recorder.made);
  expect((await events.audit({ session: recorder.session })).rows).toMatchObject([{ event: 'test.good' }]);
  await client.close();
});

describe('events that belong to no session', () => {
  const row = {
    source: 'kubernetes',
    block: 1,
    index: 0,
    at: 1_800_000_000_000,
    offset_ms: 0,
    kind: 'kube',
    user: 'ana',
    node: '',
    login: '',
    cluster: 'c1',
    namespace: 'shop',
    pod: '',
    container: '',
    path: '/api/v1/pods',
    size: null,
    sha256: '',
    address: '',
    port: null,
    name: 'list',
    reason: '',
    outcome: 'success',
    count: null,
    data: '{}',
  };

  async function sender(
    kind: string,
    name: string,
  ): Promise<{ send(id: string, rows: unknown): Promise<UplinkFrame>; close(): Promise<void> }> {
    const client = new UplinkClient(`wss://${address}/uplink`, await services.certify(`${kind}/${name}`));
    await client.opened();
    client.send(encodeUplink('hello', { version: 2, name }));
    expect((await client.next((frame) => frame.kind === 'hello')).header).toMatchObject({ version: 2 });
    return {
      send(id, rows) {
        client.send(encodeUplink('events', { id, table: 'events' }, Buffer.from(JSON.stringify(rows))));
        return client.next((frame) => 'events' in frame.header && frame.header.events === id);
      },
      close: () => client.close(),
    };
  }

  test('are taken by version 2, acknowledged when stored, shown once, and say who sent them', async () => {
    const gateways = [await sender('gateway', 'gw-1'), await sender('gateway', 'gw-2')];
    const rows = [row, { ...row, index: 1, kind: 'admission' }];
    for (const gateway of gateways) {
      expect((await gateway.send('batch', rows)).kind).toBe('ack');
      expect((await gateway.send('batch again', rows)).kind).toBe('ack');
    }
    const stored = (await events.events({ session: '', cluster: 'c1' })).rows;
    expect(stored.map(({ emitter, index, kind, raw_kind }) => [emitter, index, kind, raw_kind])).toEqual([
      ['gateway/gw-2', 1, 'unknown', 'admission'],
      ['gateway/gw-2', 0, 'kube', ''],
      ['gateway/gw-1', 1, 'unknown', 'admission'],
      ['gateway/gw-1', 0, 'kube', ''],
    ]);
    for (const gateway of gateways) await gateway.close();
  });

  test.each([
    ['about another node', 'agent', 'web-1', { ...row, source: 'kernel', kind: 'system', node: 'web-2' }, 'UPLINK_UNAUTHENTICATED'],
    ['of Kubernetes from a node', 'agent', 'web-1', { ...row, node: 'web-1' }, 'UPLINK_UNAUTHENTICATED'],
    ['from the authority', 'authority', 'local', row, 'UPLINK_UNAUTHENTICATED'],
    ['with a session', 'gateway', 'gw-1', { ...row, session: '0'.repeat(26) }, 'UPLINK_MALFORMED'],
  ])('%s are refused, and hold up nothing else', async (_, kind, name, bad, code) => {
    const one = await sender(kind, name);
    expect((await one.send('bad', [bad])).header).toMatchObject({ code });
    expect((await one.send('none', [])).kind).toBe('ack');
    await one.close();
  });
});

describe('connections that are closed:', () => {
  const hello = (name: string, certificate: Buffer | null, version = 1): Uint8Array =>
    encodeUplink('hello', { version, name, ...(certificate === null ? {} : { certificate: certificate.toString('base64') }) });
  const cases: readonly [string, string, readonly Uint8Array[]][] = [
    ["a name that is not the certificate's", 'UPLINK_UNAUTHENTICATED', [hello('gw-2', identity.certificate)]],
    ['a recording certificate of another CA', 'UPLINK_UNAUTHENTICATED', [hello('gw-1', stranger.certificate)]],
    ['a recording certificate of another gateway', 'UPLINK_UNAUTHENTICATED', [hello('gw-1', recording.certify('gw-2').certificate)]],
    [
      'an expired recording certificate',
      'UPLINK_UNAUTHENTICATED',
      [hello('gw-1', recording.certify('gw-1', { until: 1_000 }).certificate)],
    ],
    ['a version that is not known yet', 'UPLINK_VERSION', [hello('gw-1', identity.certificate, Math.max(...UPLINK_VERSIONS) + 1)]],
    [
      'events of no session by version 1',
      'UPLINK_MALFORMED',
      [hello('gw-1', identity.certificate), encodeUplink('events', { id: 'x', table: 'events' }, Buffer.from('[]'))],
    ],
    ['bytes that are no frame', 'UPLINK_MALFORMED', [Buffer.from('GET / HTTP/1.1\r\n\r\n')]],
    ['a block before hello', 'UPLINK_MALFORMED', [encodeUplink('block', { session: '0'.repeat(26), n: 1, head: '0'.repeat(64) })]],
    [
      'a session without a recording certificate',
      'UPLINK_UNAUTHENTICATED',
      [hello('gw-1', null), encodeUplink('open', { session: '0'.repeat(26) })],
    ],
    ['frames that only ingest sends', 'UPLINK_MALFORMED', [hello('gw-1', identity.certificate), encodeUplink('ack', { events: 'x' })]],
  ];
  for (const [name, code, frames] of cases) {
    test(name, async () => {
      const client = new UplinkClient(`wss://${address}/uplink`, tls);
      await client.opened();
      for (const frame of frames) client.send(frame);
      expect((await client.next((frame) => frame.kind === 'refuse')).header).toMatchObject({ code });
      await client.closed;
    });
  }

  test('peers of other kinds, other paths, and no certificate at all', async () => {
    const open = (url: string, options: object): Promise<string> =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, UPLINK_PROTOCOL, { checkServerIdentity: () => undefined as never, ...options });
        socket.on('open', () => resolve('open'));
        socket.on('error', (error) => resolve(error.message));
      });
    const viewer = await services.certify('viewer/local');
    const agent = await services.certify('agent/web-1');
    const foreign = await (await ServiceAuthority.create()).certify('gateway/gw-1');
    expect(await open(`wss://${address}/uplink`, viewer)).toMatch('403');
    expect(await open(`wss://${address}/live?session=${'0'.repeat(26)}&after=0`, tls)).toMatch('403');
    expect(await open(`wss://${address}/live?session=${'0'.repeat(26)}&after=0`, agent)).toMatch('403');
    expect(await open(`wss://${address}/live?session=x&after=0`, viewer)).toMatch('400');
    expect(await open(`wss://${address}/uplink`, { ca: tls.ca })).not.toBe('open');
    expect(await open(`wss://${address}/uplink`, { ...foreign, ca: tls.ca })).not.toBe('open');
  });
});

test('a second connection takes over a session, and resent blocks are free', async () => {
  const recorder = recorded();
  const checkpoint = recorder.made.findIndex(({ kind }) => kind === 'checkpoint');
  const first = await UplinkClient.connect(address, tls, identity);
  await first.deliver(recorder.session, recorder.made.slice(0, checkpoint + 1));
  first.send(encodeMade(recorder.session, recorder.made[checkpoint + 1]!));
  const second = await UplinkClient.connect(address, tls, identity);
  expect(await second.deliver(recorder.session, recorder.made)).toBeGreaterThan(0);
  expect(await second.deliver(recorder.session, recorder.made)).toBe(recorder.made.filter(({ kind }) => kind === 'block').length);
  await Promise.all([first.close(), second.close()]);
  const { rows } = await events.searchScreen({ text: 'line', session: recorder.session, limit: 100 });
  expect(rows.map(({ text }) => text).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `line ${i}`));
});

test('a follower gets stored blocks, those in memory, and those to come, in order, and then the end', async () => {
  const recorder = recorded();
  const checkpoint = recorder.made.findIndex(({ kind }) => kind === 'checkpoint');
  const client = await UplinkClient.connect(address, tls, identity);
  await client.deliver(recorder.session, recorder.made.slice(0, checkpoint + 1));
  client.send(encodeMade(recorder.session, recorder.made[checkpoint + 1]!));
  const follower = new UplinkClient(`wss://${address}/live?session=${recorder.session}&after=1`, await services.certify('viewer/local'));
  await follower.next((frame) => frame.kind === 'block' && frame.header.n === 2);
  for (const each of recorder.made.slice(checkpoint + 2)) client.send(encodeMade(recorder.session, each));
  expect(await follower.closed).toBe(1000);
  const sent = recorder.made.filter((each): each is MadeBlock => each.kind === 'block').slice(1);
  expect(follower.frames.map(({ kind, header, payload }) => [kind, header, Buffer.from(payload).toString()])).toEqual(
    sent.map(({ n, head, content }) => ['block', { session: recorder.session, n, head }, content.toString()]),
  );
  await client.close();
});

test('who follows with drafts has the gateway send them, gets what continues the last block, and has it stop', async () => {
  const recorder = recorded();
  const client = await UplinkClient.connect(address, tls, identity, 4);
  client.send(encodeUplink('open', { session: recorder.session }));
  await client.next((frame) => frame.kind === 'resume');
  client.send(encodeMade(recorder.session, recorder.made[0]!));
  await client.next((frame) => frame.kind === 'ack');
  const viewer = await services.certify('viewer/local');
  const at = (after: number, more = ''): UplinkClient =>
    new UplinkClient(`wss://${address}/live?session=${recorder.session}&after=${after}${more}`, viewer);
  const [plain, first] = [at(0), at(0, '&drafts=1')];
  expect((await client.next((frame) => frame.kind === 'follow')).header).toEqual({ session: recorder.session, on: true });
  const second = at(1, '&drafts=1');
  const draft = (n: number, from: number, text: string): void =>
    client.send(encodeUplink('draft', { session: recorder.session, n, from }, Buffer.from(text)));
  const drafted = async (follower: UplinkClient, bytes: number): Promise<string> => {
    const text = (): string =>
      follower.frames.map(({ kind, payload }) => (kind === 'draft' ? Buffer.from(payload).toString() : '')).join('');
    while (text().length < bytes) await follower.next((frame) => frame.kind === 'draft' && text().length >= bytes);
    return text();
  };
  // Refused: a draft of another block, one after a hole, and one larger than a block.
  draft(1, 0, 'no');
  draft(3, 0, 'no');
  draft(2, 4, 'no');
  draft(2, 0, '[0.6,"o","li');
  draft(2, 13, 'no');
  draft(2, 12, 'ne 1');
  expect([await drafted(first, 16), await drafted(second, 16)]).toEqual(['[0.6,"o","line 1', '[0.6,"o","line 1']);
  const late = at(1, '&drafts=1');
  expect(await drafted(late, 16)).toBe('[0.6,"o","line 1');
  for (const each of recorder.made.slice(1)) client.send(encodeMade(recorder.session, each));
  expect(await Promise.all([plain, first, second, late].map(({ closed }) => closed))).toEqual([1000, 1000, 1000, 1000]);
  expect(plain.frames.some(({ kind }) => kind === 'draft')).toBe(false);
  expect(client.frames.filter(({ kind }) => kind === 'follow')).toHaveLength(1);
  await client.close();

  const other = recorded();
  const gateway = await UplinkClient.connect(address, tls, identity, 4);
  gateway.send(encodeUplink('open', { session: other.session }));
  gateway.send(encodeMade(other.session, other.made[0]!));
  await gateway.next((frame) => frame.kind === 'ack');
  const leaves = new UplinkClient(`wss://${address}/live?session=${other.session}&after=1&drafts=1`, viewer);
  await gateway.next((frame) => frame.kind === 'follow' && frame.header.on);
  await leaves.close();
  gateway.send(encodeUplink('draft', { session: other.session, n: 2, from: 0 }, Buffer.from('[0.6,"o","l')));
  await gateway.next((frame) => frame.kind === 'follow' && !frame.header.on);
  await gateway.close();
});

test('a gateway gets in while more silent connections than there is room for, of a dozen addresses, come again and again', async () => {
  const [host, port] = address.split(':') as [string, string];
  const silent = new Set<Socket>();
  let attacking = true;
  const besiege = (localAddress: string): void => {
    const socket = connect({ host, port: Number(port), localAddress }).on('error', () => undefined);
    silent.add(socket);
    socket.resume();
    socket.on('close', () => {
      silent.delete(socket);
      if (attacking) setTimeout(() => besiege(localAddress), 50);
    });
  };
  try {
    for (let n = 0; n < 1_200; n++) besiege(`127.0.7.${1 + (n % 12)}`);
    await expect.poll(() => [...silent].filter(({ readyState }) => readyState === 'open').length, { timeout: 10_000 }).toBeGreaterThan(250);
    const client = await UplinkClient.connect(address, tls, identity);
    await client.close();
  } finally {
    attacking = false;
    for (const socket of silent) socket.destroy();
  }
});
