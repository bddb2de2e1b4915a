/**
 * Purpose drift: compares a session's acts with the reasons of its access requests. It uses rules that a reader can check, never a
 * model: Sigma rules with a `purpose` (docs/rules.md), applied to programs that ran and lines that were typed, and three programs:
 *
 *   steno/drift-node             a reason names another node, and not this one
 *   steno/drift-service          a reason names services, and another one was stopped, started or changed
 *   steno/reason-without-ticket  no reason names a ticket of a configured tracker
 *
 * A session under several requests drifts only if it drifts from all of their reasons. A session without a request has no purpose to
 * drift from. Tested in detector.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { basename } from '../normal-form/interpret.js';
import type { Purpose } from '../sigma/rule.js';
import { isPurpose, namesTicket, wordsOf } from './reason.js';
import type { RequestReader, RequestReason } from './requests.js';
import { isOtherService, servicesIn, unitOf } from './services.js';

const MAX_SHOWN = 200;
const MAX_FINDINGS = 20;

const program = (id: string, title: string, severity: RuleFacts['severity'], advice: string): RuleFacts => ({
  ...{ id: `steno/${id}`, title, severity, tier: 'signal', techniques: ['T1078'], advice },
});
const driftNode = program(
  'drift-node',
  'A session on another node than its reason names',
  'low',
  'Ask the user what the session was for; the request can be cancelled (`steno requests cancel`).',
);
const driftService = program(
  'drift-service',
  'Another service was changed than the reason names',
  'medium',
  'Ask the user whether the service belongs to the task; see in the session what was done to it.',
);
const withoutTicket = program(
  'reason-without-ticket',
  'The reason of an access request names no ticket',
  'info',
  'Ask the user for the ticket; reviewers can deny requests without one.',
);

export interface PurposeParts {
  readonly requests: RequestReader;
  /** Rules with a purpose, by id. */
  readonly purposes: ReadonlyMap<string, Purpose>;
  /** The detectors that evaluate those rules, regardless of the reason. */
  readonly detectors: readonly Detector[];
  /** Prefixes of tickets; empty: no ticket is required. */
  readonly trackers: readonly string[];
}

export class PurposeDetector implements Detector {
  readonly name = 'purpose';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[];
  readonly #parts: PurposeParts;

  constructor(parts: PurposeParts) {
    this.#parts = parts;
    const sigma = new Map(parts.detectors.flatMap(({ rules }) => rules.map((rule) => [rule.id, rule] as const)));
    this.rules = [...sigma.values(), driftNode, driftService, ...(parts.trackers.length === 0 ? [] : [withoutTicket])];
  }

  async open(session: SessionRow | null): Promise<SessionDetector> {
    if (session === null) throw new TypeError('a detector of single sessions');
    const { requests, purposes, detectors, trackers } = this.#parts;
    const reasons = await requests.reasons(session);
    if (reasons.length === 0) return { take: () => [] };
    const active = new Set(
      [...purposes].filter(([, purpose]) => reasons.every(({ reason }) => isPurpose(purpose, reason))).map(([id]) => id),
    );
    const opened: SessionDetector[] = [];
    if (active.size > 0) for (const one of detectors) opened.push(await one.open(session));
    const nodes = await requests.nodes(session);
    return new SessionPurpose({ session, reasons, active, opened, nodes, trackers });
  }
}

interface SessionPurposeParts {
  readonly session: SessionRow;
  readonly reasons: readonly RequestReason[];
  readonly active: ReadonlySet<string>;
  readonly opened: readonly SessionDetector[];
  readonly nodes: ReadonlySet<string>;
  readonly trackers: readonly string[];
}

class SessionPurpose implements SessionDetector {
  readonly #parts: SessionPurposeParts;
  readonly #words: ReadonlySet<string>;
  readonly #services: ReadonlySet<string>;
  readonly #told = new Set<string>();

  constructor(parts: SessionPurposeParts) {
    this.#parts = parts;
    this.#words = new Set(parts.reasons.flatMap(({ reason }) => [...wordsOf(reason)]));
    this.#services = servicesIn(this.#words);
  }

  take(observation: Observation): readonly Detection[] {
    const { active, opened } = this.#parts;
    const drifted = opened
      .flatMap((one) => one.take(observation))
      .filter(({ rule }) => active.has(rule.id))
      .map((detection) => ({ ...detection, reason: `${detection.reason}; ${this.#said()}` }));
    if (observation.kind === 'start') return [...drifted, ...this.#atStart()];
    if (observation.kind === 'event') return [...drifted, ...this.#service(observation.row)];
    return drifted;
  }

  #atStart(): readonly Detection[] {
    const { session, reasons, nodes, trackers } = this.#parts;
    const found: Detection[] = [];
    // A name without a digit, dash or dot may be an ordinary word.
    const named = [...this.#words].filter((word) => /[\d.-]/.test(word) && nodes.has(word)).sort();
    if (named.length > 0 && !this.#words.has(session.node.toLowerCase()))
      found.push(this.#found(driftNode, `${session.node}, where the reason names ${named.slice(0, 5).join(', ')}; ${this.#said()}`));
    if (trackers.length > 0 && !reasons.some(({ reason }) => namesTicket(reason, trackers)))
      found.push(this.#found(withoutTicket, `no ticket of ${trackers.join(', ')}; ${this.#said()}`));
    return found;
  }

  #service(row: EventRow): readonly Detection[] {
    if (this.#services.size === 0 || row.source !== 'kernel' || row.kind !== 'exec' || row.outcome !== 'success') return [];
    const unit = unitOf(basename(row.path), argumentsOf(row.data));
    if (unit === null || this.#words.has(unit) || !isOtherService(unit, this.#services)) return [];
    if (this.#told.has(unit) || this.#told.size >= MAX_FINDINGS) return [];
    this.#told.add(unit);
    const reason = `ran ${shown(row.name)}, where the reason names ${[...this.#services].sort().join(', ')}; ${this.#said()}`;
    return [{ ...this.#found(driftService, reason), at: row.at, offset_ms: row.offset_ms, evidence: [eventId(row)], key: unit }];
  }

  #found(rule: RuleFacts, reason: string): Detection {
    const { session, user, node, login, started_at: at } = this.#parts.session;
    return { rule, reason, session, user, node, login, at, offset_ms: 0, row: null, evidence: [], key: '' };
  }

  /** `request R-1 says "look at logs"`. */
  #said(): string {
    return this.#parts.reasons
      .slice(0, 3)
      .map(({ id, reason }) => `request ${id} says "${shown(reason)}"`)
      .join(', ');
  }
}

function shown(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function argumentsOf(data: string): readonly string[] {
  try {
    const { argv } = JSON.parse(data) as { readonly argv?: unknown };
    return Array.isArray(argv) ? argv.filter((one): one is string => typeof one === 'string') : [];
  } catch {
    return [];
  }
}
