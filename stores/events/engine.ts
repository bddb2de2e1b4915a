/**
 * The ClickHouse engine behind the event store: in this process (chDB) or a server, through one client.
 *
 * A chDB directory belongs to one process at a time (an advisory lock on its `status` file, which the kernel
 * drops when the process dies, however it dies). Its calls run on libuv's thread pool. The package sends
 * statements with bound parameters one at a time for the whole process; inserts carry none, so a long search
 * delays other searches but no insert. Three connections, each with one call at a time: writing, reading, and a
 * person's own SQL.
 * Tested in `clickhouse.test.ts`.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createClient } from '@clickhouse/client';
import type { ClickHouseClient } from '@clickhouse/client';
import { StenoError } from '#schemas/errors.js';
import { engineError } from './failures.js';

export type BoundValues = Readonly<Record<string, string | number | readonly string[]>>;

export interface Table {
  readonly meta: readonly { readonly name: string; readonly type: string }[];
  readonly data: readonly (readonly unknown[])[];
}

export interface Engine {
  /** A definition. Text from this code only. */
  command(sql: string): Promise<void>;
  /** `body` is JSONCompactEachRow. Resolves when the rows are durable. */
  insert(table: string, columns: string, body: string, token: string): Promise<void>;
  /** Values only ever reach the engine as parameters. */
  read(sql: string, parameters: BoundValues): Promise<readonly (readonly unknown[])[]>;
  /** For SQL that `sql.ts` has checked. */
  readChecked(sql: string): Promise<Table>;
  close(): Promise<void>;
}

export interface ChdbOptions {
  readonly kind: 'chdb';
  /** Absolute path of a directory of its own; created with mode 0700. */
  readonly path: string;
}

export interface ServerOptions {
  readonly kind: 'server';
  /** `http://host:8123` or `https://...`. ClickHouse 26.7 or newer, the version that is embedded. */
  readonly url: string;
  /** `[a-z][a-z0-9_]*`; created if it does not exist. `steno` unless told. */
  readonly database?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export type EngineOptions = ChdbOptions | ServerOptions;

/** The package implements the client's own contract, but against another copy of its type declarations. */
type ClientConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>;

const databasePattern = /^[a-z][a-z0-9_]{0,62}$/;
const requestTimeoutMs = 60_000;
const serverConnections = 10;

export async function openEngine(options: EngineOptions): Promise<Engine> {
  switch (options.kind) {
    case 'chdb':
      return await openChdb(options.path);
    case 'server':
      return await openServer(options);
  }
}

async function openChdb(path: string): Promise<Engine> {
  const { createChdbConnection } = await loadChdb();
  await mkdir(path, { recursive: true, mode: 0o700 });
  const connect = (): ClickHouseClient => {
    try {
      return createClient({ connection: createChdbConnection({ path }) as unknown as ClientConnection });
    } catch (error) {
      // The package tells a locked directory from a broken one only on standard error.
      throw new StenoError('STORE_UNAVAILABLE', `the event store at ${path} cannot be opened; another process may have it open`, {
        cause: error,
      });
    }
  };
  const clients: ClickHouseClient[] = [];
  try {
    clients.push(connect());
    await clients[0]!.command({ query: 'CREATE DATABASE IF NOT EXISTS steno' });
    clients.push(connect(), connect());
    for (const client of clients) await client.command({ query: 'USE steno' });
  } catch (error) {
    for (const client of clients) await client.close();
    throw engineError(error);
  }
  const [writer, reader, visitor] = clients as [ClickHouseClient, ClickHouseClient, ClickHouseClient];
  return new ClientEngine({ writer, reader, visitor, clients }, { writing: new Lane(1), reading: new Lane(1), visiting: new Lane(1) });
}

async function openServer(options: ServerOptions): Promise<Engine> {
  const database = options.database ?? 'steno';
  if (!databasePattern.test(database)) throw new StenoError('BAD_REQUEST', 'not a database name');
  const common = {
    url: options.url,
    request_timeout: requestTimeoutMs,
    max_open_connections: serverConnections,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
  };
  const first = createClient({ ...common, database: 'default' });
  try {
    const result = await first.query({ query: 'SELECT version()', format: 'JSONCompactEachRow' });
    const version = String((await result.json<readonly unknown[]>())[0]?.[0]);
    if (!isRecent(version))
      throw new StenoError('STORE_UNAVAILABLE', `ClickHouse ${oldestServer.join('.')} or newer is needed, this is ${version}`);
    await first.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
  } catch (error) {
    throw engineError(error);
  } finally {
    await first.close();
  }
  const client = createClient({ ...common, database });
  return new ClientEngine(
    { writer: client, reader: client, visitor: client, clients: [client] },
    { writing: new Lane(serverConnections), reading: new Lane(serverConnections), visiting: new Lane(2) },
  );
}

const oldestServer = [26, 7] as const;

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > oldestServer[0] || (major === oldestServer[0] && minor >= oldestServer[1]);
}

interface Clients {
  readonly writer: ClickHouseClient;
  readonly reader: ClickHouseClient;
  readonly visitor: ClickHouseClient;
  readonly clients: readonly ClickHouseClient[];
}

interface Lanes {
  readonly writing: Lane;
  readonly reading: Lane;
  readonly visiting: Lane;
}

class ClientEngine implements Engine {
  readonly #clients: Clients;
  readonly #lanes: Lanes;
  #closed: Promise<void> | undefined;

  constructor(clients: Clients, lanes: Lanes) {
    this.#clients = clients;
    this.#lanes = lanes;
  }

  async command(sql: string): Promise<void> {
    await this.#run(this.#lanes.writing, () => this.#clients.writer.command({ query: sql }));
  }

  async insert(table: string, columns: string, body: string, token: string): Promise<void> {
    // The token stands in the statement because a setting sent beside it would stay with the connection. Hashed,
    // it is hex and needs no quoting.
    const hash = createHash('sha256').update(token).digest('hex');
    const query = `INSERT INTO ${table} (${columns}) SETTINGS async_insert = 0, insert_deduplication_token = '${hash}' FORMAT JSONCompactEachRow`;
    await this.#run(this.#lanes.writing, async () => {
      const { stream } = await this.#clients.writer.exec({ query, values: Readable.from([Buffer.from(body)]) });
      await drain(stream);
    });
  }

  async read(sql: string, parameters: BoundValues): Promise<readonly (readonly unknown[])[]> {
    return await this.#run(this.#lanes.reading, async () => {
      const result = await this.#clients.reader.query({ query: sql, query_params: { ...parameters }, format: 'JSONCompactEachRow' });
      return await result.json<readonly unknown[]>();
    });
  }

  async readChecked(sql: string): Promise<Table> {
    return await this.#run(this.#lanes.visiting, async () => {
      const result = await this.#clients.visitor.query({ query: sql, format: 'JSONCompact' });
      const { meta, data } = (await result.json()) as unknown as Table;
      return { meta, data };
    });
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.all([this.#lanes.writing.idle(), this.#lanes.reading.idle(), this.#lanes.visiting.idle()]);
      for (const client of this.#clients.clients) await client.close();
    })();
    return this.#closed;
  }

  async #run<T>(lane: Lane, act: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) throw new StenoError('STORE_UNAVAILABLE', 'the event store is closed');
    try {
      return await lane.run(act);
    } catch (error) {
      throw engineError(error);
    }
  }
}

/** Lets so many calls through at a time, in order. */
class Lane {
  readonly #waiting: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #free: number;
  #running = 0;

  constructor(width: number) {
    this.#free = width;
  }

  async run<T>(act: () => Promise<T>): Promise<T> {
    this.#running += 1;
    if (this.#free > 0) this.#free -= 1;
    else
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    try {
      return await act();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
      this.#running -= 1;
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async idle(): Promise<void> {
    if (this.#running > 0)
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
  }
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const chunk of stream) void chunk;
}

async function loadChdb(): Promise<typeof import('chdb/connection')> {
  try {
    return await import('chdb/connection');
  } catch (error) {
    throw new StenoError('ENGINE_MISSING', 'chdb', { cause: error });
  }
}
