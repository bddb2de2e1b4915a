/** `steno sessions` and `steno search`. */
import { Command } from 'commander';
import type { SearchHit, SearchResult, SessionInfo, SessionList } from '#schemas/api.js';
import { cutText } from '#schemas/recording/line.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { bytes, clock, json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { parseLimit, parseMoment } from '../../terminal/arguments.js';
import { endCommand, freezeCommand, noticeCommand, unfreezeCommand } from './control.js';

interface Filters {
  readonly user?: string;
  readonly node?: string;
  readonly login?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
  readonly json?: boolean;
}

function withFilters(command: Command): Command {
  return command
    .option('--user <name>', 'only of this user')
    .option('--node <name>', 'only on this node')
    .option('--login <name>', 'only as this login')
    .option('--since <when>', 'from this moment on: a date, or an age such as 2h', (value) => parseMoment(value))
    .option('--until <when>', 'up to this moment', (value) => parseMoment(value))
    .option('--limit <n>', 'at most this many', parseLimit, 50)
    .option('--json', 'print JSON');
}

function query(
  { user, node, login, since, until }: Filters,
  more: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  return { user, node, login, from: since?.toString(), to: until?.toString(), ...more };
}

/** The first `limit` rows, page by page: a page of the viewer has at most `pageSize` rows. */
export async function rowsOf<Row>(
  get: (query: string) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>,
  filters: Readonly<Record<string, string | undefined>>,
  limit: number,
  pageSize: number,
): Promise<readonly Row[]> {
  const all: Row[] = [];
  let before: string | null | undefined;
  while (all.length < limit && before !== null) {
    const pairs = Object.entries({ ...filters, before, limit: String(Math.min(limit - all.length, pageSize)) });
    const { rows, next } = await get(
      new URLSearchParams(pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)).toString(),
    );
    all.push(...rows);
    before = next;
  }
  return all;
}

export function sessionsCommand(): Command {
  return withFilters(new Command('sessions').description('list recorded sessions, newest first; freeze, unfreeze or end a live one'))
    .addCommand(freezeCommand())
    .addCommand(unfreezeCommand())
    .addCommand(endCommand())
    .addCommand(noticeCommand())
    .option('--state <state>', 'live, ended, sealed or interrupted')
    .option('--kind <kind>', 'shell, exec, sftp, subsystem or forward')
    .option('--request <id>', 'only under this access request')
    .action(async (filters: Filters & { state?: string; kind?: string; request?: string }) => {
      const client = openClient(openHome());
      let rebuilding: SessionList['incomplete'];
      const page = async (search: string) => {
        const { sessions: rows, next, incomplete } = await client.get<SessionList>(`/api/sessions?${search}`);
        rebuilding = incomplete;
        return { rows, next };
      };
      const sessions = await rowsOf<SessionInfo>(
        page,
        query(filters, { state: filters.state, kind: filters.kind, request: filters.request }),
        filters.limit,
        200,
      );
      if (rebuilding !== undefined)
        standardOutput.err.write(
          `The search index is being rebuilt: this list and searches lack recordings that are not indexed yet${rebuilding.total === 0 ? '' : ` (${rebuilding.done} of ${rebuilding.total} are)`}.\n`,
        );
      if (filters.json === true) return json(standardOutput, sessions);
      if (sessions.length === 0) {
        standardOutput.err.write('No sessions.\n');
        return;
      }
      table<SessionInfo>(standardOutput, sessions, [
        { title: 'STARTED', value: ({ started_at }) => moment(started_at), style: () => 'dim' },
        { title: 'ID', value: ({ id }) => id },
        {
          title: 'STATE',
          value: ({ state }) => state,
          style: ({ state }) => (state === 'live' ? 'green' : state === 'interrupted' ? 'yellow' : null),
        },
        { title: 'KIND', value: ({ kind }) => kind },
        { title: 'USER', value: ({ user }) => user },
        { title: 'TARGET', value: ({ login, node }) => `${login}@${node}`, style: () => 'bold' },
        { title: 'TIME', align: 'right', value: ({ duration }) => clock(duration) },
        { title: 'BYTES', align: 'right', value: ({ bytes_in, bytes_out }) => bytes(bytes_in + bytes_out) },
        { title: 'EXIT', align: 'right', value: exitOf, style: (row) => (exitOf(row) === '0' || exitOf(row) === '' ? null : 'red') },
        { title: 'COMMAND', value: ({ command }) => cutText(command, 300) },
      ]);
    });
}

function exitOf({ exit_code, exit_signal }: SessionInfo): string {
  return exit_signal !== null && exit_signal !== '' ? exit_signal : exit_code === null ? '' : String(exit_code);
}

export function searchCommand(): Command {
  return withFilters(
    new Command('search')
      .description('find what was seen on the screens of all sessions, newest first')
      .argument('<text...>', 'words to find'),
  )
    .option('--substring', 'find the text anywhere, also inside words')
    .option('--regex', 'take the text as a regular expression')
    .option('--session <id>', 'only in this session')
    .addHelpText('after', '\nExit code 1 when nothing is found.')
    .action(async (words: readonly string[], filters: Filters & { substring?: boolean; regex?: boolean; session?: string }) => {
      const client = openClient(openHome());
      const mode = filters.regex === true ? 'regex' : filters.substring === true ? 'substring' : 'words';
      const text = words.join(' ');
      const page = async (search: string) => {
        const { hits: rows, next } = await client.get<SearchResult>(`/api/search?${search}`);
        return { rows, next };
      };
      const hits = await rowsOf<SearchHit>(page, query(filters, { q: text, mode, session: filters.session }), filters.limit, 100);
      if (hits.length === 0) process.exitCode = 1;
      if (filters.json === true) return json(standardOutput, hits);
      if (hits.length === 0) {
        standardOutput.err.write(`Nothing on any screen matches "${visible(text)}".\n`);
        return;
      }
      for (const hit of hits) printHit(hit, client.profile.web);
    });
}

function printHit(hit: SearchHit, web: string): void {
  const { out, env } = standardOutput;
  const dim = (text: string): string => styled(out, env, 'dim', text);
  out.write(
    `${styled(out, env, 'bold', `${visible(hit.login)}@${visible(hit.node)}`)}  ${visible(hit.user)}  ${moment(hit.at)}  ${dim(`${hit.session} +${clock(hit.time)} row ${hit.row}`)}\n`,
  );
  for (const line of hit.before) out.write(`  ${dim(visible(line))}\n`);
  out.write(`${styled(out, env, 'yellow', '▸')} ${visible(hit.text)}\n`);
  for (const line of hit.after) out.write(`  ${dim(visible(line))}\n`);
  out.write(`  ${styled(out, env, 'cyan', `${web}${hit.link}`)}\n\n`);
}
