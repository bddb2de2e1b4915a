/** `steno sessions`. */
import { Command } from 'commander';
import { listSessions } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import { cutText } from '#schemas/recording/line.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { bytes, clock, json, moment, standardOutput, table } from '../../terminal/output.js';
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

function placeAndTime({ user, node, login, since, until }: Filters) {
  return { user, node, login, from: since, to: until };
}

/** The first `limit` rows, page by page: a page of the viewer has at most `pageSize` rows. */
export async function rowsOf<Row>(
  get: (page: {
    readonly before?: string;
    readonly limit: number;
  }) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>,
  limit: number,
  pageSize: number,
): Promise<readonly Row[]> {
  const all: Row[] = [];
  let before: string | null | undefined;
  while (all.length < limit && before !== null) {
    const { rows, next } = await get({ ...(before === undefined ? {} : { before }), limit: Math.min(limit - all.length, pageSize) });
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
    .option('--live', 'only live sessions, and who is in them; short for --state live')
    .option('--kind <kind>', 'shell, exec, sftp, subsystem or forward')
    .option('--request <id>', 'only under this access request')
    .action(async (filters: Filters & { state?: string; live?: boolean; kind?: string; request?: string }) => {
      const client = openClient(openHome());
      let rebuilding: SessionList['incomplete'];
      const { kind, request } = filters;
      if (filters.live === true && (filters.state ?? 'live') !== 'live') throw new StenoError('USAGE', '--live and --state are given');
      const state = filters.live === true ? 'live' : filters.state;
      const shared = (session: SessionInfo): boolean => peopleOf(session) !== '' || (session.live?.awaits ?? '') !== '';
      const page = async (more: object) => {
        const query = { ...placeAndTime(filters), state, kind, request, ...more };
        const { sessions: rows, next, incomplete } = await call(client.viewer, listSessions, { query });
        rebuilding = incomplete;
        return { rows, next };
      };
      const sessions = await rowsOf<SessionInfo>(page, filters.limit, 200);
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
        ...(sessions.some(({ opened_from: outer }) => outer !== undefined)
          ? [{ title: 'INSIDE', value: ({ opened_from: outer }: SessionInfo) => outer?.id ?? '', style: () => 'dim' as const }]
          : []),
        ...(state === 'live' || sessions.some(shared)
          ? [
              { title: 'WITH', value: peopleOf, style: () => 'bold' as const },
              { title: 'WAITS FOR', value: ({ live }: SessionInfo) => live?.awaits ?? '', style: () => 'yellow' as const },
            ]
          : []),
        { title: 'COMMAND', value: ({ command }) => cutText(command, 300) },
      ]);
    });
}

/** Lists participants with their mode and how long ago they joined: `bob (observer, 0:05)`. */
function peopleOf({ live }: SessionInfo): string {
  if (live === undefined) return '';
  const now = Date.now();
  const joined = live.participants.filter(({ mode }) => mode !== 'owner');
  return [
    ...joined.map(({ user, mode, since }) => `${user} (${mode}, ${clock(Math.max(0, now - since))})`),
    ...(live.others === 0 ? [] : [`${live.others} more`]),
  ].join(', ');
}

function exitOf({ exit_code, exit_signal }: SessionInfo): string {
  return exit_signal !== null && exit_signal !== '' ? exit_signal : exit_code === null ? '' : String(exit_code);
}
