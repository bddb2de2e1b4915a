/**
 * A detector with a meter: number of observations, detections by rule, and time spent, estimated from one observation in `SAMPLE`. The
 * clock is read here and never inside a detector, so no detection depends on it. Tested in metered.test.ts.
 */
import type { SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';

/** A prime, so that repeating patterns are neither always nor never measured. */
const SAMPLE = 61;

export class MeteredDetector implements Detector {
  readonly name: string;
  readonly rules: readonly RuleFacts[];
  readonly scope: Detector['scope'];
  readonly #detector: Detector;
  readonly #found = new Map<string, number>();
  #observations = 0;
  #ms = 0;

  constructor(detector: Detector) {
    this.#detector = detector;
    this.name = detector.name;
    this.rules = detector.rules;
    this.scope = detector.scope;
  }

  /** Since the start, over all sessions. */
  get observations(): number {
    return this.#observations;
  }

  /** Milliseconds spent in the detector as a whole. */
  get ms(): number {
    return this.#ms;
  }

  hits(rule: string): number {
    return this.#detector.meters?.hits.get(rule) ?? this.#found.get(rule) ?? 0;
  }

  /** Milliseconds spent on one rule; undefined if only the detector as a whole is measured. */
  cost(rule: string): number | undefined {
    const { meters } = this.#detector;
    if (meters !== undefined) return meters.costs.get(rule) ?? 0;
    return this.rules.length === 1 ? this.#ms : undefined;
  }

  open(session: SessionRow | null): Promise<SessionDetector> | SessionDetector {
    const opened = this.#detector.open(session);
    return opened instanceof Promise ? opened.then((detector) => this.#metered(detector)) : this.#metered(opened);
  }

  #metered(detector: SessionDetector): SessionDetector {
    const take = (observation: Observation): readonly Detection[] => {
      this.#observations += 1;
      if (this.#observations % SAMPLE !== 0) return this.#counted(detector.take(observation));
      const began = performance.now();
      try {
        return this.#counted(detector.take(observation));
      } finally {
        this.#ms += (performance.now() - began) * SAMPLE;
      }
    };
    if (detector.detected === undefined) return { take };
    return { take, detected: (detection) => this.#counted(detector.detected?.(detection) ?? []) };
  }

  #counted(detections: readonly Detection[]): readonly Detection[] {
    for (const { rule } of detections) this.#found.set(rule.id, (this.#found.get(rule.id) ?? 0) + 1);
    return detections;
  }
}
