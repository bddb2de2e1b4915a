/** Helpers shared by the rules of this folder: from an observation to a detection. */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, FindingRow, ScreenRow, Tier } from '#schemas/events/rows.js';
import type { Detection, Detector, RuleFacts, SessionDetector } from '../detection/detector.js';

/** A rule of Steno's own that is implemented as a program: its id is `steno/NAME`. */
export function recorderRule(
  name: string,
  title: string,
  tier: Tier,
  severity: FindingRow['severity'],
  techniques: readonly string[],
  advice: string,
): RuleFacts {
  return { id: `steno/${name}`, title, severity, tier, techniques, advice };
}

/** A per-session detector made from a function that opens one session. */
export function perSession(name: string, rules: readonly RuleFacts[], open: () => SessionDetector): Detector {
  return { name, rules, scope: { kind: 'perSession' }, open };
}

export function seen(rule: RuleFacts, row: ScreenRow, reason: string, key: string): Detection {
  const { session, user, node, login, at, offset_ms } = row;
  return { rule, reason, session, user, node, login, at, offset_ms, row: row.row, evidence: [], key };
}

/** `rows`: the events that prove the detection, ending with the one that completed it. */
export function happened(rule: RuleFacts, rows: readonly [EventRow, ...EventRow[]], reason: string, key: string): Detection {
  const { session, user, node, login, at, offset_ms } = rows.at(-1)!;
  return { rule, reason, session, user, node, login, at, offset_ms, row: null, evidence: rows.slice(-100).map(eventId), key };
}

/** The values in a row's `data`. */
export function dataOf(row: EventRow): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(row.data);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

export function numberAt(data: Readonly<Record<string, unknown>>, key: string): number | null {
  const value = Object.hasOwn(data, key) ? data[key] : undefined;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
