/** `steno sql`: SELECTs over what may be seen, and the queries that prove controls. docs/sql.md. Ctrl-C cancels. Tested in test/end-to-end/sql.test.ts. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { showSqlSchema } from '#schemas/api/recordings/sql.js';
import type { PackQuery, SqlRequest, SqlSchema } from '#schemas/api/recordings/sql.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { MAX_SQL_ROWS, MAX_SQL_SECONDS } from '#schemas/sql/bounds.js';
import { asksForPeriod, withPeriod } from '#schemas/sql/period.js';
import type { Period } from '#schemas/sql/period.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseMoment } from '../../terminal/arguments.js';
import { json, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { saveAs, savedNamed } from '../saved/saved.js';
import { runQuery } from './run.js';
import type { SqlAnswered } from './run.js';
import { writeAnswer } from './write.js';
import type { SqlFormat } from './write.js';

interface Options {
  readonly file?: string;
  readonly pack?: string;
  readonly saved?: string;
  readonly save?: string;
  readonly share?: boolean;
  readonly packs?: boolean;
  readonly schema?: boolean;
  readonly show?: boolean;
  readonly from?: number;
  readonly to?: number;
  readonly limit: number;
  readonly timeout: number;
  readonly sample?: number;
  readonly seed?: string;
  readonly format?: SqlFormat;
  readonly output?: string;
  readonly json?: boolean;
}

const DAY_MS = 86_400_000;
const number =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < min || value > max) throw new InvalidArgumentError(`not a whole number from ${min} to ${max}`);
    return value;
  };

const more = `
Examples:
  steno sql "SELECT user, count() FROM sessions GROUP BY user ORDER BY 2 DESC"
  steno sql "SELECT * FROM commands WHERE at >= {from} AND at < {to}" --from 7d --format csv -o commands.csv
  steno sql --pack cc6.3 --from 2026-01-01 --to 2026-04-01     every query for CC6.3 that comes with Steno
  steno sql --pack cc6.1-sessions --sample 25 --seed 2026Q1    25 sessions, the same for everybody with the seed
  steno sql --schema

{from} and {to} stand for the period: the last 90 days unless told. Rows are those that your roles let you see. Each query is in the
audit log with the SHA-256 of its answer, which is printed below it.
Exit code 1 when there is no row.`;

export function sqlCommand(): Command {
  return new Command('sql')
    .description('ask sessions, commands, events, screens, findings and the audit log in SQL')
    .argument('[query...]', 'one SELECT; - reads it from standard input')
    .option('--file <path>', 'read the query from a file')
    .option('--pack <id>', 'run a query that comes with Steno, or all of a criterion, such as cc6.1')
    .option('--saved <name>', 'run a query that was saved, by its name or id (`steno searches ls`)')
    .option('--save <name>', 'save the query under this name instead of running it')
    .option('--share', 'with --save: let others see it')
    .option('--packs', 'list the queries that come with Steno')
    .option('--schema', 'list what can be asked: views and their columns')
    .option('--show', 'print the query and what it proves; run nothing')
    .option('--from <when>', 'beginning of {from}: a date, or an age such as 90d', (value) => parseMoment(value))
    .option('--to <when>', 'end of {to}; now unless told', (value) => parseMoment(value))
    .option('--limit <n>', 'at most this many rows', number(1, MAX_SQL_ROWS), 1000)
    .option('--timeout <seconds>', 'give up after so long', number(1, MAX_SQL_SECONDS), 60)
    .option('--sample <n>', 'so many rows of the answer, picked by the seed', number(1, 10_000))
    .option('--seed <text>', 'of the sample; one is made and printed unless told')
    .addOption(new Option('--format <format>', 'table unless told').choices(['table', 'csv', 'json', 'jsonl', 'parquet']))
    .option('-o, --output <path>', 'write the rows to this file')
    .option('--json', 'print columns, rows and the hash as one JSON value')
    .addHelpText('after', more)
    .action(async (words: readonly string[], options: Options) => {
      const client = openClient(openHome());
      if (options.schema === true) return printSchema(await schemaOf(client), options);
      if (options.packs === true) return printPacks((await schemaOf(client)).packs, options);
      const asked = await queriesOf(client, words, options);
      if (options.save !== undefined) return keep(client, asked, { ...options, save: options.save });
      if (options.share === true) throw new StenoError('USAGE', '--share goes with --save NAME');
      if (options.show === true) return show(asked, options);
      let rows = 0;
      const answers: SqlAnswered[] = [];
      for (const query of asked) {
        if (asked.length > 1) heading(query);
        const answer = await runQuery(client, requestOf(query.sql, options));
        if (answer === null) return void (process.exitCode = 130);
        rows += answer.rows.length;
        answers.push(answer);
        if (options.json !== true) await writeAnswer(answer, options);
      }
      if (options.json === true)
        json(standardOutput, asked.length === 1 ? answers[0] : answers.map((answer, i) => ({ id: asked[i]!.id, ...answer })));
      if (rows === 0) process.exitCode = 1;
    });
}

interface Asked {
  readonly id: string;
  readonly sql: string;
  readonly from: PackQuery | null;
}

const schemaOf = (client: Client): Promise<SqlSchema> => call(client.viewer, showSqlSchema, {});

async function queriesOf(client: Client, words: readonly string[], options: Options): Promise<readonly Asked[]> {
  const given = [words.length > 0, options.file !== undefined, options.pack !== undefined, options.saved !== undefined].filter(
    Boolean,
  ).length;
  if (given !== 1)
    throw new StenoError(
      'USAGE',
      given === 0 ? 'give a query, --file, --pack or --saved' : 'give one of: a query, --file, --pack, --saved',
    );
  if (options.saved !== undefined) {
    const { id, name, language, query } = await savedNamed(client, options.saved);
    if (language !== 'sql') throw new StenoError('USAGE', `“${visible(name)}” is a search: steno searches run runs it`);
    return [{ id, sql: query, from: null }];
  }
  if (options.pack !== undefined) {
    const wanted = options.pack.toLowerCase();
    const { packs } = await schemaOf(client);
    const found = packs.filter(({ id, criterion, pack }) => id === wanted || criterion.toLowerCase() === wanted || pack === wanted);
    if (found.length === 0) throw new StenoError('NOT_FOUND', `no query of this name: ${options.pack}; \`steno sql --packs\` lists them`);
    if (found.length > 1 && options.output !== undefined)
      throw new StenoError('USAGE', `${options.pack} is ${found.length} queries: name one of them to write a file`);
    return found.map((from) => ({ id: from.id, sql: from.sql, from }));
  }
  const sql =
    options.file !== undefined ? readFileSync(options.file, 'utf8') : words.join(' ') === '-' ? readFileSync(0, 'utf8') : words.join(' ');
  return [{ id: '', sql, from: null }];
}

/** The query as written; `{from}` and `{to}` are filled in when it runs. */
async function keep(client: Client, asked: readonly Asked[], options: Options & { readonly save: string }): Promise<void> {
  const [query, another] = asked;
  if (query === undefined || another !== undefined) throw new StenoError('USAGE', '--save keeps one query');
  await saveAs(client, {
    name: options.save,
    language: 'sql',
    query: query.sql,
    share: options.share === true,
    json: options.json === true,
  });
}

function requestOf(sql: string, options: Options): SqlRequest {
  const { limit, timeout, sample, seed } = options;
  if (seed !== undefined && sample === undefined) throw new StenoError('USAGE', '--seed goes with --sample');
  return {
    sql: asksForPeriod(sql) ? withPeriod(sql, periodOf(options)) : sql,
    rows: limit,
    seconds: timeout,
    ...(sample === undefined ? {} : { sample: { size: sample, seed: seed ?? randomBytes(8).toString('hex') } }),
  };
}

function periodOf({ from, to = Date.now() }: Options): Period {
  const period = { from: from ?? to - 90 * DAY_MS, to };
  if (period.from >= period.to) throw new StenoError('USAGE', '--from is not before --to');
  return period;
}

function heading({ from }: Asked): void {
  const { err, env } = standardOutput;
  if (from !== null) err.write(`\n${styled(err, env, 'bold', `${from.criterion}  ${from.title}`)}  ${styled(err, env, 'dim', from.id)}\n`);
}

function show(asked: readonly Asked[], options: Options): void {
  if (options.json === true)
    return json(
      standardOutput,
      asked.map(({ from, sql }) => from ?? { sql }),
    );
  const { out, env } = standardOutput;
  for (const { from, sql } of asked) {
    if (from !== null) out.write(`${styled(out, env, 'bold', `-- ${from.criterion}  ${from.title}`)}\n-- ${from.proves}\n`);
    out.write(`${sql.split('\n').map(visible).join('\n')}\n\n`);
  }
}

function printPacks(packs: readonly PackQuery[], options: Options): void {
  if (options.json === true) return json(standardOutput, packs);
  table(standardOutput, packs, [
    { title: 'CRITERION', value: ({ criterion }) => criterion, style: () => 'bold' },
    { title: 'ID', value: ({ id }) => id, style: () => 'cyan' },
    { title: 'TITLE', value: ({ title }) => title },
  ]);
}

function printSchema({ views }: SqlSchema, options: Options): void {
  if (options.json === true) return json(standardOutput, views);
  const { out, env } = standardOutput;
  for (const { name, about, readable, columns } of views) {
    out.write(
      `${styled(out, env, 'bold', name)}  ${about}${readable ? '' : styled(out, env, 'yellow', '  (none of its rows are shown to you)')}\n`,
    );
    const width = Math.max(...columns.map((column) => column.name.length));
    const types = Math.max(...columns.map(({ type }) => type.length));
    for (const column of columns)
      out.write(`  ${column.name.padEnd(width)}  ${styled(out, env, 'dim', column.type.padEnd(types))}  ${column.about}`.trimEnd() + '\n');
    out.write('\n');
  }
}
