/**
 * The live list of 10,000 nodes, filtered for a user; and bulk through a tunnel compared with a direct connection.
 *
 * The list is measured twice: the filter alone, and the whole call of `steno nodes` over TLS.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { reachableNodes } from '#schemas/policy/node.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { Agent } from 'node:https';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import { openState } from '#stores/state/open.js';
import { startAuthority } from '../../../authority/app.js';
import { record } from '../transport/bulk.js';
import type { Field } from '../../field.js';
import { interleave, quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const NODES = 10_000;

export async function liveList(rounds: number): Promise<Section> {
  process.stderr.write('live list\n');
  const nodes: NodeRecord[] = Array.from({ length: NODES }, (_, i) => ({
    name: `node-${i}`,
    kind: 'agent',
    address: '',
    host_keys: [],
    last_seen_at: null,
    tunnel_key: 'a'.repeat(64),
    labels: { env: i % 10 === 0 ? 'prod' : 'dev', team: `team-${i % 25}`, 'node/os': 'linux' },
  }));
  const roles = [
    roleSchema.parse({
      kind: 'role',
      name: 'dev',
      allow: { nodes: { env: 'dev', team: ['team-3', 'team-7'] }, logins: ['{user}', 'deploy'] },
    }),
    roleSchema.parse({ kind: 'role', name: 'ops', allow: { nodes: { env: 'prod' }, logins: ['*'] }, deny: { nodes: { team: 'team-5' } } }),
  ];
  const filter: number[] = [];
  let seen = 0;
  for (let round = 0; round < rounds * 10; round++) {
    const start = performance.now();
    seen = reachableNodes({ user: 'bench', traits: {}, roles }, nodes).length;
    filter.push(performance.now() - start);
  }
  const whole = await wholeCall(nodes, rounds * 4);
  const row = (what: string, values: readonly number[]): string[] => [what, ...[0.5, 0.99, 1].map((q) => round3(quantile(values, q)))];
  return {
    title: `Live list of ${NODES.toLocaleString('en')} nodes`,
    how: `Nodes behind tunnels, all live, two roles of which one denies; ms. The filter leaves ${seen}; the whole call answers all ${NODES}.`,
    header: ['', 'p50', 'p99', 'most'],
    rows: [row('filtered for a user', filter.slice(5)), row('GET /v1/nodes over TLS, with states, all nodes', whole)],
  };
}

/** An authority with this many nodes, all held by one gateway. A gateway asks, so nothing is filtered. */
async function wholeCall(nodes: readonly NodeRecord[], rounds: number): Promise<readonly number[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'steno-bench-nodes-'));
  const log = pino({ level: 'silent' });
  const first = await startAuthority({ dataDir, listen: '127.0.0.1:0', name: 'main' }, { log, clock: Date.now });
  await first.close();
  const db = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
  const rows = nodes.map(({ name, labels }) => ({
    name,
    kind: 'agent' as const,
    address: '',
    host_keys: '[]',
    labels: JSON.stringify(labels),
    created_at: 0,
    last_seen_at: null,
  }));
  for (let i = 0; i < rows.length; i += 500)
    await db
      .insertInto('nodes')
      .values(rows.slice(i, i + 500))
      .execute();
  await db.destroy();
  const authority = await startAuthority({ dataDir, listen: '127.0.0.1:0', name: 'main' }, { log, clock: Date.now });
  const identity = await openServiceIdentity({ kind: 'gateway', name: 'gw', socket: authority.addresses.socket }, { log, clock: Date.now });
  const agent = new Agent({ ...identity.tlsClientOptions(['authority']), keepAlive: true });
  const call = (method: 'GET' | 'PUT', target: string, body?: unknown) =>
    callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method, target, ...(body === undefined ? {} : { body }) });
  const held = { epoch: 'a'.repeat(16), address: '', up: [], down: [] };
  await call('PUT', '/v1/nodes/held', { ...held, all: nodes.map(({ name }) => name) });
  const times: number[] = [];
  for (let round = 0; round < rounds + 3; round++) {
    await call('PUT', '/v1/nodes/held', held);
    const start = performance.now();
    const answer = (await call('GET', '/v1/nodes')) as { state: string }[];
    times.push(performance.now() - start);
    if (answer.filter(({ state }) => state === 'live').length !== nodes.length) throw new Error('not all are live');
  }
  agent.destroy();
  identity.close();
  await authority.close();
  rmSync(dataDir, { recursive: true, force: true });
  return times.slice(3);
}

/** `MIB` of zeros through the gateway, from this machine as a node: at its direct address, and through a tunnel. */
export async function throughTunnel(field: Field, rounds: number, mib: number): Promise<Section> {
  process.stderr.write('bulk through a tunnel\n');
  const { steno } = field;
  // Recording the stream in full would hide the cost of the tunnel.
  await record(field, 'limited');
  const { token, gateways, ca_pins } = await steno.json<JoinTokenCreated>('tokens', 'add', '--type', 'node');
  const bin = new URL('../../../../bin/steno', import.meta.url).pathname;
  const child = spawn(
    process.execPath,
    [
      bin,
      'agent',
      '--token-file',
      '-',
      '--gateway',
      gateways.join(','),
      '--ca-pin',
      ca_pins.join(','),
      '--name',
      'behind',
      '--data',
      join(steno.folder, 'agent-behind'),
    ],
    { env: steno.env, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  child.stdin.end(token);
  await once(child.stdout, 'data');
  const run = (node: string) => async (): Promise<number> => {
    const start = performance.now();
    execFileSync('ssh', ['-F', steno.config, `${steno.login}@${node}.steno`, `head -c ${mib << 20} /dev/zero`], {
      env: steno.env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return (mib * 1000) / (performance.now() - start);
  };
  const [direct, tunnel] = await interleave(
    [
      { name: 'direct', run: run('local') },
      { name: 'tunnel', run: run('behind') },
    ],
    rounds,
  );
  child.kill('SIGTERM');
  await once(child, 'exit');
  const cells = ({ median, min, max }: { median: number; min: number; max: number }): string =>
    `${round3(median)} (${round3(min)}–${round3(max)})`;
  return {
    title: 'Bulk through a tunnel',
    how: `\`ssh NODE.steno head -c ${mib}M /dev/zero\`, recorded, through the gateway to Steno's own node service on the same machine, MiB/s, median (least–most) of ${rounds} rounds. Agent, gateway and client share the cores; the tunnel adds TLS at both ends.`,
    header: ['direct', 'through a tunnel', 'tunnel / direct'],
    rows: [[cells(direct!), cells(tunnel!), `${(tunnel!.median / direct!.median).toFixed(2)}x`]],
  };
}
