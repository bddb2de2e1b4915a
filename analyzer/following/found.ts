/**
 * Which findings a run has told. Of detections with one key the earliest counts, and of these the one that came last: it is told again then,
 * with a version that is higher the earlier the moment, so that the same row is left in the store whatever the order of arrival.
 */
import { LRUCache } from 'lru-cache';
import type { FindingRow } from '#schemas/events/rows.js';
import type { Detection, Detector } from '../detection/detector.js';
import { findingOf } from '../findings/finding.js';

export interface RunParts {
  readonly detectors: readonly Detector[];
  /** Of a rule, by its id; part of the identity of a finding. */
  readonly ruleVersion: (rule: string) => number;
  /** `first`: the run has not told of this finding before. */
  readonly onFinding: (row: FindingRow, first: boolean) => void;
  readonly onFault: (detector: string, error: unknown) => void;
  /** A finding was left out, since there are too many. */
  readonly onBeyond: () => void;
}

type Telling = Pick<RunParts, 'ruleVersion' | 'onFinding' | 'onBeyond'>;

export class Found {
  readonly #told: LRUCache<string, FindingRow>;
  readonly #most: number;
  readonly #forgets: boolean;

  /** `forgets`: beyond `most` the oldest are forgotten; otherwise no more are told. */
  constructor(most: number, { forgets }: { readonly forgets: boolean }) {
    this.#told = new LRUCache({ max: most });
    this.#most = most;
    this.#forgets = forgets;
  }

  get size(): number {
    return this.#told.size;
  }

  /** Whether the detection is the first of its finding. */
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
