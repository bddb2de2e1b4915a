/** A PostgreSQL server for tests: Debian's, with its own folder, on a Unix socket and a free loopback port. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '#runtime/http/free-port.js';

export interface PostgresServer {
  /** URL of a new, empty database. */
  newDatabase(): Promise<string>;
  /** Ends every connection at once, like a crash, and starts again with the same folder and port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** The folder of Debian's server programs, or the reason why there is none. */
export function postgresPrograms(): { readonly folder: string } | { readonly missing: string } {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, 'bin/postgres'))) : [];
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  return newest === undefined ? { missing: `no PostgreSQL server under ${root}` } : { folder: join(root, newest, 'bin') };
}

export async function startPostgres(): Promise<PostgresServer> {
  const programs = postgresPrograms();
  if ('missing' in programs) throw new Error(programs.missing);
  const folder = mkdtempSync(join(tmpdir(), 'steno-postgres-'));
  const data = join(folder, 'data');
  // The server refuses to run as root, so root runs it as the user that Debian created for it.
  const as: { readonly uid?: number; readonly gid?: number } = userInfo().uid === 0 ? accountOf('postgres') : {};
  if (as.uid !== undefined && as.gid !== undefined) chownSync(folder, as.uid, as.gid);
  const environment = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  execFileSync(join(programs.folder, 'initdb'), ['-D', data, '-U', 'steno', '-A', 'trust', '-E', 'UTF8', '--no-sync'], {
    ...as,
    cwd: folder,
    env: environment,
    stdio: 'ignore',
  });
  const port = await freePort();
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    const child = spawn(
      join(programs.folder, 'postgres'),
      ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-k', folder, '-c', 'fsync=off'],
      {
        ...as,
        cwd: folder,
        env: environment,
        stdio: 'ignore',
      },
    );
    await answers(port, child);
    return child;
  };
  let child = await start();
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  let databases = 0;
  return {
    async newDatabase() {
      const name = `db${(databases += 1)}`;
      const admin = new pg.Client({ connectionString: urlOf(port, 'postgres') });
      await admin.connect();
      await admin.query(`CREATE DATABASE ${name}`);
      await admin.end();
      return urlOf(port, name);
    },
    async restart() {
      await stop('SIGQUIT');
      child = await start();
    },
    async close() {
      await stop('SIGQUIT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function urlOf(port: number, database: string): string {
  return `postgres://steno@127.0.0.1:${port}/${database}`;
}

function accountOf(name: string): { readonly uid: number; readonly gid: number } {
  const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }).trim());
  return { uid: id('-u'), gid: id('-g') };
}

async function answers(port: number, child: ReturnType<typeof spawn>): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`PostgreSQL ended with ${child.exitCode}`);
    const client = new pg.Client({ connectionString: urlOf(port, 'postgres') });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await client.end().catch(() => undefined);
      await sleep(50);
    }
  }
}
