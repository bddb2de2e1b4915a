/** `steno findings`: what rules noticed, why, where to look, and what becomes of it. */
import { Command } from 'commander';
import { countFindings, listFindings, showFinding } from '#schemas/api/recordings/findings.js';
import type { FindingEvidence, FindingInfo } from '#schemas/api/recordings/findings.js';
import { triageFinding } from '#schemas/api/detection/triage.js';
import type { DecidedState } from '#schemas/api/detection/triage.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { tiers } from '#schemas/events/rows.js';
import { StenoError } from '#schemas/base/errors.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseLimit, parseMoment } from '../../terminal/arguments.js';
import { clock, json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { rowsOf } from '../sessions/sessions.js';
import { addResponse } from './response.js';
import { addSuppressions } from './suppressions.js';

interface Filters {
  readonly state?: string;
  readonly severity?: string;
  readonly signals?: boolean;
  readonly rule?: string;
  readonly session?: string;
  readonly user?: string;
  readonly node?: string;
  readonly login?: string;
  readonly all?: boolean;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
  readonly json?: boolean;
}

/** Enough to tell findings apart in a list; commands take the beginning of an id. */
const SHORT = 12;
const colours = { critical: 'red', high: 'red', medium: 'yellow', low: null, info: 'dim' } as const;

export function findingsCommand(): Command {
  const findings = new Command('findings').description('list what rules noticed, and say what becomes of it').addHelpText(
    'after',
    `
An ID may be cut short to where it is unique among the findings of the last 30 days.
Examples:
  steno findings ls --severity high,critical --since 24h
  steno findings show 3f9a1c
  steno findings dismiss 3f9a1c --reason "the backup job reads it every night"
`,
  );
  findings
    .command('ls')
    .description('list findings, newest first; those still open unless told otherwise')
    .option('--state <states>', 'open, acknowledged, resolved, dismissed, suppressed; several with commas', 'open,acknowledged')
    .option('--all', 'in any state')
    .option('--severity <severities>', 'info, low, medium, high, critical; several with commas')
    .option('--signals', 'signals too: what tags a session and pages nobody')
    .option('--rule <id>', 'only of this rule')
    .option('--session <id>', 'only about this session')
    .option('--user <name>', 'only about this user')
    .option('--node <name>', 'only on this node')
    .option('--login <name>', 'only as this login')
    .option('--since <when>', 'from this moment on: a date, or an age such as 2h', (value) => parseMoment(value))
    .option('--until <when>', 'up to this moment', (value) => parseMoment(value))
    .option('--limit <n>', 'at most this many', parseLimit, 50)
    .option('--json', 'print JSON')
    .action(list);
  findings
    .command('show')
    .description('show a finding, why it was made, and the events that prove it')
    .argument('<id>', 'as `steno findings ls` lists it')
    .option('--json', 'print JSON')
    .action(show);
  for (const { verb, state, description } of verbs) {
    const command = findings
      .command(verb)
      .description(description)
      .argument('<id...>', 'as `steno findings ls` lists them')
      .option('--json', 'print JSON');
    const words = 'why; kept in the audit log';
    if (state === 'acknowledged') command.option('--reason <text>', words, '');
    else command.requiredOption('--reason <text>', words);
    command.action((ids: readonly string[], options: { reason: string; json?: boolean }) => triage(ids, state, options));
  }
  addSuppressions(findings);
  addResponse(findings);
  return findings;
}

const verbs: readonly { readonly verb: string; readonly state: DecidedState; readonly description: string }[] = [
  { verb: 'ack', state: 'acknowledged', description: 'say that somebody is looking at it' },
  { verb: 'resolve', state: 'resolved', description: 'say that it was dealt with' },
  { verb: 'dismiss', state: 'dismissed', description: 'say that it is a false alarm' },
  { verb: 'reopen', state: 'open', description: 'say that it is not settled after all' },
];

async function list({
  state,
  all,
  severity,
  signals,
  rule,
  session,
  user,
  node,
  login,
  since,
  until,
  limit,
  json: asJson,
}: Filters): Promise<void> {
  const client = openClient(openHome());
  const tier = signals === true ? tiers.join(',') : undefined;
  const query = { state: all === true ? undefined : state, severity, tier, rule, session, user, node, login, from: since, to: until };
  const rows = await rowsOf<FindingInfo>(
    async (page) => {
      const { findings, next } = await call(client.viewer, listFindings, { query: { ...query, ...page } });
      return { rows: findings, next };
    },
    limit,
    200,
  );
  if (asJson === true) return json(standardOutput, rows);
  if (rows.length === 0) {
    const counts = await call(client.viewer, countFindings, {});
    const elsewhere = counts.reduce((sum, { count }) => sum + count, 0);
    standardOutput.err.write(
      elsewhere === 0
        ? 'No findings. `steno rules ls` lists the rules that look for some.\n'
        : `No findings like that; ${elsewhere} in all, \`steno findings ls --all\` lists them.\n`,
    );
    return;
  }
  table<FindingInfo>(standardOutput, rows, [
    { title: 'TIME', value: ({ at }) => moment(at), style: () => 'dim' },
    { title: 'ID', value: ({ id }) => id.slice(0, SHORT) },
    { title: 'SEVERITY', value: ({ severity: how }) => how, style: ({ severity: how }) => colours[how] },
    { title: 'STATE', value: ({ state: now }) => now, style: ({ state: now }) => (now === 'open' ? 'bold' : 'dim') },
    { title: 'USER', value: (row) => row.user },
    { title: 'TARGET', value: targetOf, style: () => 'bold' },
    { title: 'WHAT', value: ({ title }) => title },
    { title: 'WHY', value: ({ reason }) => reason.replace(/\s+/g, ' ') },
  ]);
}

function targetOf({ login, node }: FindingInfo): string {
  return login === '' ? node : `${login}@${node}`;
}

async function show(id: string, options: { json?: boolean }): Promise<void> {
  const client = openClient(openHome());
  const detail = await call(client.viewer, showFinding, { params: { id: await wholeId(client, id) } });
  if (options.json === true) return json(standardOutput, detail);
  const { out, env } = standardOutput;
  const { finding, evidence, missing } = detail;
  const how = colours[finding.severity];
  const line = (name: string, value: string): void => {
    if (value !== '') out.write(`  ${styled(out, env, 'dim', name.padEnd(10))} ${visible(value)}\n`);
  };
  const severity = how === null ? finding.severity : styled(out, env, how, finding.severity);
  out.write(`${styled(out, env, 'bold', visible(finding.title))}   ${severity}, ${finding.state}\n`);
  line('why', finding.reason);
  line('who', `${finding.user}${finding.node === '' ? '' : ` as ${targetOf(finding)}`}`);
  line('when', `${moment(finding.at)}${finding.offset === null ? '' : `, ${clock(finding.offset)} into the session`}`);
  line(
    'rule',
    `${finding.rule}, version ${finding.rule_version}${finding.techniques.length === 0 ? '' : `; ${finding.techniques.join(', ')}`}`,
  );
  line('next', finding.advice);
  if (finding.triage !== null) {
    const { state, by, at, reason } = finding.triage;
    line('decided', `${state} by ${by}, ${moment(at)}${reason === '' ? '' : `: ${reason}`}`);
  }
  if (finding.link !== null) line('page', new URL(finding.link, client.profile.web).href);
  if (finding.session !== '')
    line('replay', `steno play ${finding.session}${finding.offset === null ? '' : ` --at ${Math.floor(finding.offset / 1000)}`}`);
  line('id', finding.id);
  printEvidence(evidence, missing);
}

function printEvidence(evidence: readonly FindingEvidence[], missing: number): void {
  if (evidence.length > 0) {
    standardOutput.out.write('\n');
    table<FindingEvidence>(standardOutput, evidence, [
      { title: 'AT', value: ({ offset }) => clock(offset), align: 'right', style: () => 'dim' },
      { title: 'KIND', value: ({ kind }) => kind },
      { title: 'EVENT', value: eventText },
    ]);
  }
  if (missing > 0) standardOutput.err.write(`${missing} more that are not stored any more, or not yours to see.\n`);
}

function eventText({ name, path, address, port }: FindingEvidence): string {
  const place = address === '' ? '' : `${address}${port === null ? '' : `:${port}`}`;
  return [name, path === name ? '' : path, place].filter((text) => text !== '').join('  ');
}

async function triage(
  ids: readonly string[],
  state: DecidedState,
  { reason, json: asJson }: { reason: string; json?: boolean },
): Promise<void> {
  const client = openClient(openHome());
  const decided = [];
  for (const id of ids)
    decided.push(await call(client.authority, triageFinding, { params: { name: await wholeId(client, id) }, body: { state, reason } }));
  if (asJson === true) return json(standardOutput, decided);
  const { out, env } = standardOutput;
  for (const { finding } of decided) out.write(`${styled(out, env, 'green', '✓')} ${visible(finding.slice(0, SHORT))} is ${state}\n`);
}

const LOOKED_BACK_MS = 30 * 86_400_000;
const LOOKED_AT = 2_000;
/** Length of the ids that analyzers generate. */
const WHOLE = 40;

/** Completes the beginning of an id; returns it unchanged if no id has it. Throws USAGE if several do. */
export async function wholeId(client: Client, begun: string): Promise<string> {
  if (begun.length >= WHOLE) return begun;
  const query = { from: Date.now() - LOOKED_BACK_MS };
  const rows = await rowsOf<FindingInfo>(
    async (page) => {
      const { findings, next } = await call(client.viewer, listFindings, { query: { ...query, ...page } });
      return { rows: findings, next };
    },
    LOOKED_AT,
    200,
  );
  const found = rows.filter(({ id }) => id.startsWith(begun));
  if (found.length > 1 && !found.some(({ id }) => id === begun))
    throw new StenoError(
      'USAGE',
      `${found.length} findings begin with ${begun}: ${found
        .slice(0, 3)
        .map(({ id }) => id)
        .join(', ')}`,
    );
  return found.find(({ id }) => id === begun)?.id ?? found[0]?.id ?? begun;
}
