/** `steno review`: who can reach what, why, since when, and whether they ever did; and what reviewers decided about it. */
import { Command, Option } from 'commander';
import { listAccessUse } from '#schemas/api/recordings/audit.js';
import { reviewed } from '#schemas/api/access/reviewed-access.js';
import type { ReviewedHolding } from '#schemas/api/access/reviewed-access.js';
import { decideAccess, listAccessDecisions, listAccessHoldings } from '#schemas/api/access/access-reviews.js';
import type { AccessDecision } from '#schemas/api/access/access-reviews.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { csv, json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';

interface Options {
  readonly format: 'table' | 'csv' | 'json';
  readonly json?: boolean;
  readonly user?: string;
  readonly role?: string;
  readonly unused?: boolean;
  readonly undecided?: boolean;
}

const { out, err, env } = standardOutput;
const format = (): Option => new Option('--format <format>', 'table, csv or json').choices(['table', 'csv', 'json']).default('table');

export function reviewCommand(): Command {
  const command = new Command('review')
    // `record` and `decisions` have options of the same names.
    .enablePositionalOptions()
    .description('list who holds which role, what it reaches, since when, and when it was last used')
    .addOption(format())
    .option('--json', 'the same as --format json')
    .option('--user <name>', 'only of this user')
    .option('--role <name>', 'only of this role')
    .option('--unused', 'only what was not used for 90 days, and is held longer')
    .option('--undecided', 'only what nobody has decided about')
    .addHelpText(
      'after',
      '\nUse is what was recorded: the last session on a node and as a login that the role reaches now.\nA decision is a record, not a change: take a role away with `steno users edit`.',
    )
    .action(async (options: Options) => {
      const client = openClient(openHome());
      const holdings = await call(client.authority, listAccessHoldings, {});
      const used = await call(client.viewer, listAccessUse, {});
      const rows = reviewed(holdings, used, Date.now()).filter(
        (row) =>
          (options.user === undefined || row.user === options.user) &&
          (options.role === undefined || row.role === options.role) &&
          (options.unused !== true || row.unused) &&
          (options.undecided !== true || row.decision === null),
      );
      if (options.json === true || options.format === 'json') return json(standardOutput, rows);
      if (options.format === 'csv') return csv(standardOutput, rows, evidence);
      if (rows.length === 0) {
        err.write('Nothing to review.\n');
        return;
      }
      table<ReviewedHolding>(standardOutput, rows, [
        { title: 'USER', value: ({ user, disabled }) => (disabled ? `${user} (disabled)` : user), style: () => 'bold' },
        { title: 'ROLE', value: ({ role }) => role },
        { title: 'NODES', align: 'right', value: ({ reach }) => String(reach.length) },
        { title: 'SINCE', value: ({ since }) => day(since), style: () => 'dim' },
        {
          title: 'LAST USED',
          value: ({ last_used: last }) => (last === null ? 'never' : day(last)),
          style: ({ unused }) => (unused ? 'red' : null),
        },
        { title: 'SESSIONS', align: 'right', value: ({ sessions }) => String(sessions) },
        {
          title: 'DECISION',
          value: ({ decision }) => (decision === null ? '-' : `${decision.decision} by ${decision.reviewer}, ${day(decision.at)}`),
          style: ({ decision }) => (decision?.decision === 'remove' ? 'yellow' : null),
        },
        { title: 'WHY', value: ({ because }) => because.join(', ') },
      ]);
      const unused = rows.filter((row) => row.unused).length;
      if (unused > 0)
        err.write(
          `${unused} of ${rows.length} not used for 90 days. Decide: steno review record --decision keep|remove --user U --role R --reason TEXT\n`,
        );
    });
  command
    .command('record')
    .description('record a decision about a role that a user holds')
    .addOption(new Option('--decision <decision>', 'keep or remove').choices(['keep', 'remove']).makeOptionMandatory())
    .requiredOption('--user <name>', 'who holds it')
    .requiredOption('--role <name>', 'what they hold')
    .requiredOption('--reason <text>', 'why')
    .option('--json', 'print JSON')
    .action(async (options: { decision: 'keep' | 'remove'; user: string; role: string; reason: string; json?: boolean }) => {
      const { json: asJson, ...body } = options;
      const made = await call(openClient(openHome()).authority, decideAccess, { body });
      if (asJson === true) return json(standardOutput, made);
      out.write(
        `${styled(out, env, 'green', '✓')} ${made.decision} ${visible(made.role)} of ${styled(out, env, 'bold', visible(made.user))}, recorded for ${visible(made.reviewer)}\n`,
      );
      if (made.decision === 'remove') out.write(`  to carry it out   steno users edit ${visible(made.user)} --roles …\n`);
    });
  command
    .command('decisions')
    .description('list every decision, newest first: the evidence of a review')
    .addOption(format())
    .option('--json', 'the same as --format json')
    .action(async (options: Pick<Options, 'format' | 'json'>) => {
      const rows = await call(openClient(openHome()).authority, listAccessDecisions, {});
      if (options.json === true || options.format === 'json') return json(standardOutput, rows);
      const columns = [
        ['at', ({ at }: AccessDecision) => new Date(at).toISOString()],
        ['reviewer', (row: AccessDecision) => row.reviewer],
        ['decision', (row: AccessDecision) => row.decision],
        ['user', (row: AccessDecision) => row.user],
        ['role', (row: AccessDecision) => row.role],
        ['reason', (row: AccessDecision) => row.reason],
      ] as const;
      if (options.format === 'csv') return csv(standardOutput, rows, columns);
      table<AccessDecision>(
        standardOutput,
        rows,
        columns.map(([title, value]) => ({ title: title.toUpperCase(), value: title === 'at' ? ({ at }) => moment(at) : value })),
      );
    });
  return command;
}

const evidence: readonly (readonly [string, (row: ReviewedHolding) => string])[] = [
  ['user', ({ user }) => user],
  ['kind', ({ kind }) => kind],
  ['disabled', ({ disabled }) => String(disabled)],
  ['role', ({ role }) => role],
  ['because', ({ because }) => because.join(' ')],
  ['reach', ({ reach }) => reach.map(({ node, logins }) => `${node}:${logins.join('|')}`).join(' ')],
  ['since', ({ since }) => new Date(since).toISOString()],
  ['last_used', ({ last_used: last }) => (last === null ? '' : new Date(last).toISOString())],
  ['sessions', ({ sessions }) => String(sessions)],
  ['unused_90_days', ({ unused }) => String(unused)],
  ['decision', ({ decision }) => decision?.decision ?? ''],
  ['reviewer', ({ decision }) => decision?.reviewer ?? ''],
  ['decided_at', ({ decision }) => (decision === null ? '' : new Date(decision.at).toISOString())],
  ['reason', ({ decision }) => decision?.reason ?? ''],
];

function day(at: number): string {
  return moment(at).slice(0, 10);
}
