/** The detectors that compare a session with stored data: its user's past, programs of nodes, and the access requests of the session. */
import type { EventStore } from '#stores/events/contract.js';
import { BaselineDetector } from '../baselines/detector.js';
import { StoredHistory } from '../baselines/history.js';
import type { Detector } from '../detection/detector.js';
import { lineDetector } from '../lines/detector.js';
import { MasqueradeDetector } from '../masquerade/detector.js';
import { PurposeDetector } from '../purpose/detector.js';
import { StoredRequests } from '../purpose/requests.js';
import { SoftwareDetector } from '../software/detector.js';
import type { KnownGood } from '../software/known-good.js';
import { StoredSoftware } from '../software/known-software.js';
import { factsOf } from '../sigma/rule-facts.js';
import type { RuleBook } from './rule-book.js';
import { SigmaDetector } from './sigma.js';

/** `rules`: the rules that make findings, with or without a purpose. */
export function pastDetectors(
  rules: RuleBook['evaluable'],
  history: Pick<EventStore, 'readOnlySql' | 'scan'>,
  good: KnownGood,
  trackers: readonly string[],
): readonly Detector[] {
  const stored = new StoredHistory(history);
  return [
    new BaselineDetector(stored),
    new MasqueradeDetector(stored),
    new SoftwareDetector(new StoredSoftware(history), good),
    purposeDetector(rules, history, trackers),
  ];
}

/** Rules with a purpose, applied to programs that ran and to lines that were typed. */
function purposeDetector(rules: RuleBook['evaluable'], history: Pick<EventStore, 'scan'>, trackers: readonly string[]): PurposeDetector {
  const drifting = rules.filter(({ rule }) => rule.purpose !== null);
  const detectors = [
    new SigmaDetector(drifting),
    lineDetector(drifting.map(({ rule, scope, predicate }) => ({ scope, predicate, facts: factsOf(rule) }))),
  ];
  const purposes = new Map(drifting.flatMap(({ rule }) => (rule.purpose === null ? [] : [[factsOf(rule).id, rule.purpose] as const])));
  return new PurposeDetector({ requests: new StoredRequests(history), purposes, detectors, trackers });
}
