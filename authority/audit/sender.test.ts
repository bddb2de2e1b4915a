import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { auditRow as auditRowSchema } from '#schemas/events/rows.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { UPLINK_PROTOCOL, UPLINK_VERSION, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { ServiceKind } from '#schemas/base/identity.js';
import { administrator, authorityIn, Cleanup, identityOf, onSocket, temporaryFolder } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Ingest {
  readonly url: string;
  readonly rows: Map<string, AuditRow>;
  readonly batches: string[];
  /** Resolves once `holds` does. */
  until(holds: () => boolean): Promise<void>;
}

/** A receiver on the real protocol; `answer` says what happens to the n-th batch. */
async function ingest(
  authority: RunningAuthority,
  answer: (n: number) => 'ack' | 'drop' | 'store-and-drop' = () => 'ack',
  kind: ServiceKind = 'ingest',
): Promise<Ingest> {
  const identity = await identityOf(authority, { kind, name: 'local' }, cleanup);
  const server = createServer(identity.tlsServerOptions());
  identity.guard(server, ['gateway', 'authority']);
  const sockets = new WebSocketServer({ server, handleProtocols: () => UPLINK_PROTOCOL });
  const rows = new Map<string, AuditRow>();
  const batches: string[] = [];
  const waiting = new Set<() => void>();
  sockets.on('connection', (socket: WebSocket) => {
    socket.on('message', (data: Buffer) => {
      const frame = decodeUplink(data);
      if (frame.kind === 'hello') socket.send(encodeUplink('hello', { version: UPLINK_VERSION, name: 'local' }));
      if (frame.kind !== 'events') return;
      batches.push(frame.header.id);
      const verdict = answer(batches.length);
      if (verdict !== 'drop')
        for (const row of auditRowSchema.array().parse(JSON.parse(Buffer.from(frame.payload).toString('utf8')))) rows.set(row.id, row);
      if (verdict === 'ack') socket.send(encodeUplink('ack', { events: frame.header.id }));
      else socket.terminate();
      for (const check of waiting) check();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  return {
    url: `wss://127.0.0.1:${(server.address() as AddressInfo).port}/uplink`,
    rows,
    batches,
    until: (holds) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (holds()) {
            waiting.delete(check);
            resolve();
          }
        };
        waiting.add(check);
        check();
      }),
  };
}

const events = ({ rows }: Ingest): string[] => [...rows.values()].map(({ event, outcome }) => `${event} ${outcome}`);

describe('the audit', () => {
  test('tells of every act and every refusal, in valid rows, without any token', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    const { url_token: token } = (await onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' })) as { url_token: string };
    await admin.call('PUT', '/v1/nodes/../x', {}).catch(() => undefined);
    await admin.call('DELETE', '/v1/nodes/nobody').catch(() => undefined);
    const receiver = await ingest(authority);
    await onSocket(authority, { method: 'PUT', target: '/v1/ingest', body: { url: receiver.url } });
    const wanted = [
      'ca.create success',
      'user.create success',
      'user.login success',
      'service.enroll success',
      'sign_in_link.create success',
      'node.delete failure',
    ];
    await receiver.until(() => wanted.every((event) => events(receiver).includes(event)));
    expect(JSON.stringify([...receiver.rows.values()])).not.toContain(token);
    const refused = [...receiver.rows.values()].find(({ event }) => event === 'node.delete');
    expect(refused).toMatchObject({ actor: admin.login.user, target: 'nobody', code: 'NODE_UNKNOWN', source_address: '127.0.0.1' });
    await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
    await receiver.until(() => events(receiver).includes('node.put success'));
  });

  test.each(['drop', 'store-and-drop'] as const)('survives a receiver that fails (%s): every row arrives, each once', async (failure) => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const receiver = await ingest(authority, (n) => (n <= 2 ? failure : 'ack'));
    authority.setIngest([receiver.url]);
    await receiver.until(() => receiver.batches.length >= 3);
    expect(events(receiver).filter((event) => event === 'ca.create success')).toHaveLength(1);
    if (failure === 'drop') expect(new Set(receiver.batches.slice(0, 2)).size).toBe(1);
  });

  test('goes to another ingest where one is away, hangs up, or is lost', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const [first, second] = [await ingest(authority, (n) => (n === 1 ? 'ack' : 'drop')), await ingest(authority)];
    authority.setIngest(['wss://127.0.0.1:1/uplink', first.url, second.url]);
    await first.until(() => first.batches.length === 1);
    await onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' });
    await second.until(() => events(second).includes('sign_in_link.create success'));
    expect(events(first)).toContain('ca.create success');
  });

  test('waits on disk over a restart until there is a receiver', async () => {
    const dir = temporaryFolder(cleanup);
    const first = await authorityIn(dir, cleanup);
    await administrator(first, cleanup);
    await first.close();
    const second = await authorityIn(dir, cleanup);
    const receiver = await ingest(second);
    second.setIngest([receiver.url]);
    await receiver.until(() => events(receiver).includes('user.login success'));
  });

  test('is not given to a server of another kind', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const impostor = await ingest(authority, () => 'ack', 'agent');
    authority.setIngest([impostor.url]);
    const receiver = await ingest(authority);
    await new Promise((resolve) => setImmediate(resolve));
    authority.setIngest([receiver.url]);
    await receiver.until(() => events(receiver).includes('ca.create success'));
    expect(impostor.batches).toEqual([]);
  });
});
