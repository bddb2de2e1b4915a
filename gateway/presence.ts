/**
 * Reports to the authority what this gateway holds: tunnels of nodes, live sessions with their participants, and the ingest that
 * receives its recordings. The authority derives from this which nodes can be reached, where a live session is (decision 0076), and
 * who takes part in it (0132).
 *
 *     begins ──everything, in as many messages as needed──► known ──a change, or HELD_BEAT_MS──► the changes ──► known
 *        ▲                                                                                          │
 *        └────────────── a failure, or the authority does not know this run ◄───────────────────────┘
 *
 * One message is sent at a time, and nothing waits for it. Tunnels are reported at once; sessions are gathered for SESSIONS_MS, and
 * one that has ended by then is never reported. Tested in presence.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { MAX_DETAILS_TOGETHER, MAX_HELD_SESSIONS } from '#schemas/api/inventory/live-sessions.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { Held } from '#runtime/service/authority-client.js';
import type { Log } from '#runtime/log.js';

/** Less than half of the time after which the authority considers a gateway gone. */
const HELD_BEAT_MS = 2_500;
const HELD_RETRY_MS = 1_000;
const SESSIONS_MS = 250;
/** Nodes per message; below the size limit of a request body. */
const MAX_HELD_NODES = 1_000;

export interface PresenceDeps {
  /** False: the authority does not know this run and needs a full report. */
  readonly tell: (held: Held) => Promise<boolean>;
  /** Where agents reach this gateway, `host:port`. */
  readonly address: () => string;
  readonly log: Log;
}

/** The names held, and those that have been reported to the authority. */
class HeldNames {
  readonly #held = new Set<string>();
  readonly #told = new Set<string>();
  readonly #changed = new Set<string>();

  set(name: string, held: boolean): void {
    if (held) this.#held.add(name);
    else this.#held.delete(name);
    this.#changed.add(name);
  }

  /** The authority knows none of the names. */
  forget(): void {
    this.#told.clear();
    this.#changed.clear();
    for (const name of this.#held) this.#changed.add(name);
  }

  get anyChange(): boolean {
    return this.#changed.size > 0;
  }

  /** Whether the authority has been told that the name is held. */
  told(name: string): boolean {
    return this.#told.has(name);
  }

  /** Changes that have not been reported; they count as reported from now on unless `forget` is called. */
  take(most: number): { readonly up: string[]; readonly down: string[] } {
    const [up, down]: [string[], string[]] = [[], []];
    for (const name of this.#changed) {
      if (up.length + down.length === most) break;
      this.#changed.delete(name);
      if (this.#held.has(name) === this.#told.has(name)) continue;
      if (this.#told.delete(name)) down.push(name);
      else {
        this.#told.add(name);
        up.push(name);
      }
    }
    return { up, down };
  }
}

/** Details of sessions that are reported in addition to their names. */
class Details {
  readonly #read = new Map<string, () => LiveSessionDetails>();
  readonly #changed = new Set<string>();

  set(session: string, read: (() => LiveSessionDetails) | null): void {
    if (read === null) {
      this.#read.delete(session);
      this.#changed.delete(session);
    } else {
      this.#read.set(session, read);
      this.#changed.add(session);
    }
  }

  changed(session: string): boolean {
    if (!this.#read.has(session)) return false;
    this.#changed.add(session);
    return true;
  }

  forget(): void {
    for (const session of this.#read.keys()) this.#changed.add(session);
  }

  get anyChange(): boolean {
    return this.#changed.size > 0;
  }

  /**
   * Changed details of sessions that the authority knows after this message, up to the limit of a message; the rest follows in the
   * next one.
   */
  take(known: (session: string) => boolean): LiveSessionDetails[] {
    const taken: LiveSessionDetails[] = [];
    let length = 0;
    for (const session of this.#changed) {
      if (!known(session)) continue;
      const details = this.#read.get(session)!();
      length += JSON.stringify(details).length;
      if (taken.length > 0 && (length > MAX_DETAILS_TOGETHER || taken.length === MAX_HELD_SESSIONS)) break;
      this.#changed.delete(session);
      taken.push(details);
    }
    return taken;
  }
}

export class Presence {
  readonly #deps: PresenceDeps;
  readonly #epoch = randomBytes(8).toString('hex');
  readonly #nodes = new HeldNames();
  readonly #sessions = new HeldNames();
  readonly #details = new Details();
  #ingest = '';
  #known = false;
  #telling = false;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, by a monotonic clock. */
  #due = Infinity;
  #state: 'waiting' | 'begun' | 'closed' = 'waiting';

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
  }

  /** Begins reporting to the authority. */
  start(): void {
    this.#state = 'begun';
    this.#within(0);
  }

  node(name: string, held: boolean): void {
    this.#nodes.set(name, held);
    this.#within(0);
  }

  /** `details`: reported in addition to the name; null if nobody can join the session. */
  session(id: string, held: boolean, details: (() => LiveSessionDetails) | null = null): void {
    this.#sessions.set(id, held);
    this.#details.set(id, held ? details : null);
    this.#within(SESSIONS_MS);
  }

  /** The details of a session have changed. */
  changed(id: string): void {
    if (this.#details.changed(id)) this.#within(SESSIONS_MS);
  }

  /** `ingest/name`; empty while no ingest receives the recordings. */
  ingest(name: string): void {
    if (name === this.#ingest) return;
    this.#ingest = name;
    this.#within(0);
  }

  /** Reports, if the authority can still be reached, that this gateway holds nothing. */
  close(): void {
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#deps.tell({ ...this.#self(), ingest: '', all: [], up: [], down: [] }).catch(() => undefined);
  }

  #self(): Pick<Held, 'epoch' | 'address' | 'ingest'> {
    return { epoch: this.#epoch, address: this.#deps.address(), ingest: this.#ingest };
  }

  /** Reports within this many milliseconds, or once the pending message is answered. */
  #within(ms: number): void {
    const at = performance.now() + ms;
    if (this.#state !== 'begun' || at >= this.#due) return;
    this.#due = at;
    if (this.#telling) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#tell(), ms);
    this.#timer.unref();
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    this.#due = Infinity;
    if (!this.#known) for (const names of [this.#nodes, this.#sessions, this.#details]) names.forget();
    const { up, down } = this.#nodes.take(MAX_HELD_NODES);
    const names = this.#sessions.take(MAX_HELD_SESSIONS);
    const details = this.#details.take((session) => this.#sessions.told(session));
    const sessions = details.length === 0 ? names : { ...names, details };
    const held: Held = this.#known ? { ...this.#self(), up, down, sessions } : { ...this.#self(), all: up, up: [], down: [], sessions };
    let wait: number;
    try {
      this.#known = await this.#deps.tell(held);
      const left = this.#nodes.anyChange || this.#sessions.anyChange || this.#details.anyChange;
      const due = Math.max(0, this.#due - performance.now());
      wait = !this.#known || (left && due === Infinity) ? 0 : Math.min(due, HELD_BEAT_MS);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'failed to tell the authority which nodes and sessions are held');
      this.#known = false;
      wait = HELD_RETRY_MS;
    }
    this.#telling = false;
    this.#due = Infinity;
    this.#within(wait);
  }
}
