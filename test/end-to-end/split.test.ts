/**
 * Two processes of every stage: two gateways, two authorities on one PostgreSQL, two ingests and two viewers over one ClickHouse
 * and one bucket. Each is restarted in turn, one of each kind after SIGTERM and the other after SIGKILL, while sessions continue
 * and are followed live.
 *
 * ClickHouse is chDB behind ClickHouse's HTTP interface, the bucket is s3rver; both are in this process.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import type { SearchResult } from '#schemas/api/recordings/search.js';
import type { SegmentIndex } from '#schemas/api/recordings/sessions.js';
import type { LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
import type { JoiningKind } from '#schemas/service-join.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { openMember } from '#runtime/service/member.js';
import type { Member } from '#runtime/service/member.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openHttpFront } from '#stores/events/testing/http-front.js';
import type { HttpFront } from '#stores/events/testing/http-front.js';
import { startS3Server } from '#stores/objects/s3server.js';
import type { S3Server } from '#stores/objects/s3server.js';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { must, verdictOf, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { SessionRow, Terminal } from './machine.js';
import { startGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { joining, keptPort, startService } from './services.js';
import type { Service } from './services.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';
import { stopAll } from '../support/stop-all.js';

const programs = postgresPrograms();

/** The process of a kind. */
type Which = 'a' | 'b';
const both = ['a', 'b'] as const;

/** Follows the text of a live session through either viewer; reconnects after the last block it has. */
class Watcher {
  readonly #urls: () => string;
  readonly #sign: (path: string) => string;
  readonly #session: string;
  #text = '';
  #block = 0;
  #socket: WebSocket | undefined;
  #closed = false;
  #heard: (() => void) | undefined;

  constructor(session: string, url: () => string, sign: (path: string) => string) {
    this.#session = session;
    this.#urls = url;
    this.#sign = sign;
    this.#connect();
  }

  #connect(): void {
    if (this.#closed) return;
    const path = `/api/sessions/${this.#session}/live?after=${this.#block}`;
    const socket = new WebSocket(`${this.#urls().replace('http', 'ws')}${path}`, { headers: { authorization: this.#sign(path) } });
    this.#socket = socket;
    socket.on('message', (data) => {
      this.#block += 1;
      this.#text += String(data);
      this.#heard?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      setTimeout(() => this.#connect(), 200);
    });
  }

  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#text))
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
  }

  close(): void {
    this.#closed = true;
    this.#socket?.removeAllListeners('close').terminate();
  }
}

describe.skipIf('missing' in programs)(`two processes of every stage${'missing' in programs ? `: ${programs.missing}` : ''}`, () => {
  const steno = new Steno();
  const target = `${steno.login}@stock`;
  const files = mkdtempSync(join(tmpdir(), 'steno-split-'));
  const services = new Map<string, Service>();
  const configs = new Map<string, object>();
  const gateways = new Map<Which, SecondGateway>();
  const pages = new Map<Which, string>();
  const members: Member[] = [];
  let postgres: PostgresServer;
  let front: HttpFront;
  let bucket: S3Server;
  let node: StockNode;
  let where: { readonly authorities: readonly string[]; readonly ingest: readonly string[] };

  const aws = (): NodeJS.ProcessEnv => ({
    AWS_ENDPOINT_URL_S3: bucket.options.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'S3RVER',
    AWS_SECRET_ACCESS_KEY: 'S3RVER',
  });
  const start = async (kind: 'authority' | 'ingest' | 'viewer', name: string): Promise<void> => {
    const env = kind === 'authority' ? {} : aws();
    services.set(`${kind}/${name}`, await startService(steno, kind, name, configs.get(`${kind}/${name}`)!, env));
  };
  /** `a` is asked to end, `b` is killed. */
  const end = async (kind: string, name: Which): Promise<void> => {
    const signal = name === 'a' ? 'SIGTERM' : 'SIGKILL';
    expect(await services.get(`${kind}/${name}`)!.drain(signal)).toBe(signal === 'SIGTERM' ? 0 : null);
  };
  const home = (which: Which): NodeJS.ProcessEnv => ({ ...steno.env, STENO_HOME: join(steno.folder, which === 'a' ? 'home' : 'home-b') });
  const get = <T>(which: Which, path: string): Promise<T> => openClient(openHome(home(which))).viewer('GET', path) as Promise<T>;
  const sign = (path: string): string => {
    const { key, certificate } = openHome(home('a'));
    return signRequest(loadPrivateKey(readFileSync(key, 'utf8')), parseAuthorizedLine(readFileSync(certificate, 'utf8')).blob, 'GET', path);
  };

  /** Types a command into a session and waits for its output. */
  const say = async (session: Terminal, word: string): Promise<void> => {
    session.write(`echo ${word}-$((20 + 3))\r`);
    await session.until(new RegExp(`${word}-23`));
  };

  beforeAll(async () => {
    [postgres, front, bucket] = [await startPostgres(), await openHttpFront(join(files, 'events')), await startS3Server()];
    const state = await postgres.newDatabase();
    const [authorityA, authorityB, ingestA, ingestB, webA, webB, ssh] = await Promise.all(Array.from({ length: 7 }, keptPort));
    pages.set('a', `http://localhost:${webA}`).set('b', `http://localhost:${webB}`);
    where = {
      authorities: [`https://127.0.0.1:${authorityA}`, `https://127.0.0.1:${authorityB}`],
      ingest: [`wss://127.0.0.1:${ingestA}`, `wss://127.0.0.1:${ingestB}`],
    };
    for (const [name, port, data] of [
      ['a', authorityA, steno.data],
      ['b', authorityB, join(steno.folder, 'authority-b')],
    ] as const) {
      configs.set(`authority/${name}`, {
        name,
        data,
        listen: `127.0.0.1:${port}`,
        state,
        seal_key: join(steno.data, 'authority', 'seal.key'),
        ingest: where.ingest,
        ssh: `127.0.0.1:${ssh}`,
        web: pages.get('a'),
      });
      await start('authority', name);
    }
    await must(steno.steno('login', '--data', steno.data));
    const stores = { events: { url: front.url }, objects: 's3://recordings/split' };
    for (const [name, port] of [
      ['a', ingestA],
      ['b', ingestB],
    ] as const) {
      configs.set(`ingest/${name}`, {
        name,
        data: join(steno.folder, `ingest-${name}`),
        authorities: where.authorities,
        join: await joining(steno, 'ingest', name),
        listen: `127.0.0.1:${port}`,
        ...stores,
      });
      await start('ingest', name);
    }
    for (const [name, port] of [
      ['a', webA],
      ['b', webB],
    ] as const) {
      configs.set(`viewer/${name}`, {
        name,
        data: join(steno.folder, `viewer-${name}`),
        // Each prefers a different one, so that the connections to both are used.
        authorities: name === 'a' ? where.authorities : [...where.authorities].reverse(),
        join: await joining(steno, 'viewer', name),
        listen: `127.0.0.1:${port}`,
        address: pages.get(name),
        ssh: `127.0.0.1:${ssh}`,
        ingest: where.ingest,
        ...stores,
      });
      await start('viewer', name);
    }
    cpSync(join(steno.folder, 'home'), join(steno.folder, 'home-b'), { recursive: true });
    const profile = join(steno.folder, 'home-b', 'profile.json');
    writeFileSync(profile, JSON.stringify({ ...(JSON.parse(readFileSync(profile, 'utf8')) as object), web: pages.get('b') }));
    for (const name of both) {
      const order = <T>(list: readonly T[]): readonly T[] => (name === 'a' ? list : [...list].reverse());
      gateways.set(name, await startGateway(steno, `edge-${name}`, { authorities: order(where.authorities), ingest: order(where.ingest) }));
    }
    node = await startStockNode(steno, 'stock');
    for (const kind of ['gateway', 'viewer'] as const) members.push(await member(kind));
  }, 240_000);

  /** A member of the test's own, which calls the authority as services do. */
  const member = async (kind: JoiningKind): Promise<Member> =>
    openMember(
      kind,
      {
        name: `asker-${kind}`,
        data: files,
        fips: false,
        authorities: [...where.authorities],
        join: await joining(steno, kind as 'gateway' | 'viewer', `asker-${kind}`).then(({ token_file, ca_pins }) => ({
          token_file,
          ca_pins: [...ca_pins],
        })),
      },
      { dir: join(files, `${kind}-keys`), ...(kind === 'gateway' ? { hostNames: [], everyHostKey: true, records: true } : {}) },
      { log: pino({ level: 'silent' }), clock: Date.now },
    );

  afterAll(
    () =>
      stopAll(
        ...members.map((each) => () => each.close()),
        ...[...gateways.values()].map(({ stop }) => stop),
        ...[...services.values()].map(({ drain }) => drain),
        () => node?.stop(),
        () => front?.close(),
        () => bucket?.close(),
        () => postgres?.close(),
        () => steno.dispose(),
        () => rmSync(files, { recursive: true, force: true }),
      ),
    120_000,
  );

  const holders = (session: string): Promise<readonly (LiveSessionHolder | null)[]> =>
    Promise.all(members.map(({ authority }) => authority.liveSession(session)));
  const liveSessions = async (which: Which): Promise<readonly (SessionRow & { readonly gateway: string })[]> =>
    (
      await get<{ readonly sessions: readonly (SessionRow & { readonly gateway: string })[] }>(which, '/api/sessions?limit=200')
    ).sessions.filter(({ state, tty }) => tty && state === 'live');

  it('can each be restarted in turn without loss', async () => {
    const sessions = new Map(both.map((name) => [name, gateways.get(name)!.terminal(target)]));
    for (const session of sessions.values()) await session.until(/[$#] $/);
    const words: string[] = [];
    const sayAll = async (word: string, which: readonly Which[] = both): Promise<void> => {
      words.push(...which.map((name) => `${word}${name}`));
      for (const name of which) await say(sessions.get(name)!, `${word}${name}`);
    };
    await sayAll('first');

    const found = await eventually(
      () => liveSessions('a'),
      (rows) => rows.length === 2,
    );
    const idOf = (name: Which): string => found.find(({ gateway }) => gateway === `edge-${name}`)!.id;
    // Every viewer and gateway learns which gateway holds a session, and a viewer follows it at that gateway's ingest.
    for (const name of both)
      expect(
        await eventually(
          () => holders(idOf(name)),
          (all) => all.every((one) => one !== null && one.ingest !== null),
        ),
      ).toMatchObject(Array(2).fill({ session: idOf(name), gateway: `edge-${name}`, ingest: name }));
    expect(await holders(`0${idOf('a').slice(1)}`.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).toEqual([null, null]);
    const watchers = both.flatMap((viewer) => both.map((name) => new Watcher(idOf(name), () => pages.get(viewer)!, sign)));
    const seen = (word: string, name: Which): Promise<unknown> =>
      Promise.all(watchers.filter((_, i) => i % 2 === both.indexOf(name)).map((watcher) => watcher.until(new RegExp(`${word}${name}-23`))));
    const followed = async (word: string): Promise<void> => {
      for (const name of both) await seen(word, name);
    };
    try {
      await followed('first');
      let commands = 0;
      /** New sessions, through both gateways. */
      const run = async (through: readonly Which[] = both): Promise<void> => {
        for (const name of through) {
          commands += 1;
          expect(await gateways.get(name)!.ssh(target, `echo run-${commands}`)).toMatchObject({ status: 0, stdout: `run-${commands}\n` });
        }
      };
      await run();
      for (const name of both) {
        const other = name === 'a' ? 'b' : 'a';
        await end('ingest', name);
        await sayAll(`ingest${name}`);
        // By now both gateways and both viewers use the other ingest.
        await followed(`ingest${name}`);
        await run();
        await must(steno.steno('tokens', 'add', '--type', 'node', '--ttl', '1h'));
        await eventually(
          () => viewerOf(steno).audit(),
          (rows) => rows.filter(({ event }) => event === 'token.create').length === (name === 'a' ? 1 : 2),
        );
        expect(
          (
            await eventually(
              () => holders(idOf(name)),
              (all) => all.every((one) => one?.ingest === other),
            )
          )[0],
        ).toMatchObject({ gateway: `edge-${name}` });
        await start('ingest', name);
        await sayAll(`ingestback${name}`);
        await followed(`ingestback${name}`);
      }
      for (const name of both) {
        await end('authority', name);
        await sayAll(`authority${name}`);
        await followed(`authority${name}`);
        await run();
        await start('authority', name);
      }
      for (const name of both) {
        await end('viewer', name);
        await sayAll(`viewer${name}`);
        await start('viewer', name);
        await followed(`viewer${name}`);
      }
      // The sessions of this gateway end with a message; those of the other continue.
      const restarted = gateways.get('b')!;
      expect(await restarted.stop()).toBe(0);
      await sessions.get('b')!.until(/DRAINING/);
      await sessions.get('b')!.ended;
      await sayAll('gateway', ['a']);
      await seen('gateway', 'a');
      gateways.set(
        'b',
        await startGateway(
          steno,
          'edge-b',
          { authorities: where.authorities, ingest: where.ingest },
          { token_file: join(steno.folder, 'gateway-edge-b.token'), ca_pins: [] },
        ),
      );
      await eventually(
        () => holders(idOf('b')),
        (all) => all.every((one) => one === null),
      );
      await run();
      await sayAll('last', ['a']);
      sessions.get('a')!.write('exit\r');
      await sessions.get('a')!.ended;
      await eventually(
        () => holders(idOf('a')),
        (all) => all.every((one) => one === null),
      );

      const listed = await eventually(
        () => get<{ readonly sessions: readonly SessionRow[] }>('b', '/api/sessions?limit=200'),
        ({ sessions: rows }) => rows.length >= commands + 2 && rows.every(({ state }) => state === 'sealed'),
        60_000,
      );
      expect(listed.sessions).toHaveLength(commands + 2);
      expect(new Set(listed.sessions.map(({ id }) => id)).size).toBe(commands + 2);
      expect(
        listed.sessions
          .filter(({ tty }) => !tty)
          .map(({ command }) => command)
          .sort(),
      ).toEqual(Array.from({ length: commands }, (_, i) => `echo run-${i + 1}`).sort());
      for (const [viewer, { id }] of listed.sessions.map((session, i) => [both[i % 2]!, session] as const)) {
        expect(await verdictOf({ env: home(viewer) }, id)).toMatchObject({ ok: true, header: { steno: { session: id } } });
        expect((await get<SegmentIndex>(viewer, `/api/sessions/${id}/segments`)).segments.length).toBeGreaterThan(0);
      }
      for (const word of words) {
        const { hits } = await get<SearchResult>('b', `/api/search?q=${word}-23`);
        expect(
          hits.map(({ session, text }) => [session, text.trim()]),
          word,
        ).toEqual([[idOf(word.endsWith('a') ? 'a' : 'b'), `${word}-23`]]);
      }
    } finally {
      for (const watcher of watchers) watcher.close();
      for (const session of sessions.values()) session.kill();
    }
  }, 240_000);
});
