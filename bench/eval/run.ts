/**
 * `npm run eval`: how well Steno's own rules distinguish attacks from normal use, by tier. Every command line becomes the rows that the
 * kernel and the screen would produce (analyzer/lines/), and the real matcher decides.
 *
 *     npm run eval -- [--attack FILE] [--benign FILE] [--seed N] [--half tune|report|all] [--misses] [--json]
 *
 * Programs are split into two halves by name and seed: rules are tuned on one half, figures come from the other. sets.ts describes the files.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ownRules } from '../../analyzer/library/own-rules.js';
import type { RuleFacts } from '../../analyzer/detection/detector.js';
import { LineMatcher } from '../../analyzer/lines/detector.js';
import { RISK } from '../../analyzer/risk/detector.js';
import { factsOf } from '../../analyzer/sigma/rule-facts.js';
import { hostOf, neighbours, obfuscations, portOf, shellOf, templates } from './reverse-shells.js';
import { chains, everyday, scoreOf, thresholdOf } from './sessions.js';
import { isNamed, readLines } from './sets.js';
import type { Line } from './sets.js';
import { half, per, percent, random, share } from './statistics.js';

const shared = new URL('../../../../shared/commands/', import.meta.url).pathname;
const { values } = parseArgs({
  options: {
    attack: { type: 'string', default: `${shared}attack.jsonl` },
    benign: { type: 'string', default: `${shared}benign.jsonl` },
    seed: { type: 'string', default: '1' },
    half: { type: 'string', default: 'report' },
    misses: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const base: EventRow = {
  session: '', source: 'kernel', emitter: '', block: 0, index: 0, at: 0, offset_ms: 0, kind: 'exec', user: 'ann', node: 'web', login: 'ann', ...noFacts,
}; // prettier-ignore
const rules = ownRules()
  .evaluable.filter(({ rule }) => rule.purpose === null)
  .map(({ rule, scope, predicate }) => ({ scope, predicate, facts: factsOf(rule) }));
const matcher = new LineMatcher(rules);
const wanted = (group: string): boolean => values.half === 'all' || half(group, seed) === (values.half === 'tune' ? 0 : 1);

interface Judged {
  readonly line: Line;
  readonly signal: boolean;
  readonly alert: boolean;
  readonly techniques: ReadonlySet<string>;
  readonly rules: readonly string[];
}

function judge(line: Line): Judged {
  const matched = [...matcher.match(line.command, base)].map((number) => rules[number]!.facts);
  return {
    line,
    signal: matched.length > 0,
    alert: matched.some(({ tier }) => tier !== 'signal'),
    techniques: new Set(matched.flatMap(({ techniques }) => techniques)),
    rules: matched.filter(({ tier }) => tier !== 'signal').map(({ title }) => title),
  };
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
for (const file of [values.attack, values.benign]) {
  if (existsSync(file)) continue;
  process.stderr.write(`there is no ${file}; name the sets with --attack and --benign\n`);
  process.exit(66);
}

const attacks = readLines(values.attack).filter(({ group }) => wanted(group)).map(judge); // prettier-ignore
const benign = readLines(values.benign).filter(({ command }) => wanted(command)).map(judge); // prettier-ignore
const count = (list: readonly Judged[], is: (one: Judged) => boolean): ReturnType<typeof share> =>
  share(list.filter(is).length, list.length);
print(`${rules.length} rules; ${values.half} half, seed ${seed}: ${attacks.length} attacks, ${benign.length} benign lines`);
print(`signal  recall           ${percent(count(attacks, ({ signal }) => signal))}`);
const named = attacks.filter(({ line, signal }) => signal && line.techniques.length > 0);
print(`        right technique  ${percent(count(named, ({ line, techniques }) => isNamed(line.techniques, techniques)))}`);
print(`        benign tagged    ${percent(count(benign, ({ signal }) => signal))}`);
const tags = attacks.reduce((sum, { techniques }) => sum + techniques.size, 0) / Math.max(1, attacks.length);
print(`        techniques named ${tags.toFixed(1)} a line`);
const benignTexts = new Set(benign.map(({ line }) => line.command));
const separable = attacks.filter(({ line }) => !benignTexts.has(line.command));
print(`alert   recall           ${percent(count(separable, ({ alert }) => alert))}`);
const raised = count(attacks, ({ alert }) => alert).count;
const falsely = count(benign, ({ alert }) => alert);
print(`        precision        ${percent(share(raised, raised + falsely.count))}`);
print(`        false, of 10,000 ${per(10_000, falsely)}`);

const r = random(seed);
const plain: { readonly name: string; readonly command: string }[] = [];
const hidden: { readonly name: string; readonly command: string }[] = [];
for (let i = 0; i < 20; i += 1)
  for (const [name, template] of Object.entries(templates).filter(([name]) => wanted(name)))
    plain.push({ name, command: template(hostOf(r), portOf(r), shellOf(r), r) });
for (let i = 0; i < 4; i += 1)
  for (const [name, template] of Object.entries(templates).filter(([name]) => wanted(name)))
    for (const [way, obfuscate] of Object.entries(obfuscations))
      hidden.push({ name: `${name}, ${way}`, command: obfuscate(template(hostOf(r), portOf(r), shellOf(r), r), r) });
const asLine = ({ name, command }: { readonly name: string; readonly command: string }): Line => ({
  command,
  techniques: ['T1059'],
  group: name,
});
const near = Array.from({ length: 40 }, () => neighbours.map((make) => make(hostOf(r), portOf(r), 'sh', r))).flat();
const shells = plain.map(asLine).map(judge);
const obfuscated = hidden.map(asLine).map(judge);
const neighbour = near.map((command) => judge({ command, techniques: [], group: '' }));
print(`shells  plain            ${percent(count(shells, ({ alert }) => alert))}`);
print(`        obfuscated       ${percent(count(obfuscated, ({ alert }) => alert))}`);
print(`        neighbours       ${percent(count(neighbour, ({ alert }) => alert))} raised falsely`);

const memory = new Map<string, readonly RuleFacts[]>();
const find = (command: string): readonly RuleFacts[] => {
  const known = memory.get(command) ?? [...matcher.match(command, base)].map((number) => rules[number]!.facts);
  memory.set(command, known);
  return known;
};
const benignSteps = benign.map(({ line }) => line);
const quiet = everyday(benignSteps, 5_000, r).map((session) => scoreOf(session, find));
const attacked = chains(attacks.map(({ line }) => line), benignSteps, 2_000, r).map((session) => scoreOf(session, find)); // prettier-ignore
const least = RISK.thresholds[0]!.score;
const reaching = (scores: readonly number[], score: number): ReturnType<typeof share> =>
  share(scores.filter((one) => one >= score).length, scores.length);
print(`session chains found     ${percent(reaching(attacked, least))} at a risk score of ${least}`);
print(`        false, of 1,000  ${per(1_000, reaching(quiet, least))}`);
const strict = thresholdOf(quiet);
print(`        at 1 of 1,000    ${percent(reaching(attacked, strict))} of chains, at a score of ${strict.toFixed(1)}`);
const foundStrictly = reaching(attacked, strict).count;
print(`        precision        ${percent(share(foundStrictly, foundStrictly + reaching(quiet, strict).count))} at this score`);

const byTechnique = new Map<string, { all: number; signal: number; right: number; alert: number }>();
for (const { line, signal, alert, techniques } of attacks) {
  const key = line.techniques.join(',');
  const one = byTechnique.get(key) ?? { all: 0, signal: 0, right: 0, alert: 0 };
  byTechnique.set(key, one);
  one.all += 1;
  one.signal += Number(signal);
  one.right += Number(isNamed(line.techniques, techniques));
  one.alert += Number(alert);
}
print('\ntechnique: lines, tagged, rightly named, alerted');
for (const [key, { all, signal, right, alert }] of [...byTechnique].sort())
  print(`${key.slice(0, 60)}: ${all}, ${signal}, ${right}, ${alert}`);

if (values.misses) {
  print('\n== attacks without a signal');
  for (const { line } of attacks.filter(({ signal }) => !signal)) print(JSON.stringify(line.command));
  print('\n== attacks without an alert');
  for (const { line } of separable.filter(({ alert }) => !alert)) print(JSON.stringify(line.command));
  print('\n== benign with an alert');
  for (const { line, rules: titles } of [...benign, ...neighbour].filter(({ alert }) => alert))
    print(`${JSON.stringify(line.command)}  ${titles.join('; ')}`);
  print('\n== shells without an alert');
  for (const name of new Set([...shells, ...obfuscated].filter(({ alert }) => !alert).map(({ line }) => line.group))) print(name);
}
if (values.json) print(JSON.stringify({ seed, half: values.half, attacks: attacks.length, benign: benign.length, falsely }));
