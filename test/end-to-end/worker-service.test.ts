/** `steno gateway` with two workers, as a separate service: joining, nodes behind tunnels, draining, and a smaller number of workers later. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { JoinedServiceInfo, ServiceTokenCreated } from '#schemas/api/services/services.js';
import { dataDir, readRunFile } from '../../cli/machine/data-dir.js';
import { isOver, must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { startGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { keptPort } from './services.js';
import { startTunnelNode } from './tunnel-node.js';
import type { TunnelNode } from './tunnel-node.js';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
const target = `${steno.login}@behind`;
const workers = ['edge', 'edge-w2'];
let where: { readonly authorities: readonly string[]; readonly ingest: readonly string[] };
let join_: { readonly token_file: string; readonly ca_pins: readonly string[] };
let edge: SecondGateway;
let node: TunnelNode;
let health: string;

const start = (more: object): Promise<SecondGateway> => startGateway(steno, 'edge', where, join_, { health, ...more });
const probe = async (path: string): Promise<string> => (await fetch(`http://${health}${path}`)).text();

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const { authority, ingest } = readRunFile(dataDir(steno.data));
  where = { authorities: [authority], ingest: [ingest] };
  health = `127.0.0.1:${await keptPort()}`;
  const { token, ca_pins } = await steno.json<ServiceTokenCreated>('tokens', 'add', '--type', 'gateway', '--uses', '2');
  const file = join(steno.folder, 'edge.token');
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  join_ = { token_file: file, ca_pins };
  edge = await start({ workers: 2, drain: '1h' });
  node = await startTunnelNode(steno, 'behind');
  await eventually(
    () => edge.ssh(target, 'true'),
    ({ status }) => status === 0,
  );
}, 120_000);
afterAll(
  () =>
    stopAll(
      () => edge?.stop(),
      () => node?.stop(),
      () => steno.dispose(),
    ),
  60_000,
);

/** A shell at each worker. Tunnels count as connections too, so two shells in a row may come to the same worker: the second ends. */
async function shells(): Promise<ReadonlyMap<string, { readonly terminal: Terminal; readonly session: SessionInfo }>> {
  const found = new Map<string, { terminal: Terminal; session: SessionInfo }>();
  const known = new Set<string>();
  const spare: Terminal[] = [];
  for (let n = 0; n < 8 && found.size < workers.length; n++) {
    const terminal = edge.terminal(target);
    await terminal.until(/[$#] $/);
    const fresh = ({ id, tty, live }: SessionInfo): boolean => tty && live !== undefined && !known.has(id);
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (all) => all.some(fresh),
    );
    const session = rows.find(fresh)!;
    known.add(session.id);
    if (found.has(session.gateway)) spare.push(terminal);
    else found.set(session.gateway, { terminal, session });
  }
  for (const terminal of spare) {
    terminal.write('exit\r');
    await terminal.ended;
  }
  expect([...found.keys()].sort()).toEqual(workers);
  return found;
}

it('joins once for each worker, and listens once', async () => {
  const joined = await steno.json<JoinedServiceInfo[]>('services');
  expect(joined.filter(({ kind, name }) => kind === 'gateway' && name !== 'local').map(({ name }) => name)).toEqual(workers);
  expect(Object.keys(edge.service.addresses).sort()).toEqual(['ssh', 'tunnel']);
  expect(await probe('/readyz')).toBe('ready\n');
  expect(await probe('/metrics')).toContain('steno_gateway_worker_up{worker="edge-w2"} 1\n');
});

describe('a node behind a tunnel', () => {
  it('is reached from every worker, although only one holds its tunnel', async () => {
    const said = await Promise.all([1, 2, 3, 4].map((n) => edge.ssh(target, `seq 1 20000 | tail -1; echo said-${n}`)));
    expect(said.map(({ stdout }) => stdout)).toEqual([1, 2, 3, 4].map((n) => `20000\nsaid-${n}\n`));
    const rows = await eventually(
      async () => (await viewerOf(steno).sessions()).filter(({ command }) => command!.includes('said-')),
      (all) => all.length === 4 && all.every(isOver),
    );
    expect([...new Set(rows.map(({ gateway }) => gateway))].sort()).toEqual(workers);
    for (const { id } of rows)
      await eventually(
        () => steno.steno('verify', id),
        ({ status }) => status === 0,
      );
  }, 120_000);

  it('receives data at the speed at which it reads', async () => {
    const all = await Promise.all([1, 2].map(() => edge.ssh(target, "head -c 50000000 /dev/zero | tr '\\0' a")));
    for (const { status, stdout } of all) expect([status, stdout.length]).toEqual([0, 50_000_000]);
  }, 120_000);
});

it('is not ready between the death of its last worker and the next one', async () => {
  const children = readFileSync(`/proc/${edge.service.pid}/task/${edge.service.pid}/children`, 'utf8').trim().split(' ').map(Number);
  expect(children).toHaveLength(2);
  for (const child of children) process.kill(child, 'SIGKILL');
  await eventually(
    () => probe('/readyz'),
    (state) => state === 'starting\n',
  );
  await eventually(
    () => probe('/readyz'),
    (state) => state === 'ready\n',
  );
  await eventually(
    () => probe('/metrics'),
    (text) => workers.every((worker) => text.includes(`steno_gateway_worker_up{worker="${worker}"} 1\n`)),
  );
  await eventually(
    () => edge.ssh(target, 'true'),
    ({ status }) => status === 0,
  );
}, 60_000);

it('drains as one: sessions of both workers continue, over one tunnel, until they end', async () => {
  const all = await shells();
  process.kill(edge.service.pid, 'SIGTERM');
  for (const { terminal } of all.values()) await terminal.until(/this gateway is to stop; this session may go on for 1h/);
  expect(await probe('/readyz')).toBe('draining\n');
  expect((await edge.ssh(target, 'true')).stderr).toContain('Connection refused');
  for (const { terminal } of all.values()) {
    terminal.write('echo goes-$((20 + 3))\r');
    await terminal.until(/goes-23/);
    terminal.write('exit\r');
    expect(await terminal.ended).toBe(0);
    // The other worker still has a session, which may use the tunnel of this one.
  }
  expect(await edge.service.ended).toBe(0);
}, 90_000);

it('with fewer workers later, the surplus workers send their spools and are gone', async () => {
  edge = await start({ workers: 1 });
  await edge.service.until(/a worker that is no longer wanted has emptied its spool/);
  expect(existsSync(join(steno.folder, 'edge', 'workers', '2', 'retired'))).toBe(true);
  await eventually(
    () => edge.ssh(target, 'echo one'),
    ({ stdout }) => stdout === 'one\n',
  );
  await edge.stop();
  edge = await start({ workers: 'auto' });
  await eventually(
    () => edge.ssh(target, 'echo auto'),
    ({ stdout }) => stdout === 'auto\n',
  );
}, 90_000);
