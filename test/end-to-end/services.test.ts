/** Every service as its own process with a configuration file, and a stock OpenSSH server as the node: no `steno up`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { freePort } from '#runtime/http/free-port.js';
import type { JoinedServiceInfo } from '#schemas/api/services/services.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { startGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { joining, startService } from './services.js';
import type { Service } from './services.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
const services: Record<string, Service> = {};
const gateways: Record<string, SecondGateway> = {};
let node: StockNode;
let where: { readonly authorities: readonly string[]; readonly ingest: readonly string[] };
let authorityConfig: object;
let storeConfig: object;
let health: string;
const target = `${steno.login}@stock`;

beforeAll(async () => {
  const [authority, ingest, web, ssh, probes] = await Promise.all(Array.from({ length: 5 }, freePort));
  health = `127.0.0.1:${probes}`;
  const page = `http://localhost:${web}`;
  where = { authorities: [`https://127.0.0.1:${authority}`], ingest: [`wss://127.0.0.1:${ingest}`] };
  authorityConfig = {
    name: 'main',
    data: steno.data,
    listen: `127.0.0.1:${authority}`,
    ingest: where.ingest[0],
    ssh: `127.0.0.1:${ssh}`,
    web: page,
    health,
  };
  services['authority'] = await startService(steno, 'authority', 'main', authorityConfig);
  await must(steno.steno('login', '--data', steno.data));
  const data = join(steno.folder, 'store');
  const member = { name: 'one', data, authorities: where.authorities };
  storeConfig = {
    ingest: { ...member, listen: `127.0.0.1:${ingest}`, join: await joining(steno, 'ingest', 'one') },
    viewer: {
      ...member,
      listen: `127.0.0.1:${web}`,
      address: page,
      ssh: `127.0.0.1:${ssh}`,
      ingest: where.ingest,
      join: await joining(steno, 'viewer', 'one'),
    },
  };
  services['store'] = await startService(steno, 'store', 'one', storeConfig);
  for (const name of ['edge-1', 'edge-2']) gateways[name] = await startGateway(steno, name, where);
  node = await startStockNode(steno, 'stock');
}, 120_000);
afterAll(() =>
  stopAll(
    () => node?.stop(),
    ...Object.values(gateways).map(({ stop }) => stop),
    ...Object.values(services).map(({ drain }) => drain),
    () => steno.dispose(),
  ),
);

describe('separate services', () => {
  it('joined with tokens of their kinds, and are listed', async () => {
    const listed = await steno.json<JoinedServiceInfo[]>('services');
    expect(listed.map(({ kind, name }) => `${kind}/${name}`)).toEqual(['gateway/edge-1', 'gateway/edge-2', 'ingest/one', 'viewer/one']);
  });

  it('have their tokens listed beside those of nodes, and tokens can be revoked', async () => {
    const made = await steno.json<{ id: string }>('tokens', 'add', '--type', 'gateway', '--name', 'edge-3');
    const node = await steno.json<{ id: string }>('tokens', 'add', '--type', 'node');
    const listed = async () =>
      (await steno.json<{ id: string; type: string; name: string | null }[]>('tokens')).map(({ id, type, name }) => [id, type, name]);
    expect(await listed()).toEqual(
      expect.arrayContaining([
        [made.id, 'gateway', 'edge-3'],
        [node.id, 'node', null],
      ]),
    );
    for (const { id } of [made, node]) await must(steno.steno('tokens', 'rm', id));
    expect((await listed()).map(([id]) => id)).not.toEqual(expect.arrayContaining([made.id]));
    expect((await steno.steno('tokens', 'rm', made.id)).stderr).toContain('[NOT_FOUND]');
  });

  it('admit and record sessions', async () => {
    expect(await gateways['edge-1']!.ssh(target, 'echo hello')).toMatchObject({ status: 0, stdout: 'hello\n' });
    const sessions = await eventually(
      () => viewerOf(steno).sessions(),
      (found) => found.some(({ command, state }) => command === 'echo hello' && state !== 'live'),
    );
    expect(sessions).toHaveLength(1);
  });

  it('report on their health ports that they are ready', async () => {
    const ask = async (path: string): Promise<number> => (await fetch(`http://${health}${path}`)).status;
    expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 200]);
  });

  it('are restarted in turn during a session, which continues and is recorded whole', async () => {
    const session = gateways['edge-2']!.terminal(target);
    await session.until(/[$#] $/);
    const alive = async (word: string): Promise<void> => {
      session.write(`echo ${word}-$((20 + 3))\r`);
      await session.until(new RegExp(`${word}-23`));
    };
    await alive('before');
    expect(await services['store']!.drain()).toBe(0);
    await alive('without-store');
    expect(await services['authority']!.drain()).toBe(0);
    await alive('without-both');
    services['authority'] = await startService(steno, 'authority', 'main', authorityConfig);
    await alive('with-authority');
    expect(await gateways['edge-1']!.stop()).toBe(0);
    await alive('without-the-other-gateway');
    services['store'] = await startService(steno, 'store', 'one', storeConfig);
    // Its token was used before, so it must start with its stored certificates.
    gateways['edge-1'] = await startGateway(steno, 'edge-1', where, {
      token_file: join(steno.folder, 'gateway-edge-1.token'),
      ca_pins: [],
    });
    await alive('after');
    session.write('exit\r');
    await session.ended;
    expect(await gateways['edge-1'].ssh(target, 'echo again')).toMatchObject({ status: 0, stdout: 'again\n' });
    const recorded = await eventually(
      () => viewerOf(steno).sessions(),
      (found) => found.some(({ tty, state }) => tty && state !== 'live'),
    );
    const { id } = recorded.find(({ tty }) => tty)!;
    const file = join(steno.folder, 'whole.cast.zst');
    await must(steno.steno('export', id, '--output', file));
    expect((await steno.steno('verify', file)).status).toBe(0);
    const text = (await steno.exec('zstd', ['-dc', file])).stdout;
    for (const word of ['before', 'without-store', 'without-both', 'with-authority', 'without-the-other-gateway', 'after'])
      expect(text).toContain(`${word}-23`);
  }, 120_000);

  it('a removed service ends with its sessions, cannot start again, and joins again with a new token', async () => {
    const session = gateways['edge-1']!.terminal(target);
    await session.until(/[$#] $/);
    await must(steno.steno('services', 'rm', 'gateway/edge-1'));
    await session.until(/\[DRAINING\]/);
    await session.ended;
    expect(await gateways['edge-1']!.service.ended).toBe(77);
    const used = { token_file: join(steno.folder, 'gateway-edge-1.token'), ca_pins: [] };
    await expect(startGateway(steno, 'edge-1', where, used)).rejects.toThrow(/SERVICE_REMOVED/);
    gateways['edge-1'] = await startGateway(steno, 'edge-1', where);
    expect(await gateways['edge-1'].ssh(target, 'echo anew')).toMatchObject({ status: 0, stdout: 'anew\n' });
  });

  it('refuse a bad configuration with its line and a suggestion, and print the settings in force without secrets', async () => {
    const file = join(steno.folder, 'wrong.yaml');
    writeFileSync(file, stringify({ ...authorityConfig, listn: 'x' }));
    const refused = await steno.steno('authority', '--config', file);
    expect(refused).toMatchObject({
      status: 78,
      stderr: expect.stringMatching(/wrong\.yaml:\d+:1: listn is not a known field; did you mean "listen"\?/),
    });
    const good = join(steno.folder, 'services', 'gateway-edge-2.yaml');
    const { stdout: printed } = await must(steno.steno('gateway', '--config', good, '--print-config'));
    expect(printed).toContain('join token (join.token_file): set');
    expect(printed).not.toContain(readFileSync(join(steno.folder, 'gateway-edge-2.token'), 'utf8').trim());
  });
});
