import { once } from 'node:events';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openState } from '#stores/state/open.js';
import { auditRow } from '../records/audit.js';
import { Records } from '../records/records.js';
import { insertRequest } from '../records/requests.js';
import type { StoredRequest } from '../records/requests.js';
import { Cleanup, silent, temporaryFolder } from '../testing/authority.js';
import { MAX_WAITING, enqueue, putWebhook, referenceOf, takeCallback } from '../records/webhooks.js';
import { secretsIn } from './secrets.js';
import { WebhookSender } from './sender.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const request: StoredRequest = {
  id: 'r-abc23456',
  user: 'dan',
  state: 'pending',
  reason: 'INC-7',
  items: [{ kind: 'role', role: 'dba' }],
  created_at: 1,
  expires_at: 4e12,
  duration: 7_200_000,
  decided_at: null,
  ends_at: null,
  thresholds: { approve: 1, deny: 1 },
  pins: {},
};

interface Received {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver on loopback with specified answers, one per call; the last one repeats. */
async function receiver(
  ...answers: readonly { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }[]
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const answer = answers[Math.min(received.length, answers.length - 1)]!;
        received.push({ url: incoming.url!, headers: incoming.headers, body: Buffer.concat(chunks).toString() });
        response.writeHead(answer.status, answer.headers).end(answer.body ?? '');
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(
    () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

async function scene(documents: readonly object[]) {
  const folder = temporaryFolder(cleanup);
  const records = new Records(await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') }));
  cleanup.add(() => records.close());
  mkdirSync(join(folder, 'secrets'));
  for (const [name, text] of [
    ['hook', 'http://127.0.0.1:1/'],
    ['key', 'shhh\n'],
    ['token', 'tok'],
  ] as const)
    writeFileSync(join(folder, 'secrets', name), text, { mode: 0o600 });
  await records.act([], async (tx) => {
    await insertRequest(tx, request);
    for (const document of documents) await putWebhook(tx, webhookSchema.parse({ kind: 'webhook', ...document }), 1);
  });
  const time = { ahead: 0 };
  const sender = new WebhookSender({
    web: 'https://steno.example',
    records,
    secrets: secretsIn(join(folder, 'secrets'), {}),
    log: silent,
    clock: () => Date.now() + time.ahead,
    firstRetryMs: 20,
  });
  cleanup.add(() => sender.close());
  const tell = async (...events: readonly ('request.create' | 'request.approved')[]): Promise<void> => {
    for (const event of events)
      await records.actOn(async (tx) => ({ result: undefined, rows: await enqueue(tx, event, request.id, Date.now()) }));
    sender.wake();
  };
  const waiting = (): Promise<number> => records.read(async (db) => (await db.selectFrom('webhook_outbox').selectAll().execute()).length);
  const audit = (): Promise<readonly AuditRow[]> =>
    records.read(async (db) =>
      (await db.selectFrom('audit_outbox').selectAll().orderBy('created_at').execute()).map(({ row }) => JSON.parse(row) as AuditRow),
    );
  return { folder, records, sender, tell, waiting, audit, time };
}

const json = (url: string, more: object = {}): object => ({ name: 'j', format: 'json', url, secret: { file: 'key' }, ...more });

describe('a message', () => {
  test('goes to every webhook that wants its event, once', async () => {
    const [one, two] = [await receiver({ status: 200 }), await receiver({ status: 204 })];
    const { tell, waiting, audit } = await scene([
      json(`${one.url}/in`),
      { name: 'chat', format: 'slack', url: two.url, events: ['request.approved'] },
    ]);
    await tell('request.create', 'request.approved');
    await expect.poll(waiting).toBe(0);
    expect(one.received.map(({ url, body }) => [url, (JSON.parse(body) as { event: string }).event])).toEqual([
      ['/in', 'request.create'],
      ['/in', 'request.approved'],
    ]);
    expect(two.received).toHaveLength(1);
    expect(two.received[0]).toMatchObject({
      url: '/',
      headers: { 'content-type': 'application/json; charset=utf-8', 'user-agent': 'steno' },
    });
    expect((await audit()).map(({ event, target, outcome }) => [event, target, outcome]).sort()).toEqual([
      ['webhook.send', 'chat', 'success'],
      ['webhook.send', 'j', 'success'],
      ['webhook.send', 'j', 'success'],
    ]);
  });

  test('that is not taken goes again, with the same delivery, until it is', async () => {
    const busy = await receiver({ status: 503 }, { status: 429 }, { status: 200 });
    const { tell, waiting, audit } = await scene([json(busy.url)]);
    await tell('request.create');
    await expect.poll(waiting).toBe(0);
    expect(busy.received).toHaveLength(3);
    expect(new Set(busy.received.map(({ headers }) => headers['steno-delivery'])).size).toBe(1);
    expect((await audit()).map(({ outcome, code }) => [outcome, code])).toEqual([
      ['failure', 'WEBHOOK_FAILED'],
      ['success', ''],
    ]);
  });

  test.each([
    ['refused for good', { status: 410 }],
    ['led elsewhere', { status: 307, headers: { location: 'http://127.0.0.1:9/' } }],
    ['answered with a page', { status: 302, headers: { location: 'https://example.com/' } }],
  ])('that is %s is given up, and the audit says so', async (_, answer) => {
    const away = await receiver(answer);
    const { tell, waiting, audit } = await scene([json(away.url)]);
    await tell('request.create');
    await expect.poll(waiting).toBe(0);
    expect(away.received).toHaveLength(1);
    expect(await audit()).toMatchObject([
      { event: 'webhook.send', outcome: 'failure', code: 'WEBHOOK_FAILED', data: expect.stringContaining('"given_up":true') },
    ]);
  });

  test('that nobody takes for a day is given up', async () => {
    const { tell, waiting, time, sender } = await scene([json('http://127.0.0.1:1/')]);
    await tell('request.create');
    time.ahead = 25 * 3_600_000;
    sender.wake();
    await expect.poll(waiting).toBe(0);
  });

  test('waits for a secret that is not there yet, and never holds up what it tells of', async () => {
    const late = await receiver({ status: 200 });
    const { folder, tell, waiting } = await scene([json(late.url, { secret: { file: 'late' } })]);
    await tell('request.create');
    expect(await waiting()).toBe(1);
    writeFileSync(join(folder, 'secrets', 'late'), 'now', { mode: 0o600 });
    await expect.poll(waiting).toBe(0);
    expect(late.received).toHaveLength(1);
  });

  test('goes nowhere when its secret address is no web address', async () => {
    const { folder, tell, audit } = await scene([{ name: 'chat', format: 'slack', url: { file: 'hook' } }]);
    writeFileSync(join(folder, 'secrets', 'hook'), 'http://169.254.169.254/latest');
    await tell('request.create');
    await expect.poll(async () => (await audit()).map(({ reason }) => reason)).toEqual([expect.stringContaining('no https address')]);
  });

  test('beyond a thousand that wait is dropped, and told', async () => {
    const { records, audit } = await scene([json('http://127.0.0.1:1/')]);
    await records.actOn(async (tx) => {
      for (let i = 0; i < MAX_WAITING; i++) await enqueue(tx, 'request.create', request.id, Date.now() + 1e9);
      return {
        result: undefined,
        rows: [
          ...(await enqueue(tx, 'request.create', request.id, 1)),
          auditRow(1, { actor: 'x', source: '' }, { event: 'request.create' }),
        ],
      };
    });
    expect((await audit()).map(({ event, code }) => [event, code])).toEqual(
      expect.arrayContaining([
        ['webhook.send', 'TOO_MANY'],
        ['request.create', ''],
      ]),
    );
  });
});

test('Jira gets one issue for a request, and comments on it afterwards', async () => {
  const site = await receiver({ status: 201, body: '{"id":"10000","key":"SEC-24","self":"https://x.example.com/rest/api/3/issue/10000"}' });
  const { records, tell, waiting } = await scene([
    { name: 'tickets', format: 'jira', url: site.url, email: 'bot@example.com', token: { file: 'token' }, project: 'SEC' },
  ]);
  await tell('request.create', 'request.create', 'request.approved');
  await expect.poll(waiting).toBe(0);
  expect(site.received.map(({ url }) => url)).toEqual(['/rest/api/3/issue', '/rest/api/3/issue/SEC-24/comment']);
  expect(site.received[0]!.headers['authorization']).toBe(`Basic ${Buffer.from('bot@example.com:tok').toString('base64')}`);
  expect(await records.read((db) => referenceOf(db, 'tickets', request.id))).toBe('SEC-24');
});

test('of two senders on one state each message is sent by one', async () => {
  const there = await receiver({ status: 200 });
  const { records, tell, waiting, sender, folder } = await scene([json(there.url)]);
  const other = new WebhookSender({
    web: 'https://steno.example',
    records,
    secrets: secretsIn(join(folder, 'secrets'), {}),
    log: silent,
    clock: Date.now,
  });
  cleanup.add(() => other.close());
  for (let i = 0; i < 10; i++) {
    await tell('request.create');
    other.wake();
    sender.wake();
  }
  await expect.poll(waiting).toBe(0);
  expect(new Set(there.received.map(({ headers }) => headers['steno-delivery'])).size).toBe(10);
  expect(there.received).toHaveLength(10);
});

test('a callback is taken once, also by many at once', async () => {
  const { records } = await scene([]);
  const taken = await Promise.all(Array.from({ length: 10 }, () => records.act([], (tx) => takeCallback(tx, 'a'.repeat(64), 100, 1))));
  expect(taken.filter((first) => first)).toHaveLength(1);
  expect(await records.act([], (tx) => takeCallback(tx, 'a'.repeat(64), 200, 100))).toBe(true);
});

test('secrets are private files or the variables for them, and nothing else', async () => {
  const folder = temporaryFolder(cleanup);
  writeFileSync(join(folder, 'good'), ' s3cret \n', { mode: 0o600 });
  writeFileSync(join(folder, 'open'), 'x');
  chmodSync(join(folder, 'open'), 0o644);
  writeFileSync(join(folder, 'empty'), '\n', { mode: 0o600 });
  symlinkSync(join(folder, 'good'), join(folder, 'link'));
  mkdirSync(join(folder, 'dir'), { mode: 0o700 });
  const read = secretsIn(folder, { STENO_SECRET_A: 'from env' });
  expect([read({ file: 'good' }), read({ env: 'STENO_SECRET_A' })]).toEqual(['s3cret', 'from env']);
  for (const reference of [
    { file: 'open' },
    { file: 'empty' },
    { file: 'link' },
    { file: 'dir' },
    { file: 'none' },
    { env: 'STENO_SECRET_B' },
  ]) {
    expect(() => read(reference), JSON.stringify(reference)).toThrow(expect.objectContaining({ code: 'SECRET_MISSING' }));
  }
});
