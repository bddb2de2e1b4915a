/**
 * What a detector is: it takes what sessions did, one observation at a time, and answers what it noticed.
 *
 * Obligations of a detector
 * - Deterministic. The same observations in the same order of each session give the same detections, byte for byte, whether they are
 *   streamed live or replayed from the store. No clock, no randomness, no I/O in `take`; what it must know of the past (baselines) is
 *   read before a session's first observation, as of the session's start.
 * - `perSession` detectors keep nothing between sessions: after a restart the service replays a session from its beginning. Detectors of
 *   `across` sessions are given sessions in any interleaving, and what they answer depends on the moments of the observations (`at`),
 *   not on the interleaving; after a restart the service replays every session that ended within `memory`.
 * - Bounded. State per session and per group has a limit, and what is forgotten is counted.
 * - A detector that throws is switched off for that session by its caller, counted and shown; the others go on.
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

/** What a list of rules says of one. */
export interface RuleFacts {
  /** Unique among all rules loaded: the Sigma id, or `steno/NAME` for a rule of Steno's own. */
  readonly id: string;
  readonly title: string;
  readonly severity: FindingRow['severity'];
  readonly tier: Tier;
  /** ATT&CK ids, as in `T1003.008`. */
  readonly techniques: readonly string[];
  /** What a reader should do next; '' where the rule says nothing. */
  readonly advice: string;
}

/** One match. The service makes a finding of it: id, version, state and suppression are not a detector's business. */
export interface Detection {
  readonly rule: RuleFacts;
  /** Why, in a sentence with the values that decided: "third person ever to run tcpdump on nodes with env=prod". */
  readonly reason: string;
  readonly session: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  /** Of the observation that completed the match. */
  readonly at: number;
  readonly offset_ms: number | null;
  readonly row: number | null;
  /** Ids of the events (`eventId`) that prove it, oldest first, at most 100. */
  readonly evidence: readonly string[];
  /** Detections of one rule with one key are one finding, the first by `at`. Part of the finding's id. */
  readonly key: string;
}

export interface SessionDetector {
  /** An empty list most of the time. */
  take(observation: Observation): readonly Detection[];
  /**
   * For detectors that weigh what others find, as `risk` does: called with each new detection of the session, those that it answered itself
   * left out, right after the `take` that answered it.
   */
  detected?(detection: Detection): readonly Detection[];
}

export interface Detector {
  /** For metrics and errors, as in `sigma` or `risk`. */
  readonly name: string;
  readonly rules: readonly RuleFacts[];
  readonly scope:
    | { readonly kind: 'perSession' }
    | {
        readonly kind: 'across';
        /** Milliseconds. */
        readonly memory: number;
        /** Only events of these kinds that belong to no session, and all of them: what the feeds left out is read from the store. */
        readonly kinds?: readonly EventKind[];
      };
  /** Since the start, by rule, of a detector that measures its rules itself: matches, and milliseconds. */
  readonly meters?: { readonly hits: ReadonlyMap<string, number>; readonly costs: ReadonlyMap<string, number> };
  /** For `across`: called once. For `perSession`: once for each session, with its `start` to be taken next. May read history. */
  open(session: SessionRow | null): Promise<SessionDetector> | SessionDetector;
}

const MINUTE = 60_000;

/**
 * The key of a rule that looks at one thing that was done: matches within one minute of the session are one finding, since one act is often
 * seen as a typed line, as the shell that was given it, and as the program that ran. A signal says something about the whole session.
 */
export function actKey({ tier }: Pick<RuleFacts, 'tier'>, offsetMs: number): string {
  return tier === 'signal' ? '' : `minute ${Math.floor(offsetMs / MINUTE)}`;
}
