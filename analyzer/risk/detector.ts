/**
 * Reports a finding when the risk score of a session passes a threshold. This finds chains of commands that are common individually. It
 * examines the detections of the session's other detectors. Tested in risk.test.ts.
 */
import type { Detection, Detector, RuleFacts, SessionDetector } from '../detection/detector.js';
import { RiskScore, WEIGHTS } from './score.js';
import type { RiskWeights } from './score.js';

export interface RiskThreshold {
  readonly score: number;
  readonly severity: RuleFacts['severity'];
}

export interface RiskOptions {
  readonly weights: RiskWeights;
  /** Ascending. */
  readonly thresholds: readonly RiskThreshold[];
}

export const RISK: RiskOptions = {
  weights: WEIGHTS,
  thresholds: [
    { score: 36, severity: 'medium' },
    { score: 80, severity: 'high' },
    { score: 160, severity: 'critical' },
  ],
};

const MAX_LISTED = 10;
const MAX_EVIDENCE = 100;

export class RiskDetector implements Detector {
  readonly name = 'risk';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[];
  readonly #options: RiskOptions;

  constructor(options: RiskOptions = RISK) {
    this.#options = options;
    this.rules = options.thresholds.map(({ score, severity }) => ({
      id: `steno/risk-${severity}`,
      title: `Risk score of ${score}`,
      severity,
      tier: 'session',
      techniques: [],
      advice: 'Read the contributions in their order; open the session at the first of them.',
    }));
  }

  open(): SessionDetector {
    const { weights, thresholds } = this.#options;
    const risk = new RiskScore(weights);
    const evidence: string[] = [];
    let passed = 0;
    const detected = (detection: Detection): readonly Detection[] => {
      if (detection.rule.id.startsWith('steno/risk-') || risk.add(detection) === 0) return [];
      const last = detection.evidence.at(-1);
      if (last !== undefined && !evidence.includes(last) && evidence.length < MAX_EVIDENCE) evidence.push(last);
      const before = passed;
      while (passed < thresholds.length && risk.score >= thresholds[passed]!.score) passed += 1;
      // If several thresholds are passed together, report the highest.
      if (passed === before) return [];
      return [{ ...detection, rule: this.rules[passed - 1]!, reason: reasonOf(risk), evidence: [...evidence], key: 'score' }];
    };
    return { take: () => [], detected };
  }
}

/** "score 47.5: Shadow File Read 30, Crontab Enumeration 12 (2 findings), Hidden File 5.5". */
function reasonOf(risk: RiskScore): string {
  const all = risk.contributions;
  const listed = all.slice(0, MAX_LISTED).map(({ rule, findings, points }) => {
    const title = rule.title.length > 80 ? `${rule.title.slice(0, 80)}…` : rule.title;
    return `${title} ${rounded(points)}${findings > 1 ? ` (${findings} findings)` : ''}`;
  });
  const rest = all.length > MAX_LISTED ? `, and ${all.length - MAX_LISTED} rules more` : '';
  return `score ${rounded(risk.score)}: ${listed.join(', ')}${rest}`;
}

function rounded(points: number): string {
  return String(Math.round(points * 10) / 10);
}
