import { afterEach, expect, test } from 'vitest';
import { sessionId } from '#schemas/recording/line.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { Cleanup, administrator, authorityIn, clientOf, identityOf, temporaryFolder } from '../testing/authority.js';
import { Agent } from 'node:https';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const body = {
  event: 'recording.export',
  actor: 'ann',
  source_address: '192.0.2.7',
  session: sessionId(Date.UTC(2026, 4, 3), new Uint8Array(10)),
  node: 'web-1',
  login: 'www',
  format: 'cast',
  code: null,
  reason: '',
};

test('what a viewer tells is an audit row of the person; nobody else may tell', async () => {
  const dir = temporaryFolder(cleanup);
  const authority = await authorityIn(dir, cleanup);
  const viewer = await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
  const tell = (told: unknown, client = '192.0.2.7'): Promise<unknown> => viewer.relaying({ client })('POST', '/v1/disclosures', told);
  await tell(body);
  await tell({ ...body, event: 'recording.view', format: undefined, code: 'ACCESS_DENIED', reason: 'no role' });
  await expect(tell({ ...body, event: 'user.delete' }, '')).rejects.toMatchObject({ code: 'BAD_REQUEST' });

  const admin = await administrator(authority, cleanup);
  await expect(admin.call('POST', '/v1/disclosures', body)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  const gateway = await identityOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
  const agent = new Agent(gateway.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  await expect(
    callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'POST', target: '/v1/disclosures', body }),
  ).rejects.toMatchObject({ code: 'ACCESS_DENIED' });

  const { default: Database } = await import('better-sqlite3');
  const rows = new Database(`${dir}/authority/state.sqlite`, { readonly: true })
    .prepare("select row from audit_outbox where row like '%\"recording.%' order by rowid")
    .all() as { row: string }[];
  expect(
    rows.map(({ row }) => JSON.parse(row) as Record<string, unknown>).filter(({ event }) => event !== 'recording.disclose'),
  ).toMatchObject([
    {
      event: 'recording.export',
      actor: 'ann',
      outcome: 'success',
      source_address: '192.0.2.7',
      session: body.session,
      target: body.session,
      node: 'web-1',
      login: 'www',
      data: '{"format":"cast"}',
    },
    { event: 'recording.view', actor: 'ann', outcome: 'failure', code: 'ACCESS_DENIED', reason: expect.stringContaining('no role') },
  ]);
});
