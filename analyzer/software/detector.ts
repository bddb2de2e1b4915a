/**
 * Changed software (SOC 2, CC7.2): programs run by a session whose SHA-256 no node is known to have run, and programs whose content
 * differs from the one last seen at the same path of the node. The reason contains both hashes.
 *
 * A package update changes programs too, on every node: the reason says whether another node runs the same content. Nothing is reported
 * for a node about which little is known yet, nor for a program whose hash is on one of the authority's known-good lists (`steno
 * hashes`). Programs whose content the agent could not hash are not examined; their rows say so (`sha256_missing`). Tested in
 * detector.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { KnownGood } from './known-good.js';
import type { KnownSoftware } from './known-software.js';

/** Number of known programs on a node from which on a further one counts as new. */
export const ENOUGH_PROGRAMS = 20;
/** Findings per rule and session. */
const MAX_FINDINGS = 20;

const newProgram: RuleFacts = {
  id: 'steno/new-executable',
  title: 'A program that no node is known to have run',
  severity: 'low',
  tier: 'signal',
  techniques: ['T1105'],
  advice: 'Ask where the file came from; compare its SHA-256 with that of the package or the build.',
};
const changedProgram: RuleFacts = {
  id: 'steno/changed-executable',
  title: 'A program that is not what it was',
  severity: 'medium',
  tier: 'signal',
  techniques: ['T1554'],
  advice: 'See whether an update explains it: the package manager can verify the file, and other nodes have the same after an update.',
};

export interface SoftwareReader {
  before(session: SessionRow): Promise<KnownSoftware>;
}

export class SoftwareDetector implements Detector {
  readonly name = 'software';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[] = [newProgram, changedProgram];
  readonly #past: SoftwareReader;

  readonly #good: KnownGood;

  /** `good`: executables that are never a finding, whatever ran before. */
  constructor(past: SoftwareReader, good: KnownGood = new KnownGood()) {
    this.#past = past;
    this.#good = good;
  }

  async open(session: SessionRow | null): Promise<SessionDetector> {
    if (session === null) throw new TypeError('a detector of single sessions');
    return new SessionSoftware(session, await this.#past.before(session), this.#good);
  }
}

class SessionSoftware implements SessionDetector {
  readonly #session: SessionRow;
  readonly #known: KnownSoftware;
  readonly #good: KnownGood;
  readonly #seen = new Set<string>();
  readonly #counts = new Map<string, number>();

  constructor(session: SessionRow, known: KnownSoftware, good: KnownGood) {
    this.#session = session;
    this.#known = known;
    this.#good = good;
  }

  take(observation: Observation): readonly Detection[] {
    if (observation.kind !== 'event') return [];
    const { row } = observation;
    // A hash that took longer than the program's start arrives in a row of its own.
    const isRun = row.kind === 'exec' ? row.outcome === 'success' : row.kind === 'file' && row.name === 'digest';
    if (row.source !== 'kernel' || row.sha256 === '' || !isRun) return [];
    const { node, fleet, whole } = this.#known;
    if (node.size < ENOUGH_PROGRAMS || this.#good.has(row.sha256)) return [];
    const before = node.get(row.path);
    const name = this.#session.node;
    const elsewhere = fleet.has(row.sha256);
    if (before !== undefined && before !== row.sha256) {
      const same = elsewhere ? 'a node is known to have run the same' : whole ? 'no node is known to have run this' : '';
      return this.#found(
        changedProgram,
        row,
        `${row.path} on ${name} is not what it was: SHA-256 ${before} before, ${row.sha256} now${same === '' ? '' : `; ${same}`}`,
      );
    }
    if (before === undefined && !elsewhere && whole)
      return this.#found(newProgram, row, `${row.path} (SHA-256 ${row.sha256}) ran on ${name}, and in 90 days on no node before`);
    return [];
  }

  #found(rule: RuleFacts, row: EventRow, reason: string): readonly Detection[] {
    const key = `${row.path} ${row.sha256}`.slice(-400);
    const seen = `${rule.id} ${key}`;
    const count = this.#counts.get(rule.id) ?? 0;
    if (this.#seen.has(seen) || count >= MAX_FINDINGS) return [];
    this.#seen.add(seen);
    this.#counts.set(rule.id, count + 1);
    const { session, user, node, login } = this.#session;
    return [{ rule, reason, session, user, node, login, at: row.at, offset_ms: row.offset_ms, row: null, evidence: [eventId(row)], key }];
  }
}
