/**
 * How many events a second the streaming matcher takes with every rule loaded, beside the loop that tries one rule after the other.
 * Rules: SigmaHQ's for Linux where they lie beside the checkout, multiplied by making their literals different, else generated ones.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { EventRow } from '#schemas/events/rows.js';
import { noFacts } from '#schemas/events/rows.js';
import { EventView, evaluationOf } from '../../../analyzer/matching/evaluate.js';
import { RuleMatcher } from '../../../analyzer/matching/matcher.js';
import type { MatchedRule } from '../../../analyzer/matching/matcher.js';
import { eventFields } from '../../../analyzer/cases/event-fields.js';
import { sources } from '../../../analyzer/sources/log-source.js';
import { hasRsigma, rsigma } from '../../../test/peers/sigma.js';
import { readRuleFiles } from '../../../analyzer/sigma/rule-files.js';
import { loadRules } from '../../../analyzer/sigma/rule-set.js';
import { interleave, ratio, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const shared = new URL('../../../../../shared/', import.meta.url).pathname;

export async function sigma(rounds: number, count: number): Promise<Section> {
  const events = commandEvents(count);
  const corpus = corpusRules();
  const sets: [string, readonly MatchedRule[], readonly string[]][] =
    corpus.rules.length > 0 ? [[`SigmaHQ's for Linux, ${corpus.rules.length}`, corpus.rules, corpus.texts]] : [];
  for (const size of [100, 1_000, 2_000]) {
    const texts = generatedTexts(size);
    sets.push([`generated, ${size}`, generatedRules(texts), texts]);
  }
  const rows: string[][] = [];
  const fields = hasRsigma
    ? events.map((row) =>
        eventFields(
          sources.find(({ kinds }) => kinds.includes(row.kind))!,
          row,
        ),
      )
    : [];
  for (const [name, rules, texts] of sets) {
    const began = performance.now();
    const matcher = new RuleMatcher(rules);
    const built = performance.now() - began;
    let matched = 0;
    // The loop is given a part of the events: it would take minutes for all of them.
    const few = events.slice(0, Math.max(500, Math.floor(count / 100)));
    const loop = loopOf(rules);
    const figures = await interleave(
      [
        { name: 'matcher', run: () => Promise.resolve(perSecond(events, (row) => (matched += matcher.match(row).length))) },
        { name: 'loop', run: () => Promise.resolve(perSecond(few, loop)) },
      ],
      rounds,
    );
    const [indexed, tried] = figures as [(typeof figures)[0], (typeof figures)[0]];
    rows.push([
      name,
      Math.round(indexed.median).toLocaleString('en'),
      Math.round(tried.median).toLocaleString('en'),
      `${round3(ratio(indexed, tried))}x`,
      round3(matched / (rounds + 1) / events.length).toString(),
      `${Math.round(built)} ms`,
      hasRsigma ? Math.round(rsigma(texts, fields, rounds).perSecond).toLocaleString('en') : 'not built',
    ]);
  }
  return {
    title: 'Sigma rules on a stream of events',
    how: `${count.toLocaleString('en')} events: programs with their command lines, and for each of them a file and every fourth time a connection. One core. The loop evaluates every rule of the event's log source. rsigma: its evaluator with the index over all rules, on the same events as parsed JSON, without their log source and with a match described for each rule, best of the rounds; built by test/peers/sigma/build-rsigma.`,
    header: ['rules', 'events/s', 'loop, events/s', 'matcher / loop', 'matches an event', 'to build', 'rsigma, events/s'],
    rows,
  };
}

/** By processor time, so that what else runs on the machine counts less. */
function perSecond(events: readonly EventRow[], take: (row: EventRow) => void): number {
  const began = process.cpuUsage();
  for (const row of events) take(row);
  const { user, system } = process.cpuUsage(began);
  return (events.length / (user + system)) * 1_000_000;
}

function loopOf(rules: readonly MatchedRule[]): (row: EventRow) => void {
  const view = new EventView();
  const each = rules.map(({ scope, predicate }) => ({
    kinds: scope.kinds,
    selects: evaluationOf(scope.selects, view),
    matches: evaluationOf(predicate, view),
  }));
  return (row) => {
    view.set(row, null);
    for (const { kinds, selects, matches } of each) if (kinds.includes(row.kind) && selects(view)) matches(view);
  };
}

/** Rows as the agent writes them: new texts for each, as if they had been read from a socket. */
function commandEvents(count: number): readonly EventRow[] {
  const commands = commandLines();
  const rows: EventRow[] = [];
  const base = {
    session: '',
    source: 'kernel',
    emitter: 'agent/a',
    block: 0,
    at: 0,
    offset_ms: 0,
    user: 'ann',
    node: 'a',
    login: 'root',
  } as const;
  for (let i = 0; rows.length < count; i += 1) {
    const command = `${commands[i % commands.length]!} ${i}`;
    const [program = ''] = command.split(/[ |;]/, 1);
    const argv = command.split(' ');
    rows.push({
      ...base,
      ...noFacts,
      index: rows.length,
      kind: 'exec',
      outcome: 'success',
      path: `/usr/bin/${program}`,
      name: command,
      data: JSON.stringify({ pid: i, uid: i % 3, ppid: 1, argv, cwd: '/home/ann' }),
    });
    rows.push({
      ...base,
      ...noFacts,
      index: rows.length,
      kind: 'file',
      outcome: 'success',
      name: 'create',
      path: `/home/ann/jobs/${program}/${i}.log`,
      data: JSON.stringify({ pid: i, uid: i % 3 }),
    });
    if (i % 4 > 0) continue;
    rows.push({
      ...base,
      ...noFacts,
      index: rows.length,
      kind: 'connect',
      outcome: 'success',
      name: 'tcp',
      address: `10.0.${i % 250}.7`,
      port: 1_024 + (i % 60_000),
      data: JSON.stringify({ pid: i, local_port: 40_000 }),
    });
  }
  return rows.slice(0, count);
}

function commandLines(): readonly string[] {
  const file = `${shared}commands/benign.jsonl`;
  if (!existsSync(file))
    return Array.from({ length: 5_000 }, (_, i) => `tool${i % 90} --option ${word(i)} /var/lib/${word(i * 7)}/data-${i} | sort -n`);
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { command: string }).command);
}

function corpusRules(): { readonly rules: readonly MatchedRule[]; readonly texts: readonly string[] } {
  if (!existsSync(`${shared}sigma`)) return { rules: [], texts: [] };
  const files = readRuleFiles(`${shared}sigma`).rules;
  const texts = new Map(files.map(({ name, text }) => [name, text]));
  const { evaluable } = loadRules(files);
  return { rules: evaluable, texts: evaluable.map(({ rule }) => texts.get(rule.file)!) };
}

/** As rules usually are: the end of a program's path, and parts of its command line, of which some are an expression. */
function generatedTexts(count: number): readonly string[] {
  const text = (n: number): string => {
    const more = n % 10 === 0 ? `    CommandLine|re: '${word(n)}=[0-9a-f]{8,}'\n` : '';
    const category = n % 5 === 4 ? 'file_event' : 'process_creation';
    const selection =
      category === 'file_event'
        ? `    TargetFilename|startswith: ['/etc/${word(n)}/', '/var/spool/${word(n)}']\n`
        : `    Image|endswith: ['/${word(n % 40)}', '/python3', '/bash', '/curl']\n    CommandLine|contains|all: ['${word(n)}', ' --${word(n * 3)}']\n${more}`;
    return `title: Rule ${n}\nlogsource: { product: linux, category: ${category} }\ndetection:\n  sel:\n${selection}  filter: { User: root }\n  condition: sel and not filter\n`;
  };
  return Array.from({ length: count }, (_, n) => text(n));
}

function generatedRules(texts: readonly string[]): readonly MatchedRule[] {
  const { evaluable, faults } = loadRules(texts.map((text, n) => ({ name: `${n}.yml`, text })));
  if (faults[0] !== undefined) throw faults[0];
  if (evaluable.length !== texts.length) throw new Error('a generated rule cannot be evaluated');
  return evaluable;
}

function word(n: number): string {
  return ((n * 2_654_435_761) >>> 0).toString(36);
}
