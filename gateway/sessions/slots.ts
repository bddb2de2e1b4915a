/**
 * Limits how many connections to nodes each user has at a time: `max_sessions`, on this gateway and over all gateways.
 *
 *     taken here ──role without limit──► in ───────────────────────────────┐
 *         │                              └─ told, when any role has a limit ├──leave──► told that it ended
 *         └──role with a limit──► asked ──granted──► in ───────────────────┘
 *                                   └──refused, or no answer──► no session
 *
 * This gateway's own count comes first and needs no other service. Then the gateway asks the authority, but only if a role sets a limit:
 * a connection without a limit never waits. If any role has a limit, the authority is told afterwards about connections without one too,
 * because they use up slots of connections that have one. The end of a connection is reported until the authority has confirmed it, also
 * with the next request: a user who ends a connection here and makes another finds the slot free. Without the authority a role with a
 * limit admits nobody (decision 0034). Tested in slots.test.ts and authority/access/session-places.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_PLACES, PLACE_BEAT_MS } from '#schemas/session-place.js';
import type { Log } from '#runtime/log.js';
import type { Authority } from './authority.js';

export interface Slot {
  /**
   * Present if a role sets a limit: resolves once the authority grants the slot. Rejects SESSIONS_TOO_MANY, or the reason why it cannot
   * ask.
   */
  readonly granted?: Promise<void>;
  /** Releases the slot, once. */
  leave(): void;
}

export interface SlotDeps {
  /** Id of this run of the gateway, 16 hexadecimal digits. */
  readonly run: string;
  readonly snapshot: () => Snapshot | null;
  readonly log: Log;
}

/** `maybe`: the slot was reported, and no answer came. */
type Told = 'no' | 'asked' | 'maybe' | 'yes';

export class SessionSlots {
  readonly #authority: Pick<Authority, 'takePlace' | 'tellPlaces'>;
  readonly #deps: SlotDeps;
  readonly #timer: NodeJS.Timeout;
  readonly #places = new Map<number, { readonly user: string; told: Told }>();
  readonly #counts = new Map<string, number>();
  /** Slots whose end the authority has not confirmed. */
  readonly #ended = new Set<number>();
  #last = 0;
  #telling: Promise<void> | undefined;
  #again = false;

  constructor(authority: Pick<Authority, 'takePlace' | 'tellPlaces'>, deps: SlotDeps) {
    this.#authority = authority;
    this.#deps = deps;
    this.#timer = setInterval(() => void this.#tell(), PLACE_BEAT_MS);
    this.#timer.unref();
  }

  /** Throws SESSIONS_TOO_MANY if the user's connections at this gateway alone reach the limit. `max`: null for any number. */
  take(user: string, max: number | null): Slot {
    const count = this.#counts.get(user) ?? 0;
    if (max !== null && count >= max) throw new StenoError('SESSIONS_TOO_MANY', `${max} at a time`);
    this.#counts.set(user, count + 1);
    const number = ++this.#last;
    this.#places.set(number, { user, told: max === null ? 'no' : 'asked' });
    const leave = (): void => this.#leave(number);
    if (max !== null) return { granted: this.#ask(number, user, max), leave };
    if (this.#limited()) void this.#tell();
    return { leave };
  }

  /** Called when roles change: if any role now has a limit, connections without one are reported too. */
  recheck(): void {
    if (this.#limited() && [...this.#places.values()].some(({ told }) => told === 'no')) void this.#tell();
  }

  /** Reports ended connections one last time; does not wait for an unreachable authority. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#telling;
    await this.#tell();
  }

  async #ask(number: number, user: string, max: number): Promise<void> {
    const ended = this.#someEnded();
    try {
      const known = await this.#authority.takePlace({ run: this.#deps.run, number, user, max, ended });
      this.#heard(ended);
      if (!known && this.#forgotten(number)) void this.#tell();
      const place = this.#places.get(number);
      if (place === undefined) this.#end(number);
      else place.told = 'yes';
    } catch (error) {
      const place = this.#places.get(number);
      if (place !== undefined) place.told = 'no';
      this.#leave(number);
      if (error instanceof StenoError && error.code === 'SESSIONS_TOO_MANY') this.#heard(ended);
      // It is unknown whether the slot was taken.
      else this.#end(number);
      throw error instanceof StenoError && error.code === 'NOT_RUNNING'
        ? new StenoError(
            'AUTHORITY_UNREACHABLE',
            'your role limits concurrent connections, and the authority that counts them is unreachable',
            {
              cause: error,
            },
          )
        : error;
    }
  }

  #leave(number: number): void {
    const place = this.#places.get(number);
    if (place === undefined) return;
    this.#places.delete(number);
    const left = (this.#counts.get(place.user) ?? 1) - 1;
    if (left === 0) this.#counts.delete(place.user);
    else this.#counts.set(place.user, left);
    // A slot whose request is pending ends when the answer arrives.
    if (place.told === 'yes' || place.told === 'maybe') this.#end(number);
  }

  #end(number: number): void {
    this.#ended.add(number);
    void this.#tell();
  }

  /** Sends one report at a time; changes in the meantime go with the next. */
  #tell(): Promise<void> {
    if (this.#telling !== undefined) {
      this.#again = true;
      return this.#telling;
    }
    this.#telling = this.#tellAll()
      .catch((error: unknown) => {
        this.#deps.log.warn({ err: error }, 'failed to report session slots to the authority');
      })
      .finally(() => {
        this.#telling = undefined;
      });
    return this.#telling;
  }

  async #tellAll(): Promise<void> {
    do {
      this.#again = false;
      const ended = this.#someEnded();
      const begun = this.#limited()
        ? [...this.#places].filter(([, { told }]) => told === 'no' || told === 'maybe').slice(0, MAX_PLACES)
        : [];
      const held = begun.length > 0 || [...this.#places.values()].some(({ told }) => told === 'yes');
      if (ended.length === 0 && !held) return;
      // From here on the end of these slots has to be reported.
      for (const [, place] of begun) place.told = 'yes';
      try {
        const known = await this.#authority.tellPlaces({
          run: this.#deps.run,
          begun: begun.map(([number, { user }]) => ({ number, user })),
          ended,
        });
        this.#heard(ended);
        if (!known && this.#forgotten(...begun.map(([number]) => number))) this.#again = true;
      } catch (error) {
        for (const [, place] of begun) place.told = 'maybe';
        throw error;
      }
      if (ended.length === MAX_PLACES || begun.length === MAX_PLACES) this.#again = true;
    } while (this.#again);
  }

  /** The authority did not know this run: slots that were reported before have to be reported again. */
  #forgotten(...besides: readonly number[]): boolean {
    const lost = [...this.#places].filter(([number, { told }]) => told === 'yes' && !besides.includes(number));
    for (const [, place] of lost) place.told = 'maybe';
    return lost.length > 0;
  }

  #someEnded(): number[] {
    return [...this.#ended].slice(0, MAX_PLACES);
  }

  #heard(ended: readonly number[]): void {
    for (const number of ended) this.#ended.delete(number);
  }

  #limited(): boolean {
    return this.#deps.snapshot()?.roles.some(({ max_sessions: max }) => max !== undefined) === true;
  }
}
