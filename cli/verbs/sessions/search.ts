/** `steno search`: one language over screens, commands, events, findings and the audit log (docs/search.md). */
import { Command } from 'commander';
import { findHits, findOverview, findSessions, findSpans } from '#schemas/api/recordings/find.js';
import type { FoundHit, FoundSessions, FoundSpans } from '#schemas/api/recordings/find.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { fieldFacts, searchFields } from '#schemas/search/fields.js';
import type { SearchField } from '#schemas/search/fields.js';
import { SearchError } from '#schemas/search/lexer.js';
import { parseSearch } from '#schemas/search/parse.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseLimit, parseMoment, parseSpan } from '../../terminal/arguments.js';
import { clock, json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { saveAs } from '../saved/saved.js';
import { rowsOf } from './sessions.js';

/** How hits are printed. */
export interface SearchOutput {
  readonly count?: boolean;
  readonly sessions?: boolean;
  readonly limit: number;
  readonly json?: boolean;
}

interface Options extends SearchOutput {
  readonly user?: string;
  readonly node?: string;
  readonly login?: string;
  readonly session?: string;
  readonly since?: number;
  readonly until?: number;
  readonly substring?: boolean;
  readonly regex?: boolean;
  readonly fields?: boolean;
  readonly save?: string;
  readonly every?: number;
  readonly share?: boolean;
}

/** Hits shown of each session. */
const EACH = 5;

/** The options of `SearchOutput`. */
export function searchOutput(command: Command): Command {
  return command
    .option('--count', 'count hits by user, node, login and kind')
    .option('--sessions', 'list the sessions of the hits, each with its begin and end')
    .option('--limit <n>', 'at most this many sessions, or hits with --json', parseLimit, 20)
    .option('--json', 'print every hit as JSON');
}

export function searchCommand(): Command {
  const command = new Command('search')
    .description('search screens, commands, programs, files, connections, findings and the audit log of all sessions')
    .argument('[query...]', 'words, "phrases", FIELD:VALUE, /regex/, not, or, parentheses')
    .option('--user <name>', 'only of this user: user:NAME')
    .option('--node <name>', 'only on this node: node:NAME')
    .option('--login <name>', 'only as this login: login:NAME')
    .option('--session <id>', 'only in this session: session:ID')
    .option('--since <when>', 'from this moment on: a date, or an age such as 2h', (value) => parseMoment(value))
    .option('--until <when>', 'up to this moment', (value) => parseMoment(value))
    .option('--substring', 'take the arguments as one phrase')
    .option('--regex', 'take the arguments as one regular expression')
    .option('--fields', 'list the fields')
    .option('--save <name>', 'save the query under this name instead of running it (`steno searches`)')
    .option('--every <span>', 'with --save: run it every so often, such as 15m, and tell webhooks of new hits', parseSpan)
    .option('--share', 'with --save: let others see it')
    .addHelpText(
      'after',
      `
Examples:
  steno search shadow                           the word, wherever it is
  steno search path:/etc/shadow not user:root   the file, opened by anybody else
  steno search 'kind:connect dst:10.0.0.0/8 port:(22 or 3389) after:7d'
  steno search '"permission denied" label:env=prod during:yesterday'
  steno search --sessions node:web-1 during:2026-03-01T14..2026-03-01T16   which sessions were active there

Write "not" rather than a minus here, or put the whole query in quotation marks behind --.
Exit code 1 when nothing is found.`,
    );
  return searchOutput(command).action(async (words: readonly string[], options: Options) => {
    if (options.fields === true) return listFields(options.json === true);
    const q = queryOf(words, options);
    const client = openClient(openHome());
    if (options.save !== undefined) return saveAs(client, { name: options.save, language: 'search', query: q, ...options });
    if (options.every !== undefined || options.share === true) throw new StenoError('USAGE', '--every and --share go with --save NAME');
    return runSearch(client, q, options);
  });
}

export async function runSearch(client: Client, q: string, options: SearchOutput): Promise<void> {
  if (options.sessions === true) {
    if (options.count === true) throw new StenoError('USAGE', '--sessions lists, and --count counts: give one of them');
    return listSpans(client, q, options);
  }
  if (options.count === true) {
    const overview = await call(client.viewer, findOverview, { query: { q } });
    if (overview.total === 0) process.exitCode = 1;
    if (options.json === true) return json(standardOutput, overview);
    const facets = Object.entries(overview.facets).flatMap(([field, values]) =>
      values.map(({ value, count }) => ({ field, value, count })),
    );
    standardOutput.out.write(`${overview.total} hits in ${overview.sessions} sessions\n`);
    return table(standardOutput, facets, [
      { title: 'FIELD', value: ({ field }) => field, style: () => 'dim' },
      { title: 'VALUE', value: ({ value }) => value },
      { title: 'HITS', align: 'right', value: ({ count }) => String(count) },
    ]);
  }
  if (options.json === true) {
    const hits = await rowsOf<FoundHit>(
      async (page) => {
        const { hits: rows, next } = await call(client.viewer, findHits, { query: { q, ...page } });
        return { rows, next };
      },
      options.limit,
      100,
    );
    if (hits.length === 0) process.exitCode = 1;
    return json(standardOutput, hits);
  }
  const groups = await rowsOf<FoundSessions['groups'][number]>(
    async (page) => {
      const { groups: rows, next } = await call(client.viewer, findSessions, { query: { q, each: EACH, ...page } });
      return { rows, next };
    },
    options.limit,
    50,
  );
  if (groups.length === 0) {
    process.exitCode = 1;
    standardOutput.err.write(`Nothing matches ${visible(q)}\n`);
  }
  for (const group of groups) printGroup(group, client.profile.web);
}

async function listSpans(client: Client, q: string, { limit, json: asJson }: SearchOutput): Promise<void> {
  const spans = await rowsOf<FoundSpans['sessions'][number]>(
    async (page) => {
      const { sessions: rows, next } = await call(client.viewer, findSpans, { query: { q, ...page } });
      return { rows, next };
    },
    limit,
    200,
  );
  if (spans.length === 0) process.exitCode = 1;
  if (asJson === true) return json(standardOutput, spans);
  if (spans.length === 0) standardOutput.err.write(`Nothing matches ${visible(q)}\n`);
  else
    table(standardOutput, spans, [
      { title: 'SESSION', value: ({ session: { id } }) => id, style: () => 'dim' },
      { title: 'FROM', value: ({ session: { started_at: at } }) => moment(at) },
      { title: 'TO', value: ({ session: { ended_at: at } }) => (at === null ? 'live' : moment(at)) },
      { title: 'USER', value: ({ session: { user } }) => user },
      { title: 'LOGIN', value: ({ session: { login } }) => login },
      { title: 'NODE', value: ({ session: { node } }) => node },
      { title: 'HITS', align: 'right', value: ({ count }) => String(count) },
    ]);
}

/** Throws USAGE with the query and a caret below the character that is wrong. */
function queryOf(words: readonly string[], options: Options): string {
  const text = words.join(' ').trim();
  const asked =
    text === ''
      ? ''
      : options.regex === true
        ? `/${text.replaceAll('/', '\\/')}/`
        : options.substring === true
          ? `"${text.replace(/["\\]/g, '\\$&')}"`
          : text;
  const named = (['user', 'node', 'login', 'session'] as const).flatMap((field) =>
    options[field] === undefined ? [] : [`${field}:"${options[field].replace(/["\\]/g, '\\$&')}"`],
  );
  const times = [
    ...(options.since === undefined ? [] : [`after:${new Date(options.since).toISOString()}`]),
    ...(options.until === undefined ? [] : [`before:${new Date(options.until).toISOString()}`]),
  ];
  const narrowed = [...named, ...times];
  const query = asked === '' ? narrowed.join(' ') : narrowed.length === 0 ? asked : `(${asked}) ${narrowed.join(' ')}`;
  try {
    parseSearch(query, Date.now());
  } catch (error) {
    if (!(error instanceof SearchError)) throw error;
    throw new StenoError('USAGE', `${error.message}\n  ${visible(query)}\n  ${' '.repeat([...query.slice(0, error.at)].length)}^`);
  }
  return query;
}

function listFields(asJson: boolean): void {
  const rows = (Object.keys(searchFields) as SearchField[]).map((field) => ({ field, ...fieldFacts(field) }));
  if (asJson) return json(standardOutput, rows);
  table(standardOutput, rows, [
    { title: 'FIELD', value: ({ field }) => field, style: () => 'bold' },
    { title: 'WHAT IT IS', value: ({ text }) => text },
    { title: 'EXAMPLE', value: ({ example }) => example, style: () => 'cyan' },
  ]);
}

function printGroup({ session, count, last_at: last, hits }: FoundSessions['groups'][number], web: string): void {
  const { out, env } = standardOutput;
  const dim = (text: string): string => styled(out, env, 'dim', text);
  const who =
    session === null
      ? styled(out, env, 'bold', 'outside sessions')
      : `${styled(out, env, 'bold', `${visible(session.login)}@${visible(session.node)}`)}  ${visible(session.user)}`;
  out.write(`${who}  ${moment(last)}  ${dim(`${session === null ? '' : `${session.id}  `}${count} ${count === 1 ? 'hit' : 'hits'}`)}\n`);
  for (const hit of hits) {
    const at = hit.time === null ? moment(hit.at) : `+${clock(hit.time)}`;
    const margin = ' '.repeat(13 + at.length);
    for (const line of hit.before) out.write(`${margin}${dim(visible(line))}\n`);
    const detail = hit.detail === '' ? '' : `  ${dim(visible(hit.detail))}`;
    const text = hit.kind === 'finding' ? styled(out, env, 'red', `${hit.severity}: ${visible(hit.text)}`) : visible(hit.text);
    out.write(`${styled(out, env, 'yellow', '▸')} ${dim(hit.kind.padEnd(9))} ${dim(at)} ${text}${detail}\n`);
    for (const line of hit.after) out.write(`${margin}${dim(visible(line))}\n`);
  }
  if (count > hits.length) out.write(`  ${dim(`and ${count - hits.length} more`)}\n`);
  const [first] = hits;
  if (first !== undefined && session !== null) out.write(`  ${styled(out, env, 'cyan', `${web}${first.link}`)}\n`);
  out.write('\n');
}
