/**
 * Every detector that this service runs, made from the rules in force. A new detector is added here and nowhere else.
 * Tested in detector-set.test.ts.
 */
import type { CatalogueReport } from '#schemas/api/detection/rule-catalogue.js';
import type { EventStore } from '#stores/events/contract.js';
import { correlationDetectors } from '../correlation/detector.js';
import type { Detector } from '../detection/detector.js';
import { HoneyDetector } from '../honey/detector.js';
import type { WatchedToken } from '../honey/detector.js';
import { lineDetector } from '../lines/detector.js';
import { recorderDetectors } from '../recorder-rules/recorder-rules.js';
import { RiskDetector } from '../risk/detector.js';
import { KnownGood } from '../software/known-good.js';
import { factsOf } from '../sigma/rule-facts.js';
import { catalogueOf } from './catalogue.js';
import { MeteredDetector } from './metered.js';
import { pastDetectors } from './past-detectors.js';
import type { RuleBook } from './rule-book.js';
import { SigmaDetector } from './sigma.js';

export interface DetectorSet {
  /** Identifies the rules, for the mark of a session. */
  readonly hash: string;
  readonly perSession: readonly Detector[];
  readonly across: readonly Detector[];
  /** Number of rules over all detectors. */
  readonly rules: number;
  /** Version of a rule, by its id; part of the identity of a finding. */
  version(rule: string): number;
  counts(): DetectorCounts;
  /** Every rule with its numbers since the start. */
  catalogue(): readonly CatalogueReport[];
}

export interface DetectorCounts {
  /** Matches since the start, by rule id. */
  readonly hits: ReadonlyMap<string, number>;
  /** Milliseconds spent on each rule, estimated from a sample. */
  readonly costs: ReadonlyMap<string, number>;
  /** Matches omitted because a session or a group had reached its limit. */
  readonly beyond: number;
}

/**
 * `history`: the store from which baselines and requests are read; without it, nothing is compared with the past. `trackers`: prefixes
 * of tickets, one of which the reason of a request must name; if there are none, no ticket is required.
 */
export function detectorsOf(
  book: RuleBook,
  history: Pick<EventStore, 'readOnlySql' | 'scan'> | null = null,
  honey: readonly WatchedToken[] = [],
  good: KnownGood = new KnownGood(),
  trackers: readonly string[] = [],
): DetectorSet {
  const reporting = book.evaluable.filter(({ rule }) => !book.silent.has(rule));
  const loud = reporting.filter(({ rule }) => rule.purpose === null);
  const sigma = new SigmaDetector(loud);
  const lines = lineDetector(loud.map(({ rule, scope, predicate }) => ({ scope, predicate, facts: factsOf(rule) })));
  const correlations = correlationDetectors(book);
  const past = history === null ? [] : pastDetectors(reporting, history, good, trackers);
  // Last, since it weighs the detections of the others.
  const detectors: readonly Detector[] = [
    sigma,
    lines,
    ...recorderDetectors(),
    ...(honey.length === 0 ? [] : [new HoneyDetector(honey)]),
    ...correlations,
    ...past,
    new RiskDetector(),
  ];
  const all = detectors.map((detector) => new MeteredDetector(detector));
  const days = new Map<string, number>();
  for (const { rule } of reporting) days.set(factsOf(rule).id, rule.day);
  for (const { rule } of book.correlations) days.set(factsOf(rule).id, rule.day);
  const version = (rule: string): number => book.versions?.get(rule) ?? (days.get(rule) || 1);
  return {
    hash: book.hash,
    perSession: all.filter(({ scope }) => scope.kind === 'perSession'),
    across: all.filter(({ scope }) => scope.kind === 'across'),
    rules: new Set(all.flatMap(({ rules }) => rules.map(({ id }) => id))).size,
    version,
    counts: () => ({ ...countsOf(all), beyond: sigma.beyond }),
    catalogue: () => catalogueOf({ detectors: all, version, isKept: (rule) => book.versions?.has(rule) ?? false }),
  };
}

/** By rule, over all detectors; costs only for rules that are measured individually. */
function countsOf(detectors: readonly MeteredDetector[]): Pick<DetectorCounts, 'hits' | 'costs'> {
  const hits = new Map<string, number>();
  const costs = new Map<string, number>();
  for (const detector of detectors)
    for (const { id } of detector.rules) {
      hits.set(id, (hits.get(id) ?? 0) + detector.hits(id));
      const cost = detector.cost(id);
      if (cost !== undefined && cost > 0) costs.set(id, (costs.get(id) ?? 0) + cost);
    }
  return { hits, costs };
}
