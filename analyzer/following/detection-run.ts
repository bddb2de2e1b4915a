/**
 * Runs the detectors of one session, from the session's first row to its last, and records which rows they have taken.
 *
 * A detector that throws is switched off for the session and counted; the others continue. Tested in follower.test.ts.
 */
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { EventSource } from '#schemas/events/kinds.js';
import type { Detection, Observation, SessionDetector } from '../detection/detector.js';
import { Found } from './found.js';
import type { RunParts } from './found.js';
import { LoginRows } from '#schemas/kernel/login-rows.js';
import { StreamPlaces } from './row-place.js';

/** Findings per session, so that a rule that matches everything does not fill the table. */
const MAX_FINDINGS = 2_000;

interface Opened {
  readonly name: string;
  readonly detector: SessionDetector;
}

export interface SessionRunParts extends RunParts {
  /** Called with every observation of this session, for detectors across sessions: once each, unless the session is replayed. */
  readonly onObservation: (observation: Observation) => void;
}

export class DetectionRun {
  readonly #parts: SessionRunParts;
  readonly #detectors: Opened[];
  readonly #found = new Found(MAX_FINDINGS, { forgets: false });
  /** Detectors that failed while processing another's detection. */
  readonly #failed = new Set<Opened>();
  readonly #login = new LoginRows();
  readonly places = new StreamPlaces();
  #events = new Map<EventSource, number>();
  #screen = 0;

  private constructor(parts: SessionRunParts, detectors: Opened[]) {
    this.#parts = parts;
    this.#detectors = detectors;
  }

  static async open(parts: SessionRunParts, session: SessionRow): Promise<DetectionRun> {
    const opened: Opened[] = [];
    for (const one of parts.detectors) {
      try {
        opened.push({ name: one.name, detector: await one.open(session) });
      } catch (error) {
        parts.onFault(one.name, error);
      }
    }
    const run = new DetectionRun(parts, opened);
    run.#observe({ kind: 'start', session });
    return run;
  }

  get findings(): number {
    return this.#found.size;
  }

  get screenLines(): number {
    return this.#screen;
  }

  events(source: EventSource): number {
    return this.#events.get(source) ?? 0;
  }

  /** Returns false for a row that was taken before. */
  event(row: EventRow): boolean {
    if (!this.places.takeEvent(row)) return false;
    this.#events.set(row.source, this.events(row.source) + 1);
    if (!this.#login.take(row)) this.#observe({ kind: 'event', row });
    return true;
  }

  screen(row: ScreenRow): boolean {
    if (!this.places.takeScreen(row)) return false;
    this.#screen += 1;
    this.#observe({ kind: 'screen', row });
    return true;
  }

  end(session: SessionRow): void {
    this.#observe({ kind: 'end', session });
  }

  /** Releases the detectors; `places` are kept. */
  release(): void {
    this.#detectors.length = 0;
  }

  #observe(observation: Observation): void {
    this.#parts.onObservation(observation);
    if (this.#failed.size > 0) this.#letGo();
    for (let i = 0; i < this.#detectors.length; i += 1) {
      const { name, detector } = this.#detectors[i]!;
      try {
        for (const detection of detector.take(observation)) this.#take(detection, detector);
      } catch (error) {
        this.#detectors.splice(i, 1);
        i -= 1;
        this.#parts.onFault(name, error);
      }
    }
  }

  #letGo(): void {
    for (const opened of this.#failed) {
      const place = this.#detectors.indexOf(opened);
      if (place >= 0) this.#detectors.splice(place, 1);
    }
    this.#failed.clear();
  }

  #take(detection: Detection, by: SessionDetector): void {
    if (this.#found.take(detection, this.#parts)) this.#detected(detection, by);
  }

  /** Passes a detection to the detectors that weigh those of others. */
  #detected(detection: Detection, by: SessionDetector): void {
    for (const opened of [...this.#detectors]) {
      if (this.#failed.has(opened) || opened.detector === by || opened.detector.detected === undefined) continue;
      try {
        for (const further of opened.detector.detected(detection)) this.#take(further, opened.detector);
      } catch (error) {
        this.#failed.add(opened);
        this.#parts.onFault(opened.name, error);
      }
    }
  }
}
