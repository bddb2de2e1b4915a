/**
 * Tracks the findings that a run has reported. Of detections with the same key the earliest moment wins, and of those the latest to
 * arrive. The finding is then reported again with a version that is higher the earlier its moment is, so that the store ends up with
 * the same row in any order of arrival.
 */
import { LRUCache } from 'lru-cache';
import type { FindingRow } from '#schemas/events/rows.js';
import type { Detection, Detector } from '../detection/detector.js';
import { findingOf } from '../findings/finding.js';

export interface RunParts {
  readonly detectors: readonly Detector[];
  /** Version of a rule, by its id; part of the identity of a finding. */
  readonly ruleVersion: (rule: string) => number;
  /** `first`: the run has not reported this finding before. */
  readonly onFinding: (row: FindingRow, first: boolean) => void;
  readonly onFault: (detector: string, error: unknown) => void;
  /** Called when a finding is omitted because there are too many. */
  readonly onBeyond: () => void;
}

type Telling = Pick<RunParts, 'ruleVersion' | 'onFinding' | 'onBeyond'>;

export class Found {
  readonly #told: LRUCache<string, FindingRow>;
  readonly #most: number;
  readonly #forgets: boolean;

  /** `forgets`: beyond `most`, the oldest are forgotten; otherwise no more are reported. */
  constructor(most: number, { forgets }: { readonly forgets: boolean }) {
    this.#told = new LRUCache({ max: most });
    this.#most = most;
    this.#forgets = forgets;
  }

  get size(): number {
    return this.#told.size;
  }

  /** Returns whether the detection is the first of its finding. */
  take(detection: Detection, { ruleVersion, onFinding, onBeyond }: Telling): boolean {
    const row = findingOf(detection, ruleVersion(detection.rule.id));
    const before = this.#told.get(row.id);
    if (before === undefined && !this.#forgets && this.#told.size >= this.#most) {
      onBeyond();
      return false;
    }
    if (before !== undefined && (before.at < row.at || same(before, row))) return false;
    this.#told.set(row.id, row);
    onFinding(row, before === undefined);
    return before === undefined;
  }
}

function same(a: FindingRow, b: FindingRow): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
