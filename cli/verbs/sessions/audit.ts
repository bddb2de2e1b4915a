/** `steno audit`: who was admitted, refused and changed what. For those whose roles may view all sessions. */
import { Command } from 'commander';
import { listAudit } from '#schemas/api/recordings/audit.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, table } from '../../terminal/output.js';
import { parseLimit, parseMoment } from '../../terminal/arguments.js';
import { rowsOf } from './sessions.js';

interface Filters {
  readonly event?: string;
  readonly actor?: string;
  readonly outcome?: string;
  readonly session?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
  readonly json?: boolean;
}

export function auditCommand(): Command {
  return new Command('audit')
    .description('list what was admitted, refused and changed, newest first')
    .option('--event <name>', 'only this event, such as auth.refused; auth. is every one of auth')
    .option('--actor <name>', 'only by this actor')
    .option('--outcome <outcome>', 'success or failure')
    .option('--session <id>', 'only about this session; with --event recording. who looked at it')
    .option('--since <when>', 'from this moment on: a date, or an age such as 2h', (value) => parseMoment(value))
    .option('--until <when>', 'up to this moment', (value) => parseMoment(value))
    .option('--limit <n>', 'at most this many', parseLimit, 50)
    .option('--json', 'print JSON')
    .action(async ({ event, actor, outcome, session, since, until, limit, ...options }: Filters) => {
      const client = openClient(openHome());
      const filters = { event, actor, outcome, session, from: since, to: until };
      const rows = await rowsOf<AuditRow>((page) => call(client.viewer, listAudit, { query: { ...filters, ...page } }), limit, 200);
      if (options.json === true) return json(standardOutput, rows);
      if (rows.length === 0) {
        standardOutput.err.write('Nothing in the audit log.\n');
        return;
      }
      table<AuditRow>(standardOutput, rows, [
        { title: 'TIME', value: ({ at }) => moment(at), style: () => 'dim' },
        { title: 'EVENT', value: ({ event: name }) => name },
        { title: 'OUTCOME', value: ({ outcome: how }) => how, style: ({ outcome: how }) => (how === 'failure' ? 'red' : null) },
        { title: 'ACTOR', value: (row) => row.actor },
        {
          title: 'TARGET',
          value: ({ login, node, target }) => (node !== '' && login !== '' ? `${login}@${node}` : node !== '' ? node : target),
          style: () => 'bold',
        },
        { title: 'FROM', value: ({ source_address }) => source_address },
        { title: 'CODE', value: ({ code }) => code },
        { title: 'REASON', value: ({ reason }) => reason },
      ]);
    });
}
