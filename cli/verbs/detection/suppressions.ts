/** `steno findings suppress|suppressions|unsuppress`: findings that are expected, for a time and a reason. */
import type { Command } from 'commander';
import { createSuppression, deleteSuppression, listSuppressions } from '#schemas/api/detection/suppressions.js';
import type { Suppression } from '#schemas/api/detection/suppressions.js';
import type { SuppressionScope } from '#schemas/documents/suppression.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseSpan } from '../../terminal/arguments.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';

interface Scope {
  readonly rule?: string;
  readonly user?: string;
  readonly node?: string;
  readonly login?: string;
  readonly session?: string;
  readonly text?: string;
}

interface Options extends Scope {
  readonly reason: string;
  readonly for: number;
  readonly json?: boolean;
}

export function addSuppressions(findings: Command): void {
  findings
    .command('suppress')
    .description('keep new findings that are expected from being told; all that is named must fit')
    .option('--rule <id>', 'of this rule')
    .option('--user <name>', 'about this user')
    .option('--node <name>', 'on this node')
    .option('--login <name>', 'as this login')
    .option('--session <id>', 'about this session')
    .option('--text <pattern>', 'with this in the reason, which names commands and paths; * is any text')
    .requiredOption('--for <span>', 'how long, such as 8h or 30d; a year at most', parseSpan)
    .requiredOption('--reason <text>', 'why; kept in the audit log')
    .option('--json', 'print JSON')
    .action(suppress);
  findings
    .command('suppressions')
    .description('list suppressions with how many findings each has suppressed')
    .option('--json', 'print JSON')
    .action(list);
  findings
    .command('unsuppress')
    .description('end a suppression; what it suppressed stays suppressed')
    .argument('<id>', 'as `steno findings suppressions` lists it')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, deleteSuppression, { params: { name } });
      done(`${name} is ended`);
    });
}

async function suppress({ reason, for: duration, json: asJson, ...given }: Options): Promise<void> {
  const scope: SuppressionScope = { ...given };
  if (Object.keys(scope).length === 0)
    throw new StenoError('USAGE', 'name what to suppress: --rule, --user, --node, --login, --session or --text');
  const made = await call(openClient(openHome()).authority, createSuppression, { body: { scope, reason, duration } });
  if (asJson === true) return json(standardOutput, made);
  done(`${made.id} suppresses new findings with ${describe(scope)} until ${moment(made.expires_at)}`);
}

async function list(options: { readonly json?: boolean }): Promise<void> {
  const all = await call(openClient(openHome()).authority, listSuppressions, {});
  if (options.json === true) return json(standardOutput, all);
  if (all.length === 0) {
    standardOutput.err.write('Nothing is suppressed.\n');
    return;
  }
  const now = Date.now();
  table<Suppression>(standardOutput, all, [
    { title: 'ID', value: ({ id }) => id },
    {
      title: 'UNTIL',
      value: ({ expires_at: at }) => (at <= now ? 'over' : moment(at)),
      style: ({ expires_at: at }) => (at <= now ? 'dim' : null),
    },
    { title: 'HITS', align: 'right', value: ({ hits }) => String(hits) },
    { title: 'BY', value: ({ created_by: by }) => by },
    { title: 'WHAT', value: ({ scope }) => describe(scope), style: () => 'bold' },
    { title: 'WHY', value: ({ reason }) => reason },
  ]);
}

function describe(scope: SuppressionScope): string {
  return Object.entries(scope)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

function done(words: string): void {
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} ${visible(words)}\n`);
}
