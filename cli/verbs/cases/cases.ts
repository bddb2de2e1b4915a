/** `steno cases`: what belongs together, who works on it, and how it ended. Tested in test/end-to-end/cases.test.ts. */
import { Argument, Command, Option } from 'commander';
import { addCaseItems, createCase, decideCase, removeCaseItem, updateCase } from '#schemas/api/cases/cases.js';
import type { CaseHead, NewCaseItem } from '#schemas/api/cases/cases.js';
import { listCases, showCase } from '#schemas/api/cases/workbench.js';
import type { CaseView, TimelineEntry } from '#schemas/api/cases/workbench.js';
import { caseStates } from '#schemas/documents/case.js';
import type { CaseAct } from '#schemas/documents/case.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { clock, json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { wholeId } from '../detection/findings.js';
import { parseOffset } from '../sessions/play.js';
import { caseNamed } from './references.js';

interface Options {
  readonly json?: boolean;
}

const CASE = 'as `steno cases ls` lists it; its beginning is enough';

export function casesCommand(): Command {
  const cases = new Command('cases')
    .description('gather sessions, moments, findings and searches, and close them by two people')
    .addHelpText(
      'after',
      `
Examples:
  steno cases new "Shadow file read on web-3"
  steno cases add c-4f moment 01k6zq3v8c2m4n6p8r0t2v4x6z --at 1:02 --note "becomes root"
  steno cases add c-4f finding 3f9a1c04b7de
  steno cases close c-4f --reason "credentials rotated"     somebody else signs:
  steno cases sign c-4f
`,
    );
  cases
    .command('ls')
    .description('list cases, the last changed first; those not closed unless told otherwise')
    .addOption(new Option('--state <state>', 'only in this state').choices(caseStates))
    .option('--all', 'closed ones too')
    .option('--json', 'print JSON')
    .action(list);
  cases
    .command('new')
    .description('open a case')
    .argument('<title>')
    .option('--summary <text>', 'what it is about', '')
    .option('--json', 'print JSON')
    .action(open);
  cases.command('show').description('show a case and its timeline').argument('<case>', CASE).option('--json', 'print JSON').action(show);
  cases
    .command('add')
    .description('add a session, a moment, a finding or a search')
    .argument('<case>', CASE)
    .addArgument(new Argument('<kind>').choices(['session', 'moment', 'finding', 'search']))
    .argument('<what>', 'id of the session or finding, or the search')
    .option('--at <moment>', 'of a moment: session time, 1:02 or 62 seconds', parseOffset)
    .option('--note <text>', 'why it belongs here', '')
    .option('--json', 'print JSON')
    .action(add);
  cases
    .command('rm')
    .description('take something out of a case; its history keeps that it was there')
    .argument('<case>', CASE)
    .argument('<item>', 'as `steno cases show` lists it')
    .option('--reason <text>', 'why', '')
    .action(remove);
  cases
    .command('assign')
    .description('say who works on a case')
    .argument('<case>', CASE)
    .argument('[user]', 'left out: nobody')
    .option('--json', 'print JSON')
    .action(assign);
  for (const { verb, act, description, reason } of verbs) {
    const command = cases.command(verb).description(description).argument('<case>', CASE).option('--json', 'print JSON');
    if (reason) command.requiredOption('--reason <text>', 'why; kept with the case');
    else command.option('--reason <text>', 'kept with the case', '');
    command.action((id: string, options: { reason: string } & Options) => decide(id, act, options));
  }
  return cases;
}

const verbs: readonly { readonly verb: string; readonly act: CaseAct; readonly description: string; readonly reason: boolean }[] = [
  { verb: 'investigate', act: 'investigate', description: 'say that somebody is working on it', reason: false },
  { verb: 'close', act: 'close', description: 'ask to close a case; somebody else has to sign', reason: true },
  { verb: 'sign', act: 'sign', description: 'sign off a case that somebody else asked to close', reason: false },
  { verb: 'return', act: 'return', description: 'send a case back that somebody asked to close', reason: true },
  { verb: 'reopen', act: 'reopen', description: 'open a closed case again', reason: true },
];

async function list({ state, all, json: asJson }: Options & { readonly state?: CaseHead['state']; readonly all?: boolean }): Promise<void> {
  const heads = await call(openClient(openHome()).viewer, listCases, { query: { state: state ?? (all === true ? 'all' : 'unsettled') } });
  if (asJson === true) return json(standardOutput, heads);
  if (heads.length === 0) standardOutput.err.write('No cases like that. `steno cases new TITLE` opens one.\n');
  table<CaseHead>(standardOutput, heads, [
    { title: 'CHANGED', value: ({ updated_at: at }) => moment(at), style: () => 'dim' },
    { title: 'ID', value: ({ id }) => id },
    { title: 'STATE', value: ({ state: now }) => now, style: ({ state: now }) => (now === 'closed' ? 'dim' : 'bold') },
    { title: 'ASSIGNEE', value: ({ assignee }) => assignee ?? '' },
    { title: 'HOLDS', value: ({ items }) => String(items), align: 'right' },
    { title: 'TITLE', value: ({ title }) => title, style: () => 'bold' },
  ]);
}

async function open(title: string, { summary, json: asJson }: Options & { readonly summary: string }): Promise<void> {
  const made = await call(openClient(openHome()).authority, createCase, { body: { title, summary } });
  if (asJson === true) return json(standardOutput, made);
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} case ${made.id} is open: ${visible(made.title)}\n`);
}

async function show(begun: string, { json: asJson }: Options): Promise<void> {
  const client = openClient(openHome());
  const { id } = await caseNamed(client, begun);
  const view = await call(client.viewer, showCase, { params: { id } });
  if (asJson === true) return json(standardOutput, view);
  const { out, env } = standardOutput;
  const { head, summary, hidden } = view;
  const line = (name: string, value: string): void => {
    if (value !== '') out.write(`  ${styled(out, env, 'dim', name.padEnd(9))} ${visible(value)}\n`);
  };
  out.write(`${styled(out, env, 'bold', visible(head.title))}   ${head.state}\n`);
  line('id', head.id);
  line('opened', `${moment(head.created_at)} by ${head.created_by}`);
  line('assignee', head.assignee ?? '');
  if (head.closing !== null) line('closing', `asked by ${head.closing.by}, ${moment(head.closing.at)}: ${head.closing.reason}`);
  if (head.signed !== null) line('signed', `by ${head.signed.by}, ${moment(head.signed.at)}`);
  line('page', new URL(`/cases/${head.id}`, client.profile.web).href);
  for (const text of summary === '' ? [] : summary.split('\n')) line('', text);
  out.write('\n');
  printTimeline(view);
  if (hidden > 0) standardOutput.err.write(`${hidden} more that are not stored any more, or not yours to see.\n`);
}

const words: Readonly<Record<TimelineEntry['kind'], string>> = {
  started: 'session begins',
  ended: 'session ends',
  moment: 'moment',
  finding: 'finding',
  search: 'search',
  note: 'note',
  history: 'case',
};

function printTimeline({ timeline, sessions }: CaseView): void {
  const places = new Map(sessions.map(({ id, user, login, node }) => [id, `${user} → ${login}@${node}`]));
  table<TimelineEntry>(standardOutput, timeline, [
    { title: 'TIME', value: ({ at }) => moment(at), style: () => 'dim' },
    { title: 'WHAT', value: ({ kind, severity }) => (severity === '' ? words[kind] : `${severity} ${words[kind]}`) },
    { title: 'AT', value: ({ offset, kind }) => (offset === null || kind === 'started' ? '' : clock(offset)), align: 'right' },
    { title: 'SESSION', value: ({ session }) => places.get(session) ?? session },
    { title: 'ITEM', value: ({ item }) => item, style: () => 'dim' },
    { title: 'BY', value: ({ by }) => by },
    { title: 'TEXT', value: textOf },
  ]);
}

function textOf({ kind, title, text }: TimelineEntry): string {
  const bookmark = kind === 'note' && text === '' ? '(bookmark)' : '';
  return [title, text, bookmark]
    .filter((part) => part !== '')
    .join(': ')
    .replace(/\s+/g, ' ');
}

async function add(
  begun: string,
  kind: NewCaseItem['kind'],
  what: string,
  { at, note, json: asJson }: Options & { readonly at?: number; readonly note: string },
): Promise<void> {
  const client = openClient(openHome());
  if ((kind === 'moment') !== (at !== undefined)) throw new StenoError('USAGE', 'a moment has --at, and nothing else has');
  const { id } = await caseNamed(client, begun);
  const named = kind === 'finding' ? await wholeId(client, what) : what;
  const added = await call(client.authority, addCaseItems, { params: { name: id }, body: { items: [itemOf(kind, named, at ?? 0, note)] } });
  if (asJson === true) return json(standardOutput, added);
  const { out, env } = standardOutput;
  if (added.length === 0) standardOutput.err.write(`${id} holds it already\n`);
  for (const item of added) out.write(`${styled(out, env, 'green', '✓')} ${item.kind} ${item.id} is in ${id}\n`);
}

function itemOf(kind: NewCaseItem['kind'], what: string, offset: number, note: string): NewCaseItem {
  switch (kind) {
    case 'session':
      return { kind, session: what, note };
    case 'moment':
      return { kind, session: what, offset, note };
    case 'finding':
      return { kind, finding: what, note };
    case 'search':
      return { kind, query: what, note };
  }
}

async function remove(begun: string, item: string, { reason }: { readonly reason: string }): Promise<void> {
  const client = openClient(openHome());
  const { id } = await caseNamed(client, begun);
  await call(client.authority, removeCaseItem, { params: { name: id, item }, body: { reason } });
  standardOutput.err.write(`${item} is no longer in ${id}\n`);
}

async function assign(begun: string, user: string | undefined, { json: asJson }: Options): Promise<void> {
  const client = openClient(openHome());
  const { id } = await caseNamed(client, begun);
  const head = await call(client.authority, updateCase, { params: { name: id }, body: { assignee: user ?? null } });
  if (asJson === true) return json(standardOutput, head);
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} ${id} is ${head.assignee === null ? 'nobody’s' : `${visible(head.assignee)}’s`}\n`);
}

async function decide(begun: string, act: CaseAct, { reason, json: asJson }: { readonly reason: string } & Options): Promise<void> {
  const client = openClient(openHome());
  const { id } = await caseNamed(client, begun);
  const head = await call(client.authority, decideCase, { params: { name: id }, body: { act, reason } });
  if (asJson === true) return json(standardOutput, head);
  const { out, env } = standardOutput;
  const more = head.state === 'closing' ? '; somebody else signs it off with `steno cases sign`' : '';
  out.write(`${styled(out, env, 'green', '✓')} ${id} is ${head.state}${more}\n`);
}
