/**
 * deploy/compose: its services run as processes on this machine, from the configurations that compose.yaml mounts, and compose.yaml
 * is compared with them. Container names become loopback addresses. PostgreSQL and the bucket are real; ClickHouse is chDB behind
 * ClickHouse's HTTP interface. Not tested: the images and `docker compose`.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { JoinedServiceInfo, ServiceTokenCreated } from '#schemas/api/services/services.js';
import type { FoundHit } from '#schemas/api/recordings/find.js';
import { openHttpFront } from '#stores/events/testing/http-front.js';
import type { HttpFront } from '#stores/events/testing/http-front.js';
import { startS3Server } from '#stores/objects/s3server.js';
import type { S3Server } from '#stores/objects/s3server.js';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { must } from '../end-to-end/client-tools.js';
import { Steno, bin, eventually } from '../end-to-end/machine.js';
import { joining, keptPort, startService } from '../end-to-end/services.js';
import type { Service } from '../end-to-end/services.js';
import { startStockNode } from '../end-to-end/stock-node.js';
import type { StockNode } from '../end-to-end/stock-node.js';

const folder = join(dirname(dirname(bin)), 'deploy', 'compose');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
}
const compose = parse(read('compose.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, null>>;
};
const kinds = ['authority', 'ingest', 'gateway', 'viewer', 'analyzer'] as const;
type Kind = (typeof kinds)[number];

/** Each `scheme://host:port` and `host:port` of a configuration. */
function addresses(text: string): readonly { readonly host: string; readonly port: number }[] {
  return [...text.replace(/^\s*#.*$/gm, '').matchAll(/([a-z0-9.-]+):(\d{4,5})\b/g)].map(([, host, port]) => ({
    host: host!,
    port: Number(port),
  }));
}

describe('compose.yaml', () => {
  it('runs every service with the configuration of its name and a volume of its own', () => {
    expect(readdirSync(join(folder, 'config')).sort()).toEqual(kinds.map((kind) => `${kind}.yaml`).sort());
    for (const kind of kinds) {
      const { command, volumes } = compose.services[kind]!;
      expect(command).toEqual([kind, '--config', `/etc/steno/${kind}.yaml`]);
      expect(volumes).toEqual(['./config:/etc/steno:ro', `${kind}:/var/lib/steno`]);
      const config = parse(read(`config/${kind}.yaml`)) as { readonly data: string; readonly health: string };
      expect(config.data.startsWith('/var/lib/steno/')).toBe(true);
      expect(config.health).toBe('0.0.0.0:9000');
    }
  });

  it('defines every volume and service that it names, and no others', () => {
    const named = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0]!));
    expect([...new Set(named.filter((name) => !name.startsWith('.')))].sort()).toEqual(Object.keys(compose.volumes).sort());
    for (const { depends_on: on = [] } of Object.values(compose.services))
      for (const name of Array.isArray(on) ? (on as readonly string[]) : Object.keys(on)) expect(compose.services).toHaveProperty(name);
  });

  it('listens on the addresses in the other configurations, and publishes the documented ports', () => {
    const listening = new Map<string, Set<number>>([
      ['postgres', new Set([5432])],
      ['clickhouse', new Set([8123])],
      ['s3', new Set([Number(compose.services['s3']!.command![1]!.replace(':', ''))])],
    ]);
    for (const kind of kinds)
      listening.set(kind, new Set(addresses(read(`config/${kind}.yaml`)).flatMap(({ host, port }) => (host === '0.0.0.0' ? [port] : []))));
    const published = new Set(
      Object.values(compose.services).flatMap(({ ports = [] }) => ports.map((port) => Number(port.split(':').at(-2)))),
    );
    const told = kinds.flatMap((kind) => addresses(read(`config/${kind}.yaml`)));
    const bucket = new URL(compose.services['ingest']!.environment!['AWS_ENDPOINT_URL_S3']!);
    for (const { host, port } of [...told, { host: bucket.hostname, port: Number(bucket.port) }]) {
      if (host === '0.0.0.0') continue;
      if (host === 'localhost') expect(published, `localhost:${port}`).toContain(port);
      else expect(listening.get(host), `${host}:${port}`).toContain(port);
    }
    for (const [name, { ports = [] }] of Object.entries(compose.services))
      for (const port of ports) expect(listening.get(name), `${name} publishes ${port}`).toContain(Number(port.split(':').at(-1)));
  });

  it('contains no passwords, nor do the configurations', () => {
    const secrets = Object.values(compose.services).flatMap(({ environment = {} }) =>
      Object.entries(environment).filter(([name]) => /PASSWORD|SECRET/.test(name)),
    );
    expect(secrets.length).toBeGreaterThan(4);
    for (const [name, value] of secrets) expect(value, name).toMatch(/^\$\{[A-Z0-9]+_PASSWORD:\?set in \.env\}$/);
  });
});

const programs = postgresPrograms();

describe.skipIf('missing' in programs)(`the services of compose.yaml${'missing' in programs ? `: ${programs.missing}` : ''}`, () => {
  const steno = new Steno();
  const files = mkdtempSync(join(tmpdir(), 'steno-compose-'));
  const services: Service[] = [];
  const ports = new Map<number, number>();
  let postgres: PostgresServer;
  let front: HttpFront;
  let bucket: S3Server;
  let node: StockNode;
  let state: string;

  /** The configuration for this machine: volumes become folders, and container names become addresses. */
  const configOf = (kind: Kind, pins: readonly string[], token: string): object => {
    const local = read(`config/${kind}.yaml`)
      .replaceAll('sha256:PIN', pins.join(', '))
      .replaceAll('/var/lib/steno/token', token)
      .replaceAll('/var/lib/steno', join(files, kind))
      .replace('postgres://steno@postgres:5432/steno', state)
      .replace('http://clickhouse:8123', front.url)
      .replace(/^health: .*$/m, '')
      .replace(/\b(authority|ingest|gateway|viewer|0\.0\.0\.0|localhost):(\d{4})\b/g, (whole, host: string, port: string) => {
        const mapped = ports.get(Number(port));
        return mapped === undefined ? whole : `${host === 'localhost' ? 'localhost' : '127.0.0.1'}:${mapped}`;
      });
    return parse(local) as object;
  };
  const environmentOf = (kind: Kind): NodeJS.ProcessEnv => {
    const { environment = {} } = compose.services[kind]!;
    const given: Readonly<Record<string, string>> = {
      AWS_ENDPOINT_URL_S3: bucket.options.endpoint!,
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
      STENO_EVENTS_PASSWORD: 'not asked for',
      PGPASSWORD: 'not asked for',
    };
    return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, given[name] ?? value]));
  };

  beforeAll(async () => {
    [postgres, front, bucket] = [await startPostgres(), await openHttpFront(join(files, 'events')), await startS3Server()];
    state = await postgres.newDatabase();
    for (const port of [8022, 8024, 8025, 8026, 8090]) ports.set(port, await keptPort());
  }, 120_000);
  afterAll(async () => {
    await node?.stop();
    for (const { drain } of [...services].reverse()) await drain('SIGINT');
    await front?.close();
    await bucket?.close();
    await postgres?.close();
    await steno.dispose();
    rmSync(files, { recursive: true, force: true });
  }, 120_000);

  it('join in the order of join.sh and serve', async () => {
    for (const kind of kinds) {
      const join_ = kind === 'authority' ? { token_file: '', ca_pins: [] } : await joining(steno, kind, `${kind}-1`);
      services.push(await startService(steno, kind, `${kind}-1`, configOf(kind, join_.ca_pins, join_.token_file), environmentOf(kind)));
      if (kind === 'authority') await must(steno.steno('login', '--data', join(files, 'authority', 'authority')));
    }
    const joined = await steno.json<JoinedServiceInfo[]>('services');
    expect(joined.map(({ kind, name }) => `${kind}/${name}`).sort()).toEqual(
      kinds.flatMap((kind) => (kind === 'authority' ? [] : [`${kind}/${kind}-1`])).sort(),
    );
  });

  it('record a session into the bucket and find it', async () => {
    node = await startStockNode(steno, 'stock');
    expect(await steno.ssh(`${steno.login}@stock.steno`, 'echo composed-word')).toMatchObject({ status: 0, stdout: 'composed-word\n' });
    await eventually(
      () => steno.json<FoundHit[]>('search', 'composed-word', 'kind:screen'),
      (hits) => hits.length === 1,
    );
    expect(bucket.requests.some(({ method, url }) => method === 'PUT' && url?.startsWith('/recordings/steno/') === true)).toBe(true);
  });

  it('the command prints tokens in the form that join.sh reads', async () => {
    const { stdout: printed } = await must(steno.steno('tokens', 'add', '--type', 'ingest', '--name', 'ingest-2', '--json'));
    const { token, ca_pins } = JSON.parse(printed) as ServiceTokenCreated;
    const [first, second] = [...read('join.sh').matchAll(/sed -n '([^']+)'/g)].map(([, script]) => script!);
    const sed = (script: string): Promise<string> =>
      steno.exec('sed', ['-n', script], { input: printed }).then(({ stdout }) => stdout.trim());
    expect(await sed(first!)).toBe(token);
    expect((await sed(second!)).split('\n')[0]).toBe(ca_pins[0]);
    expect((await steno.exec('sh', ['-n', join(folder, 'join.sh')])).status).toBe(0);
  });
});
