/**
 * The interface of a detector: it takes observations of sessions one at a time, and returns what it detected.
 *
 * Obligations of a detector
 * - Deterministic. The same observations in the same order of each session give the same detections, byte for byte, whether they are
 *   streamed live or replayed from the store. No clock, no randomness, no I/O in `take`; knowledge of the past (baselines) is read
 *   before a session's first observation, as of the session's start.
 * - `perSession` detectors keep nothing between sessions: after a restart the service replays a session from its beginning.
 *   `across` detectors get sessions in any interleaving, and their answers depend on the moments of the observations (`at`),
 *   not on the interleaving; after a restart the service replays every session that ended within `memory`.
 * - Bounded. State per session and per group has a limit, and forgotten state is counted.
 * - A detector that throws is switched off for that session by its caller, counted and shown; the others continue.
 *
 * Order: `start`, then `event` and `screen`, each source in its own order (`block`, `index`), then `end`. Observations of no session
 * (source `kubernetes`, facts of a node) come as events with session `''`, and never reach a detector per session.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import type { EventRow, FindingRow, ScreenRow, SessionRow, Tier } from '#schemas/events/rows.js';

export type Observation =
  | { readonly kind: 'start'; readonly session: SessionRow }
  | { readonly kind: 'event'; readonly row: EventRow }
  | { readonly kind: 'screen'; readonly row: ScreenRow }
  | { readonly kind: 'end'; readonly session: SessionRow };

/** The facts that a list of rules shows about one. */
export interface RuleFacts {
  /** Unique among all rules loaded: the Sigma id, or `steno/NAME` for a rule of Steno's own. */
  readonly id: string;
  readonly title: string;
  readonly severity: FindingRow['severity'];
  readonly tier: Tier;
  /** ATT&CK ids, as in `T1003.008`. */
  readonly techniques: readonly string[];
  /** Advice on what the reader of a finding should do next; '' if the rule gives none. */
  readonly advice: string;
}

/** One match. The service turns it into a finding; id, version, state and suppression are not the detector's concern. */
export interface Detection {
  readonly rule: RuleFacts;
  /** The reason, in a sentence with the values that decided: "third person ever to run tcpdump on nodes with env=prod". */
  readonly reason: string;
  readonly session: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  /** Moment of the observation that completed the match. */
  readonly at: number;
  readonly offset_ms: number | null;
  readonly row: number | null;
  /** Ids of the events (`eventId`) that prove it, oldest first, at most 100. */
  readonly evidence: readonly string[];
  /** Detections of one rule with the same key are one finding, at the earliest `at`. Part of the finding's id. */
  readonly key: string;
}

export interface SessionDetector {
  /** Returns an empty list most of the time. */
  take(observation: Observation): readonly Detection[];
  /**
   * For detectors that weigh the detections of others, like `risk`: called with each new detection of the session except the detector's
   * own, right after the `take` that returned the detection.
   */
  detected?(detection: Detection): readonly Detection[];
}

export interface Detector {
  /** For metrics and errors, such as `sigma` or `risk`. */
  readonly name: string;
  readonly rules: readonly RuleFacts[];
  readonly scope:
    | { readonly kind: 'perSession' }
    | {
        readonly kind: 'across';
        /** Milliseconds. */
        readonly memory: number;
        /** Only events of these kinds that belong to no session, and all of them: events that the feeds missed are read from the store. */
        readonly kinds?: readonly EventKind[];
      };
  /** Matches and milliseconds by rule, since the start, for a detector that measures its rules itself. */
  readonly meters?: { readonly hits: ReadonlyMap<string, number>; readonly costs: ReadonlyMap<string, number> };
  /** For `across`: called once. For `perSession`: called once for each session, before its `start` is taken. May read history. */
  open(session: SessionRow | null): Promise<SessionDetector> | SessionDetector;
}

const MINUTE = 60_000;

/**
 * The key for a rule about a single act: matches within the same minute of the session are one finding, since one act is often seen as
 * a typed line, as the shell that received it, and as the program that ran. A signal applies to the whole session.
 */
export function actKey({ tier }: Pick<RuleFacts, 'tier'>, offsetMs: number): string {
  return tier === 'signal' ? '' : `minute ${Math.floor(offsetMs / MINUTE)}`;
}
