/**
 * Turns a detection into the row of its finding.
 *
 * The id is a function of rule, rule version, session and key, so that the same match found again (after a restart, by a replay, by two
 * analyzers at the same time) is the same row. Tested in finding.test.ts.
 */
import { createHash } from 'node:crypto';
import type { FindingRow } from '#schemas/events/rows.js';
import type { Detection } from '../detection/detector.js';

const MAX_TEXT = 2_048;
const MAX_EVIDENCE = 100;
/** The latest moment that a row can have. */
const LAST_MOMENT = 7_258_118_400_000;

export function findingId(rule: string, version: number, session: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([rule, version, session, key]))
    .digest('hex')
    .slice(0, 40);
}

/** `version`: of the rule. Text that a detector took from events is cut to the size that a row can hold. */
export function findingOf(detection: Detection, version: number): FindingRow {
  const { rule, session, key, at, offset_ms, row } = detection;
  const id = findingId(rule.id, version, session, key);
  return {
    id,
    // Of the rows of one finding, the earliest moment wins (../following/found.ts).
    version: LAST_MOMENT - at,
    rule: rule.id.slice(0, 255),
    rule_version: version,
    severity: rule.severity,
    techniques: rule.techniques.slice(0, 64),
    session,
    user: detection.user.slice(0, 255),
    node: detection.node.slice(0, 255),
    login: detection.login.slice(0, 255),
    at,
    offset_ms,
    row,
    evidence: detection.evidence.slice(0, MAX_EVIDENCE).map((event) => event.slice(0, 512)),
    state: 'open',
    dedup_key: `${rule.id} ${session} ${key}`.slice(0, 512),
    data: JSON.stringify({
      title: rule.title.slice(0, 256),
      tier: rule.tier,
      reason: detection.reason.slice(0, MAX_TEXT),
      advice: rule.advice.slice(0, MAX_TEXT),
    }),
  };
}

/** Whether the finding only tags its session and nobody is notified. */
export function isSignal({ data }: Pick<FindingRow, 'data'>): boolean {
  return (JSON.parse(data) as { readonly tier?: unknown }).tier === 'signal';
}
