/**
 * Search over a store as large as the time allows: rows made by the engine itself, in the shape of a shell's output (a few words that are frequent, many that are
 * rare, paths, addresses), in sessions of 2,000 lines over ninety days, and events beside them. Needles are taken from lines that are there, others each
 * time; each class is asked once to warm up. The engine's query caches are off, as Steno has them. The page cache is not dropped: a store that is searched is in it.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { parseSearch } from '#schemas/search/parse.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + DAY / 2;
const MILLION = 1_000_000;
const LINES_OF_SESSION = 2_000;
const scope = { audit: true } as const;
const SCANS = 5;

/** The same statements, of which none uses an index that skips. */
function withoutIndexes(engine: Engine): Engine {
  return {
    ...{ layout: engine.layout, database: engine.database },
    command: (sql) => engine.command(sql),
    insert: (table, columns, body, token) => engine.insert(table, columns, body, token),
    read: (sql, parameters) => engine.read(sql.replaceAll('SETTINGS ', 'SETTINGS use_skip_indexes = 0, '), parameters),
    readChecked: (sql, running) => engine.readChecked(sql, running),
    progress: (mark) => engine.progress(mark),
    close: () => engine.close(),
  };
}

/** `limitSeconds`: no further million rows are made after this time. */
export async function searching(millions: number, limitSeconds: number, rounds: number): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'steno-bench-search-'));
  const engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  try {
    await migrate(engine);
    const start = performance.now();
    let made = 0;
    while (made < millions && (made === 0 || performance.now() - start < limitSeconds * 1000)) {
      for (const statement of million(made, millions)) await engine.command(statement);
      made += 1;
      process.stderr.write(`  ${made} of ${millions} million lines, ${Math.round((performance.now() - start) / 1000)} s\n`);
    }
    const seconds = (performance.now() - start) / 1000;
    const [raw] = await engine.read('SELECT sum(length(text)), count() FROM screen', {});
    const [text, lines] = raw!.map(Number) as [number, number];
    const store = new ClickHouseEventStore(engine);
    const scanning = new ClickHouseEventStore(withoutIndexes(engine));
    const needles = await sampled(store, made, (rounds + 1) * 12);
    const rows: string[][] = [];
    const bare = classes(scanning);
    for (const [i, { name, query, run }] of classes(store).entries()) {
      const taken: number[] = [];
      const scanned: number[] = [];
      let found = 0;
      let refused = 0;
      for (let round = 0; round <= rounds; round++) {
        const q = query(needles);
        const began = performance.now();
        try {
          found += await run(q);
        } catch (error) {
          if (!(error instanceof StenoError)) throw error;
          refused += 1;
        }
        if (round === 0) continue;
        taken.push(performance.now() - began);
        // A scan takes as long whatever is looked for: a few rounds tell.
        if (round > SCANS) continue;
        const again = performance.now();
        await bare[i]!.run(q).catch(() => 0);
        scanned.push(performance.now() - again);
      }
      process.stderr.write(`  ${name}: p95 ${round3(quantile(taken, 0.95))} ms, scan ${round3(quantile(scanned, 0.5))} ms\n`);
      rows.push([
        name,
        round3(Math.min(...taken)),
        round3(quantile(taken, 0.5)),
        round3(quantile(taken, 0.95)),
        round3(quantile(scanned, 0.5)),
        (found / (rounds + 1)).toFixed(1),
        refused === 0 ? '' : String(refused),
      ]);
    }
    return {
      title: `Search over ${made} million lines and as many events`,
      how:
        `\`npm run bench -- search\`. Made in ${Math.round(seconds)} s of ${limitSeconds} s allowed: ${lines.toLocaleString('en')} screen lines (${(text / 1e6).toFixed(0)} MB of text) and as many events, ` +
        `${(folderBytes(folder) / 1e6).toFixed(0)} MB on disk with all indexes. ${rounds} needles for each class, taken from lines that are there, others each time; one engine, embedded, in this process. ` +
        'The 100 million lines that are aimed at are not reached here, so nothing follows from these figures for them but the order of the classes.',
      header: ['what is asked', 'least ms', 'p50 ms', 'p95 ms', 'without any index, p50 ms', 'rows on the page', 'refused'],
      rows,
    };
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Lines and events of the same sessions. */
function million(part: number, millions: number): readonly string[] {
  const sessions = (millions * MILLION) / LINES_OF_SESSION;
  const session = `intDiv(number, ${LINES_OF_SESSION})`;
  const id = `concat('01m', leftPad(toString(${session}), 23, '0'))`;
  const began = `${NOW - 89 * DAY} + intDiv(${session} * ${88 * DAY}, ${sessions})`;
  const at = `fromUnixTimestamp64Milli(toInt64(${began} + number % ${LINES_OF_SESSION} * 500), 'UTC')`;
  const place = `concat('user-', toString(${session} % 200)) AS user, concat('node-', toString(${session} % 500)) AS node, 'root' AS login`;
  // A cube of what is even: few words often, most seldom.
  const word = (i: string): string =>
    `concat('w', lower(hex(toUInt32(pow(cityHash64(number, ${i}) / 18446744073709551616., 3) * 2000000))))`;
  const address =
    "concat('10.', toString(cityHash64(number, 21) % 256), '.', toString(cityHash64(number, 22) % 256), '.', toString(cityHash64(number, 23) % 256))";
  const path =
    "concat('/srv/app-', toString(cityHash64(number, 31) % 9000), '/lib', toString(cityHash64(number, 32) % 700), '.so.', toString(cityHash64(number, 33) % 90))";
  const from = `FROM numbers(${part * MILLION}, ${MILLION})`;
  return [
    `INSERT INTO sessions (session, version, kind, user, node, login, started_at, ended_at, state, labels, labels_known) SELECT DISTINCT ${id}, 1, 'shell', ${place}, ` +
      `fromUnixTimestamp64Milli(toInt64(${began}), 'UTC') AS b, b + toIntervalMinute(17), 'sealed', map('env', 'prod'), true ${from}`,
    `INSERT INTO screen (session, block, \`index\`, at, offset_ms, row, text, user, node, login) SELECT ${id}, intDiv(number % ${LINES_OF_SESSION}, 20), number % 20, ${at}, ` +
      `number % ${LINES_OF_SESSION} * 500, number % 24, concat(arrayStringConcat(arrayMap(i -> ${word('i')}, range(3 + number % 8)), ' '), multiIf(number % 11 = 0, concat(' from ', ${address}), number % 5 = 0, concat(' ', ${path}), '')), ${place} ${from}`,
    `INSERT INTO events (session, source, emitter, block, \`index\`, at, offset_ms, kind, user, node, login, path, address, port, name, outcome, data) SELECT ${id}, 'kernel', 'agent/a', 1, number % ${LINES_OF_SESSION}, ${at}, ` +
      `number % ${LINES_OF_SESSION} * 500, multiIf(number % 20 < 5, 'exec', number % 20 < 6, 'connect', 'file') AS k, ${place}, ${path}, if(k = 'connect', ${address}, ''), if(k = 'connect', 443, NULL), ` +
      `if(k = 'exec', concat('tool-', toString(cityHash64(number, 41) % 4000), ' --with ', ${word('51')}), ''), 'success', concat('{"pid":', toString(number % 300), '}') ${from}`,
  ];
}

/** Lines from all over the store. */
async function sampled(store: ClickHouseEventStore, millions: number, count: number): Promise<Needles> {
  const sessions = (millions * MILLION) / LINES_OF_SESSION;
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const id = `01m${String((i * 7_919) % sessions).padStart(23, '0')}`;
    const found = await store.screenLines(id, { block: (i * 31) % 99, index: (i * 7) % 20 }, 11);
    lines.push(...found.map(({ text }) => text));
  }
  return new Needles(lines);
}

class Needles {
  readonly #lines: readonly string[];
  #next = 0;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  /** A line that was not taken before, of those that hold this. */
  take(holds = /./): string {
    for (let tries = 0; tries < this.#lines.length; tries++) {
      const line = this.#lines[this.#next++ % this.#lines.length]!;
      if (holds.test(line)) return line;
    }
    throw new Error('no line holds that');
  }

  word(): string {
    return this.take().split(' ')[0]!;
  }
}

interface SearchClass {
  readonly name: string;
  readonly query: (needles: Needles) => string;
  /** Answers how many rows there are on the page. */
  readonly run: (q: string) => Promise<number>;
}

function classes(store: ClickHouseEventStore): readonly SearchClass[] {
  const expression = (q: string) => parseSearch(q, NOW);
  const page = async (q: string): Promise<number> => (await store.searchRows({ expression: expression(q), scope, limit: 25 })).rows.length;
  const words = (line: string): readonly string[] => line.split(' ').filter((each) => /^w[0-9a-f]+$/.test(each));
  const address = (needles: Needles): string => /10\.\d+\.\d+\.\d+/.exec(needles.take(/10\.\d+\.\d+\.\d+/))![0];
  return [
    { name: 'a word', query: (needles) => needles.word(), run: page },
    { name: 'a word that is nowhere', query: (needles) => `zz${needles.word()}`, run: page },
    { name: 'two words', query: (needles) => words(needles.take()).slice(0, 2).join(' '), run: page },
    { name: 'a phrase', query: (needles) => `"${words(needles.take()).slice(0, 2).join(' ')}"`, run: page },
    { name: 'an address', query: (needles) => `"${address(needles)}"`, run: page },
    {
      name: 'a substring of eight characters',
      query: (needles) => `"${/app-\d+\/li/.exec(needles.take(/app-\d+\/li/))![0].slice(-8)}"`,
      run: page,
    },
    {
      name: 'a substring of four characters',
      query: (needles) => `"${/\/lib\d+/.exec(needles.take(/\/lib\d/))![0].slice(-4)}"`,
      run: page,
    },
    {
      name: 'an expression with a literal',
      query: (needles) => `/app-${/app-(\d+)/.exec(needles.take(/app-\d/))![1]!}\\/lib[0-9]+\\.so/`,
      run: page,
    },
    {
      name: 'the newest 100 of a frequent word, 25 of them with context',
      query: (needles) => [...words(needles.take())].sort((a, b) => a.length - b.length)[0]!,
      async run(q) {
        const { rows } = await store.searchRows({ expression: expression(q), scope, limit: 100 });
        const places = rows.flatMap(({ table, row }) =>
          table === 'screen' ? [{ session: row.session, block: row.block, index: row.index }] : [],
        );
        await store.linesBeside(places.slice(0, 25), 2);
        return rows.length;
      },
    },
    {
      name: 'by session, three hits each',
      query: (needles) => needles.word(),
      run: async (q) => (await store.searchBySession({ expression: expression(q), scope, limit: 25, each: 3 })).rows.length,
    },
    {
      name: 'histogram and facets of a word',
      query: (needles) => needles.word(),
      run: async (q) => (await store.searchOverview({ expression: expression(q), scope })).histogram.length,
    },
    {
      name: 'a program of a user',
      query: () => `exe:*lib${Math.floor(Math.random() * 700)}.so* user:user-${Math.floor(Math.random() * 200)}`,
      run: page,
    },
    {
      name: 'mixed: a word or a path, of one node, in a month',
      query: (needles) =>
        `(${needles.word()} or path:/srv/app-${Math.floor(Math.random() * 9000)}/*) node:node-${Math.floor(Math.random() * 500)} after:60d before:30d`,
      run: page,
    },
  ];
}

function folderBytes(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
