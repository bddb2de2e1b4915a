/**
 * The ClickHouse engine behind the event store: in this process (chDB) or a server over HTTP, through one client.
 *
 * A chDB directory belongs to one process at a time (an advisory lock on its `status` file, released by the kernel however
 * the process dies). Its calls run on libuv's thread pool. The package runs statements with bound parameters one at a time
 * per process; inserts have none, so a long search delays other searches but no insert. There are four connections with one
 * call at a time each: writing, findings, reading, and users' own SQL. Findings have a separate connection because somebody is
 * waiting for them, and an insert of a busy node's rows takes half a second. A fifth, which runs nothing, is opened first and closed
 * last: a process has one engine, and only the first connection can pass arguments to it. With a server there are as many connections
 * as Steno has concurrent calls, plus two for users' own SQL.
 *
 * Tested in `stores/events/clickhouse/store.test.ts` and `stores/events/clickhouse/http.test.ts`.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import type { ClickHouseClient } from '@clickhouse/client';
import { StenoError } from '#schemas/base/errors.js';
import type { QueryProgress, RunningQuery } from '../contract.js';
import { engineError } from './failures.js';
import { EMBEDDED, insertSettings, onCluster } from './layout.js';
import type { Layout } from './layout.js';

export type BoundValues = Readonly<Record<string, string | number | readonly string[]>>;

export interface Table {
  readonly meta: readonly { readonly name: string; readonly type: string }[];
  readonly data: readonly (readonly unknown[])[];
}

export interface Engine {
  readonly layout: Layout;
  /** The database that contains the tables. */
  readonly database: string;
  /** Runs a definition; its text must come from this code. */
  command(sql: string): Promise<void>;
  /** `body` is JSONCompactEachRow. Resolves when the rows are durable. */
  insert(table: string, columns: string, body: string, token: string): Promise<void>;
  /** Values reach the engine only as parameters. */
  read(sql: string, parameters: BoundValues): Promise<readonly (readonly unknown[])[]>;
  /** Runs SQL that `sql/guard.ts` has checked. With `running` it can be cancelled (QUERY_CANCELLED), also while it waits for its turn. */
  readChecked(sql: string, running?: RunningQuery): Promise<Table>;
  /** Progress of the statement with this mark; null if it is not running. */
  progress(mark: string): Promise<QueryProgress | null>;
  close(): Promise<void>;
}

export interface ChdbOptions {
  readonly kind: 'chdb';
  /** Absolute path of a directory of its own; created with mode 0700. */
  readonly path: string;
}

export interface ServerOptions {
  readonly kind: 'server';
  /** `http://host:8123` or `https://...`. ClickHouse 26.7 or newer, the embedded version. */
  readonly url: string;
  /** `[a-z][a-z0-9_]*`; created if missing. `steno` by default. */
  readonly database?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Time limit of a request in ms; a minute by default. Users' own SQL gets more. */
  readonly timeoutMs?: number | undefined;
  /** Name of a cluster in the server's configuration across which tables are replicated. `[a-zA-Z_][a-zA-Z0-9_]*`. */
  readonly cluster?: string | undefined;
}

export type EngineOptions = ChdbOptions | ServerOptions;

/** The package implements the client's contract, but against another copy of its type declarations. */
type ClientConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>;

const databasePattern = /^[a-z][a-z0-9_]{0,62}$/;
/**
 * Each engine thread holds three descriptors of /proc while it lives, so idle ones end, except for a few. Merges, half of
 * the work of indexing much output, run at lower priority than everything else on the machine.
 */
const engineArguments = ['--max_thread_pool_free_size=4', '--os_threads_nice_value_merge_mutate=15'];
const requestTimeoutMs = 60_000;
/** A user's own query may run for five minutes, and its answer takes a while to transfer. */
const userSqlTimeoutMs = 330_000;
const serverConnections = 10;
const userSqlConnections = 2;
const KILL_AGAIN_MS = 500;
const clusterPattern = /^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/;

export async function openEngine(options: EngineOptions): Promise<Engine> {
  switch (options.kind) {
    case 'chdb':
      return await openChdb(options.path);
    case 'server':
      return await openServer(options);
  }
}

async function openChdb(path: string): Promise<Engine> {
  const [{ createChdbConnection }, { Session }] = await loadChdb();
  await mkdir(path, { recursive: true, mode: 0o700 });
  const opened = <T>(open: () => T): T => {
    try {
      return open();
    } catch (error) {
      // The package distinguishes a locked directory from a broken one only on standard error.
      throw new StenoError('STORE_UNAVAILABLE', `the event store at ${path} cannot be opened; another process may have it open`, {
        cause: error,
      });
    }
  };
  const connect = (): ClickHouseClient =>
    opened(() => createClient({ connection: createChdbConnection({ path }) as unknown as ClientConnection }));
  const use = async (): Promise<ClickHouseClient> => {
    const client = connect();
    try {
      await client.command({ query: 'CREATE DATABASE IF NOT EXISTS steno' });
      await client.command({ query: 'USE steno' });
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  };
  const host = opened(() => new Session(path, { connectionArgs: engineArguments }));
  const clients: { close(): Promise<void> | void }[] = [host];
  try {
    const links: Link[] = [];
    for (let i = 0; i < 4; i += 1) {
      const link = new Link(await use(), use);
      links.push(link);
      clients.unshift(link);
    }
    const [writer, findings, reader, userSql] = links as [Link, Link, Link, Link];
    return new ClientEngine(
      EMBEDDED,
      'steno',
      { writer, findings, reader, userSql, clients },
      { writing: new Lane(1), findings: new Lane(1), reading: new Lane(1), userSql: new Lane(1) },
    );
  } catch (error) {
    for (const client of clients) await client.close();
    throw engineError(error);
  }
}

async function openServer(options: ServerOptions): Promise<Engine> {
  const { database = 'steno', cluster, timeoutMs = requestTimeoutMs } = options;
  if (!databasePattern.test(database)) throw new StenoError('BAD_REQUEST', 'not a database name');
  if (cluster !== undefined && !clusterPattern.test(cluster)) throw new StenoError('BAD_REQUEST', 'not a cluster name');
  const layout: Layout = { kind: 'server', cluster };
  const connect = (name: string, connections: number, timeout: number): ClickHouseClient =>
    createClient({
      url: options.url,
      database: name,
      request_timeout: timeout,
      max_open_connections: connections,
      // The query limits handle an answer that outgrows memory, the timeout one that stalls.
      compression: { request: true, response: true },
      // Failures are thrown, and logged by the caller.
      log: { level: ClickHouseLogLevel.OFF },
      // The status of an answer tells how the statement ended, not how it began.
      clickhouse_settings: { wait_end_of_query: 1 },
      ...(options.username === undefined ? {} : { username: options.username }),
      ...(options.password === undefined ? {} : { password: options.password }),
    });
  const first = connect('default', 1, timeoutMs);
  try {
    const result = await first.query({ query: 'SELECT version()', format: 'JSONCompactEachRow' });
    const version = String((await result.json<readonly unknown[]>())[0]?.[0]);
    if (!isRecent(version))
      throw new StenoError('STORE_UNAVAILABLE', `ClickHouse ${oldestServer.join('.')} or newer is needed, this is ${version}`);
    await first.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}${onCluster(layout)}` });
  } catch (error) {
    throw engineError(error);
  } finally {
    await first.close();
  }
  const client = connect(database, 2 * serverConnections, timeoutMs);
  // Separate sockets, so that users' queries take none from Steno's.
  const userSql = connect(database, userSqlConnections, userSqlTimeoutMs);
  const writer = new Link(client);
  const writing = new Lane(serverConnections);
  return new ClientEngine(
    layout,
    database,
    { writer, findings: writer, reader: new Link(client), userSql: new Link(userSql), clients: [client, userSql] },
    { writing, findings: writing, reading: new Lane(serverConnections), userSql: new Lane(userSqlConnections) },
  );
}

const oldestServer = [26, 7] as const;

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > oldestServer[0] || (major === oldestServer[0] && minor >= oldestServer[1]);
}

/**
 * A connection. The embedded engine keeps partial output of a failed statement and puts it before the answer to the next one
 * on that connection: another user's rows. A connection with a failure is therefore reopened.
 */
class Link {
  readonly #renew: (() => Promise<ClickHouseClient>) | undefined;
  #client: ClickHouseClient;
  #tainted = false;

  /** Without `renew`, failures have no aftermath: a server answers each request separately. */
  constructor(client: ClickHouseClient, renew?: () => Promise<ClickHouseClient>) {
    this.#client = client;
    this.#renew = renew;
  }

  /** With `renew`, one call at a time. */
  async run<T>(act: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    if (this.#tainted && this.#renew !== undefined) {
      const fresh = await this.#renew();
      const old = this.#client;
      this.#client = fresh;
      this.#tainted = false;
      await old.close();
    }
    try {
      return await act(this.#client);
    } catch (error) {
      this.#tainted = true;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

interface Clients {
  readonly writer: Link;
  readonly findings: Link;
  readonly reader: Link;
  readonly userSql: Link;
  /** In the order in which they are closed. */
  readonly clients: readonly { close(): Promise<void> | void }[];
}

interface Lanes {
  readonly writing: Lane;
  readonly findings: Lane;
  readonly reading: Lane;
  readonly userSql: Lane;
}

class ClientEngine implements Engine {
  readonly layout: Layout;
  readonly database: string;
  readonly #clients: Clients;
  readonly #lanes: Lanes;
  #closed: Promise<void> | undefined;

  constructor(layout: Layout, database: string, clients: Clients, lanes: Lanes) {
    this.layout = layout;
    this.database = database;
    this.#clients = clients;
    this.#lanes = lanes;
  }

  async command(sql: string): Promise<void> {
    await this.#run(this.#lanes.writing, this.#clients.writer, (client) => client.command({ query: sql }));
  }

  async insert(table: string, columns: string, body: string, token: string): Promise<void> {
    // The token is part of the statement because a setting sent with it would persist on the connection. Hashed, it is hex
    // and needs no quoting.
    const hash = createHash('sha256').update(token).digest('hex');
    const query = `INSERT INTO ${table} (${columns}) SETTINGS async_insert = 0, insert_deduplication_token = '${hash}'${insertSettings(this.layout)} FORMAT JSONCompactEachRow`;
    const [lane, link] =
      table === 'findings' ? [this.#lanes.findings, this.#clients.findings] : [this.#lanes.writing, this.#clients.writer];
    await this.#run(lane, link, async (client) => {
      const { stream } = await client.exec({ query, values: Readable.from([Buffer.from(body)]) });
      await nothingIn(stream);
    });
  }

  async read(sql: string, parameters: BoundValues): Promise<readonly (readonly unknown[])[]> {
    return await this.#run(this.#lanes.reading, this.#clients.reader, async (client) => {
      const result = await client.query({ query: sql, query_params: { ...parameters }, format: 'JSONCompactEachRow' });
      return await result.json<readonly unknown[]>();
    });
  }

  async readChecked(sql: string, running?: RunningQuery): Promise<Table> {
    const act = async (client: ClickHouseClient): Promise<Table> => {
      const result = await client.query({ query: sql, format: 'JSONCompact' });
      const { meta, data } = (await result.json()) as unknown as Table;
      return { meta, data };
    };
    return await this.#run(this.#lanes.userSql, this.#clients.userSql, (client) =>
      running === undefined ? act(client) : this.#cancellable(running, () => act(client)),
    );
  }

  async progress(mark: string): Promise<QueryProgress | null> {
    const [row] = await this.read(`SELECT read_rows, total_rows_approx FROM system.processes WHERE ${marked(mark)} LIMIT 1`, {});
    return row === undefined ? null : { rows: Number(row[0]), ofRows: Math.max(Number(row[0]), Number(row[1])) };
  }

  /** Kills the statement repeatedly until it ends, because it may not have started at the first attempt. */
  async #cancellable<T>({ mark, signal }: RunningQuery, act: () => Promise<T>): Promise<T> {
    const cancelled = (): StenoError => new StenoError('QUERY_CANCELLED');
    if (signal.aborted) throw cancelled();
    let killing: ReturnType<typeof setInterval> | undefined;
    const kill = (): void => void this.command(`KILL QUERY${onCluster(this.layout)} WHERE ${marked(mark)} ASYNC`).catch(() => undefined);
    const begin = (): void => {
      kill();
      killing = setInterval(kill, KILL_AGAIN_MS);
    };
    signal.addEventListener('abort', begin, { once: true });
    try {
      return await act();
    } catch (error) {
      throw signal.aborted ? cancelled() : error;
    } finally {
      signal.removeEventListener('abort', begin);
      clearInterval(killing);
    }
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.all(Object.values(this.#lanes).map((lane: Lane) => lane.idle()));
      for (const client of this.#clients.clients) await client.close();
    })();
    return this.#closed;
  }

  async #run<T>(lane: Lane, link: Link, act: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) throw new StenoError('STORE_UNAVAILABLE', 'the event store is closed');
    try {
      return await lane.run(() => link.run(act));
    } catch (error) {
      throw engineError(error);
    }
  }
}

/** Statements with the mark, except the statement that looks for them. */
function marked(mark: string): string {
  if (!/^[a-z0-9]{16,64}$/.test(mark)) throw new TypeError('not a mark');
  return `query LIKE '%${mark}%' AND query NOT LIKE 'KILL%' AND query NOT LIKE '%system.processes%'`;
}

/** Limits concurrent calls; further ones wait in order. */
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

/** An INSERT returns nothing; any output is a late error. */
async function nothingIn(stream: AsyncIterable<Uint8Array>): Promise<void> {
  let text = '';
  for await (const chunk of stream) text = `${text}${Buffer.from(chunk).toString('utf8')}`.slice(0, 500);
  if (text.trim() !== '') throw new StenoError('STORE_UNAVAILABLE', text);
}

async function loadChdb(): Promise<readonly [typeof import('chdb/connection'), typeof import('chdb')]> {
  try {
    return await Promise.all([import('chdb/connection'), import('chdb')]);
  } catch (error) {
    throw new StenoError('ENGINE_MISSING', 'chdb', { cause: error });
  }
}
