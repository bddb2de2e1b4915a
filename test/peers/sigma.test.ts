/**
 * Compares Steno's verdicts on rules and events with those of pySigma (SQLite backend) and of rsigma's evaluator. Every known
 * difference is listed with the reason from the specification; any other difference fails.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { EventRow } from '#schemas/events/rows.js';
import { eventFields } from '../../analyzer/cases/event-fields.js';
import { writerOf } from '../../analyzer/cases/example-row.js';
import { RuleMatcher } from '../../analyzer/matching/matcher.js';
import { readRuleFiles } from '../../analyzer/sigma/rule-files.js';
import { loadRules } from '../../analyzer/sigma/rule-set.js';
import type { EvaluableRule } from '../../analyzer/sigma/rule-set.js';
import { linuxSources } from '../../analyzer/sources/linux.js';
import { sources } from '../../analyzer/sources/log-source.js';
import { RowWriter } from '../../analyzer/cases/row-writer.js';
import { selections } from '../../analyzer/testing/selections.js';
import { waysToSatisfy } from '../../analyzer/testing/satisfied.js';
import { hasPysigma, hasRsigma, pysigma, rsigma } from './sigma.js';
import type { PeerAnswer, PeerEvent } from './sigma.js';

const shared = new URL('../../../shared/', import.meta.url).pathname;
const processes = linuxSources[0]!;

type Example = Pick<RowWriter, 'other'> & { readonly row: EventRow };

const example = (writer: RowWriter): Example => ({ row: writer.row(), other: writer.other });

/** For each rule, the indexes of the events that it matches. */
function ours(rules: readonly EvaluableRule[], events: readonly Example[]): readonly (readonly number[])[] {
  const matcher = new RuleMatcher(rules);
  const found = rules.map((): number[] => []);
  for (const [i, { row, other }] of events.entries()) for (const rule of matcher.match(row, other)) found[rule]!.push(i);
  return found;
}

describe.skipIf(!hasPysigma)('pySigma, which test/peers/sigma/build installs', () => {
  it('decides as Steno does on every kind of selection', () => {
    expect(differingSelections((texts, events) => pysigma(texts, events, Object.keys(processes.fields)))).toEqual([
      // A missing value is '' in rows and NULL in the peer's table, where `CommandLine = ''` is false.
      'the empty text',
      // "Keyword search requires fulltext_field": the backend supports keywords only over one text of the whole event.
      'a keyword is anywhere',
      'keywords are any of them',
      'all keywords',
      'a keyword with a wildcard',
      'an expression as keyword',
    ]);
  });

  it.skipIf(!existsSync(`${shared}sigma`))(
    "decides as Steno does with SigmaHQ's rules, in ../shared/sigma, on events made from them",
    () => {
      expect(corpus((rules, events, columns) => pysigma(rules, events, columns))).toEqual([]);
    },
  );
});

describe.skipIf(!hasRsigma)('rsigma, which test/peers/sigma/build-rsigma builds', () => {
  it('decides as Steno does on every kind of selection', () => {
    expect(differingSelections((texts, events) => rsigma(texts, events).answers)).toEqual([
      // For a negated list it accepts a value that differs from one entry; Steno follows the specification and requires that it differs from all.
      'neq',
      // It matches no event without the field; in Steno's rows a missing value is ''.
      'neq with contains',
      'the empty text',
      // It compares keywords with wildcards, and keywords under `all`, with whole values; Steno searches within values.
      'all keywords',
      'a keyword with a wildcard',
    ]);
  });

  it.skipIf(!existsSync(`${shared}sigma`))(
    "decides as Steno does with SigmaHQ's rules, in ../shared/sigma, on events made from them",
    () => {
      const differing = corpus((rules, events) => rsigma(rules, events).answers);
      expect(differing).toEqual([]);
    },
  );
});

function selectionRules(): readonly string[] {
  return selections.map(
    ([, selection], i) =>
      `title: Selection ${i}\nlogsource: { product: linux, category: process_creation }\ndetection:\n  sel:\n${selection.replace(/^/gm, '    ')}\n  condition: sel\n`,
  );
}

function selectionRows(): readonly Example[] {
  return [...new Set(selections.flatMap(([, , takes, leaves]) => [...takes, ...leaves]))].map((CommandLine) =>
    example(writerOf(processes, { CommandLine })),
  );
}

/** Names of the selections on which a peer decides otherwise. */
function differingSelections(peer: (rules: readonly string[], events: readonly PeerEvent[]) => readonly PeerAnswer[]): readonly string[] {
  const texts = selectionRules();
  const { evaluable, faults, lacking } = loadRules(texts.map((text, i) => ({ name: `${i}.yml`, text })));
  expect([faults, lacking]).toEqual([[], []]);
  const rows = selectionRows();
  const answers = peer(
    texts,
    rows.map(({ row }) => eventFields(processes, row)),
  );
  return ours(evaluable, rows).flatMap((found, i) => (same(found, answers[i]!) ? [] : [selections[i]![0]]));
}

interface Difference {
  readonly title: string;
  readonly ours: unknown;
  readonly theirs: unknown;
}

/** SigmaHQ's rules on events made from them: the cases in which a peer decides otherwise. */
function corpus(
  peer: (rules: readonly string[], events: readonly PeerEvent[], columns: readonly string[]) => readonly PeerAnswer[],
): readonly Difference[] {
  const files = readRuleFiles(`${shared}sigma`).rules;
  const set = loadRules(files);
  const texts = new Map(files.map(({ name, text }) => [name, text]));
  const differing: Difference[] = [];
  let pairs = 0;
  for (const source of sources) {
    const rules = set.evaluable.filter(({ scope }) => scope === source);
    if (rules.length === 0) continue;
    const made = rules.flatMap(({ predicate }) =>
      waysToSatisfy(predicate).map((facts) => {
        const writer = new RowWriter(source);
        for (const { field, text } of facts) writer.write(field, text);
        return example(writer);
      }),
    );
    const rows = [...made, ...(source === processes ? commandRows() : [])];
    const events = rows.map(({ row, other }) => eventFields(source, row, other));
    const answers = peer(
      rules.map(({ rule }) => texts.get(rule.file)!),
      events,
      Object.keys(source.fields),
    );
    for (const [i, found] of ours(rules, rows).entries()) {
      pairs += found.length;
      if (!same(found, answers[i]!))
        differing.push({ title: rules[i]!.rule.title, ours: said(found, events), theirs: said(answers[i]!, events) });
    }
  }
  // Nearly every rule matched some event.
  expect(pairs).toBeGreaterThan(set.evaluable.length);
  return differing;
}

function same(found: readonly number[], answer: PeerAnswer): boolean {
  return typeof answer !== 'string' && answer.length === found.length && answer.every((one, i) => one === found[i]);
}

function said(answer: PeerAnswer, events: readonly Readonly<Record<string, string>>[]): unknown {
  return typeof answer === 'string' ? answer : answer.map((i) => JSON.stringify(events[i]));
}

/** Benign and malicious command lines, if they are present beside the checkout. */
function commandRows(): readonly Example[] {
  return ['attack', 'benign'].flatMap((name) => {
    const file = `${shared}commands/${name}.jsonl`;
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .slice(0, 2_000)
      .map((line) => (JSON.parse(line) as { command: string }).command)
      .map((CommandLine) =>
        example(writerOf(processes, { CommandLine, Image: `/usr/bin/${CommandLine.split(/[ |;]/, 1)[0]!}`, User: 'root' })),
      );
  });
}
