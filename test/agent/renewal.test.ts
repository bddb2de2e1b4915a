/**
 * A node behind a tunnel renews its certificates: over the tunnel before they expire, or over `/v1/join/renew` if the node was
 * off when they did. Authority, tunnel port and node run in this process; the authority's clock makes certificates that expire
 * within a minute.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { serviceSigner, signRenewal } from '#runtime/service/joining.js';
import type { NodeKeys } from '#runtime/service/joining.js';
import { generateKey, generateKeyPem, loadPrivateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { startNode } from '../../agent/node/node.js';
import type { NodeConfig, RunningNode } from '../../agent/node/node.js';
import { Cleanup, administrator, authorityIn, clientOf, silent, temporaryFolder } from '../../authority/testing/authority.js';
import type { Administrator } from '../../authority/testing/authority.js';
import { listenForTunnels } from '../../gateway/tunnel/listener.js';
import type { TunnelListener } from '../../gateway/tunnel/listener.js';

const LIFE_MS = 24 * 3_600_000;
const cleanup = new Cleanup();
let dataDir: string;
let admin: Administrator;
let tunnel: TunnelListener;
/** How far the authority's clock is behind, in ms. */
let behind = 0;
const told: { readonly event: string; readonly code?: string; readonly node?: string }[] = [];

beforeAll(async () => {
  dataDir = temporaryFolder(cleanup);
  const clock = (): number => Date.now() - behind;
  const authority = await authorityIn(dataDir, cleanup, {}, clock);
  admin = await administrator(authority, cleanup);
  const client = await clientOf(authority, { kind: 'gateway', name: 'gw', hostNames: ['127.0.0.1'] }, cleanup);
  tunnel = await listenForTunnels(
    { host: '127.0.0.1', port: 0 },
    {
      name: 'gw',
      identity: client.identity,
      ingest: ['wss://127.0.0.1:1'],
      relayed: (socket) => socket.terminate(),
      eventLogs: { closed: true, find: () => Promise.resolve(null), room: () => Promise.resolve(true) },
      ssh: { taking: () => false, accept: (wire) => wire.destroy() },
      calls: client.nodes,
      held: () => undefined,
      log: silent,
      now: Date.now,
      snapshot: () => client.current(),
      onChange: (callback) => client.onChange(() => callback()),
      audit: (entry) => void told.push(entry as (typeof told)[number]),
    },
  );
  cleanup.add(() => tunnel.close());
});
afterAll(() => cleanup.run());

/** Joins a node with certificates that expire in `leftMs`. */
async function joined(
  name: string,
  leftMs: number,
): Promise<{ readonly config: NodeConfig; readonly node: RunningNode; readonly stop: () => Promise<void> }> {
  behind = 0;
  const { token, ca_pins } = (await admin.call('POST', '/v1/tokens', {
    ttl_ms: 60_000,
    uses: 1,
    labels: {},
    node_labels: [],
  })) as JoinTokenCreated;
  const folder = temporaryFolder(cleanup);
  const hostKey = join(folder, 'ssh_host_key');
  writeFileSync(hostKey, generateKey().toOpenSsh(), { mode: 0o600 });
  const config: NodeConfig = {
    dataDir: join(folder, 'agent'),
    settings: {
      version: 1,
      name,
      gateways: [tunnel.address],
      ca_pins: [...ca_pins],
      ssh: 'openssh',
      sshd: '127.0.0.1:1',
      sshd_host_key: hostKey,
    },
    token,
    labels: {},
    labelCommands: [],
    watchLogins: false,
    cloud: null,
  };
  behind = LIFE_MS - leftMs;
  const node = await startNode(config, { log: silent });
  // The node has joined; its tunnel is not up yet.
  behind = 0;
  const stop = async (): Promise<void> => node.close();
  cleanup.add(stop);
  return { config: { ...config, token: undefined }, node, stop };
}

const enrolment = ({ dataDir: folder }: NodeConfig): Enrolment =>
  JSON.parse(readFileSync(join(folder, 'enrolment.json'), 'utf8')) as Enrolment;
const endOf = (config: NodeConfig): number => Date.parse(new X509Certificate(enrolment(config).service_certificate).validTo);
const keysOf = ({ dataDir: folder, settings }: NodeConfig): NodeKeys => ({
  service: serviceSigner(readFileSync(join(folder, 'service.key'), 'utf8')),
  host: loadPrivateKey(readFileSync(settings.sshd_host_key, 'utf8')),
});
async function rows(event: string): Promise<readonly AuditRow[]> {
  const state = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
  const all = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
  await state.destroy();
  return all.filter((row) => row.event === event);
}
/** Polls: no event announces a renewal. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('certificates that expire in a minute', () => {
  it('are renewed over the tunnel as soon as the node is up, without a token and without ending the tunnel', async () => {
    const { config, node, stop } = await joined('early', 60_000);
    expect(endOf(config) - Date.now()).toBeLessThanOrEqual(60_000);
    const before = told.length;
    await node.up;
    await until(() => endOf(config) - Date.now() > LIFE_MS - 120_000);
    expect(told.slice(before).filter(({ event }) => event === 'tunnel.close')).toEqual([]);
    expect((await rows('service.renew')).filter(({ node: name }) => name === 'early')).toMatchObject([
      { actor: 'agent/early', outcome: 'success', target: 'agent/early' },
    ]);
    await stop();
  });

  it('that expired while the node was off are renewed by proof of its key', async () => {
    const { config, stop } = await joined('late', 1_000);
    await stop();
    const old = endOf(config);
    await until(() => Date.now() > old);
    const again = await startNode(config, { log: silent });
    cleanup.add(() => again.close());
    await again.up;
    expect(endOf(config)).toBeGreaterThan(Date.now() + LIFE_MS / 2);
    expect((await rows('service.renew')).filter(({ node: name }) => name === 'late')).toMatchObject([
      { actor: 'agent/late', outcome: 'success' },
    ]);
    await again.close();
  });
});

describe('at /v1/join/renew', () => {
  let config: NodeConfig;
  let post: (body: unknown) => Promise<unknown>;
  beforeAll(async () => {
    const { config: made, node, stop } = await joined('copied', LIFE_MS);
    await node.up;
    await stop();
    config = made;
    const agent = new Agent({ ca: enrolment(config).service_ca, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    post = (body) =>
      callAuthority({ kind: 'tls', url: `https://${tunnel.address}`, agent }, { method: 'POST', target: '/v1/join/renew', body });
  });
  /** The refusal as the authority and the gateway audited it. */
  const refused = async (body: unknown): Promise<readonly unknown[]> => {
    const [before, known] = [told.length, (await rows('node.request')).length];
    const code = await post(body).then(
      () => 'ok',
      (error: { code: string }) => error.code,
    );
    const at = (await rows('node.request')).slice(known);
    expect(told.slice(before).map(({ event, code: said }) => [event, said])).toEqual([['node.renew', code]]);
    return [code, ...at.map(({ code: said, target, outcome }) => `${said} ${target} ${outcome}`)];
  };

  it('a renewal request is accepted once; a replay is refused and audited', async () => {
    const renewal = signRenewal(keysOf(config), 'copied', Date.now());
    await expect(post(renewal)).resolves.toMatchObject({ service_certificate: expect.stringContaining('BEGIN CERTIFICATE') });
    expect(await refused(renewal)).toEqual(['REQUEST_REPLAYED', 'REQUEST_REPLAYED copied failure']);
  });

  it('an old request is refused', async () => {
    expect(await refused(signRenewal(keysOf(config), 'copied', Date.now() - 600_000))).toEqual([
      'REQUEST_REPLAYED',
      'REQUEST_REPLAYED copied failure',
    ]);
  });

  it('the certificate without its key is refused', async () => {
    const stranger: NodeKeys = { service: serviceSigner(generateKeyPem('p256')), host: generateKey() };
    expect(await refused(signRenewal(stranger, 'copied', Date.now()))).toEqual(['CERT_BAD_SIGNATURE', 'CERT_BAD_SIGNATURE copied failure']);
    const { service } = keysOf(config);
    const claimed: NodeKeys = { ...stranger, service: { publicPem: service.publicPem, sign: (data) => stranger.service.sign(data) } };
    expect(await refused(signRenewal(claimed, 'copied', Date.now()))).toEqual(['CERT_BAD_SIGNATURE', 'CERT_BAD_SIGNATURE copied failure']);
  });

  it('the gateway refuses a malformed request', async () => {
    expect(await refused({ no: 'renewal' })).toEqual(['BAD_REQUEST']);
  });

  it('a stolen key is refused once the node is removed', async () => {
    await admin.call('DELETE', '/v1/nodes/copied');
    expect(await refused(signRenewal(keysOf(config), 'copied', Date.now()))).toEqual(['NODE_UNKNOWN', 'NODE_UNKNOWN copied failure']);
    const thief = await startNode(config, { log: silent });
    cleanup.add(() => thief.close());
    await until(() => told.some(({ event, code, node }) => event === 'tunnel.refused' && code === 'NODE_UNKNOWN' && node === 'copied'));
    await thief.close();
  });
});
