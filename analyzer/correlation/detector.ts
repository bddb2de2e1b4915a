/**
 * Correlations as detectors: those that group by `SessionId` examine one session at a time, the others all sessions. There is one
 * detection per group and calendar time span, at its first moment. Tested in detector.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { ProcessTable } from '../lineage/process-table.js';
import type { Bound } from '../sigma/correlation.js';
import { factsOf } from '../sigma/rule-facts.js';
import type { CorrelationPlan, RuleSet } from '../sigma/rule-set.js';
import { CorrelationStream, LIMITS, noCounts } from './stream.js';
import type { Firing, Limits } from './stream.js';

/** One session gets a tenth of the limits for all. */
const LIMITS_OF_SESSION: Limits = { groups: 5_000, occurrences: 20_000, occurrencesOfGroup: LIMITS.occurrencesOfGroup };

/** At most two detectors; none for a kind without correlations. Correlations that only others count make no detections. */
export function correlationDetectors({ correlations, silent }: Pick<RuleSet, 'correlations' | 'silent'>): readonly CorrelationDetector[] {
  const loud = correlations.filter(({ rule }) => !silent.has(rule));
  return ([true, false] as const)
    .map((inSession) => loud.filter(({ sessionGroups }) => sessionGroups.length > 0 === inSession))
    .flatMap((plans, i) => (plans.length === 0 ? [] : [new CorrelationDetector(plans, i === 0 ? 'perSession' : 'across')]));
}

class CorrelationDetector implements Detector {
  readonly name: string;
  readonly rules: readonly RuleFacts[];
  readonly scope: Detector['scope'];
  /** For all sessions, since the start. */
  readonly counters = noCounts();
  /** In the order of `rules`. */
  readonly plans: readonly CorrelationPlan[];
  readonly #facts: ReadonlyMap<CorrelationPlan, RuleFacts>;

  constructor(plans: readonly CorrelationPlan[], kind: Detector['scope']['kind']) {
    this.plans = plans;
    this.#facts = new Map(plans.map((plan) => [plan, correlationFacts(plan)]));
    this.rules = [...this.#facts.values()];
    this.name = kind === 'perSession' ? 'correlation' : 'correlation-across';
    this.scope = kind === 'perSession' ? { kind } : { kind, memory: new CorrelationStream(plans).memory };
  }

  open(): SessionDetector {
    const isAcross = this.scope.kind === 'across';
    const stream = new CorrelationStream(this.plans, isAcross ? LIMITS : LIMITS_OF_SESSION, this.counters);
    const processes = new ProcessTable();
    const firings = (observation: Observation): readonly Firing[] => {
      switch (observation.kind) {
        case 'event':
          return stream.take(observation.row, processes.take(observation.row));
        case 'screen':
          return stream.pass(observation.row.at);
        case 'start':
          return stream.pass(observation.session.started_at);
        case 'end':
          return isAcross ? stream.pass(observation.session.ended_at ?? observation.session.started_at) : stream.end();
      }
    };
    return { take: (observation) => firings(observation).flatMap((firing) => this.#detection(firing)) };
  }

  #detection(firing: Firing): readonly Detection[] {
    const rule = this.#facts.get(firing.plan);
    // An inner correlation that is not to be reported.
    if (rule === undefined) return [];
    const { session, user, node, login, offset_ms } = firing.last.origin;
    const key = createHash('sha256')
      .update(JSON.stringify([firing.group, firing.bucket]))
      .digest('hex')
      .slice(0, 32);
    return [
      { rule, reason: reasonOf(firing), session, user, node, login, at: firing.at, offset_ms, row: null, evidence: firing.evidence, key },
    ];
  }
}

/** A correlation concerns several events: the tier is `session` unless the rule specifies another. */
function correlationFacts({ rule }: CorrelationPlan): RuleFacts {
  return { ...factsOf(rule), tier: rule.tier ?? 'session' };
}

const words: Readonly<Record<Bound['is'], string>> = {
  eq: 'exactly',
  neq: 'not',
  lt: 'fewer than',
  lte: 'at most',
  gt: 'more than',
  gte: 'at least',
};

/** "7 events within 10m for SessionUser ann; the rule asks for at least 5". */
function reasonOf({ plan, group, figure }: Firing): string {
  const { correlation } = plan.rule;
  const { field, timespan, groupBy, bounds, rules, expression } = correlation;
  const shown = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
  const where = groupBy.length === 0 ? '' : ` for ${groupBy.map((name, i) => `${name} ${shown(group[i]!)}`).join(', ')}`;
  const asked = bounds.length === 0 ? '' : `; the rule asks for ${bounds.map(({ is, value }) => `${words[is]} ${value}`).join(' and ')}`;
  const of = (): string => {
    switch (correlation.type) {
      case 'event_count':
        return `${figure} ${figure === 1 ? 'match' : 'matches'} of ${rules.join(', ')}`;
      case 'value_count':
        return `${figure} different ${figure === 1 ? 'value' : 'values'} of ${field}`;
      case 'value_sum':
        return `${field} adds up to ${figure}`;
      case 'value_avg':
        return `${field} is ${rounded(figure)} on average`;
      case 'value_median':
        return `the median of ${field} is ${rounded(figure)}`;
      case 'value_percentile':
        return `percentile ${correlation.percentile} of ${field} is ${rounded(figure)}`;
      case 'temporal':
        return expression === null && bounds.length === 0 ? `all of ${rules.join(', ')}` : `${figure} of ${rules.join(', ')}`;
      case 'temporal_ordered':
        return `${rules.join(', then ')}`;
    }
  };
  return `${of()} within ${timespan.text}${where}${asked}`;
}

function rounded(figure: number): string {
  return String(Math.round(figure * 1_000) / 1_000);
}
