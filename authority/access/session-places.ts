/**
 * Counts each user's connections to nodes over all gateways, for `max_sessions`.
 *
 * Counting and taking a slot are one transaction, so concurrent gateways never get more slots than there are. Taking a slot
 * again under the same number is idempotent, so a gateway that lost the answer can retry. The authority trusts a gateway's
 * statement about the user; a compromised gateway can use this only to keep a user from connecting through others. (Slots
 * are called places in the API.) Tested in session-places.test.ts.
 */
import { reportSessionPlaces, takeSessionPlace } from '#schemas/api/access/session-places.js';
import { StenoError } from '#schemas/base/errors.js';
import { PLACE_SILENCE_MS } from '#schemas/session-place.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import { chunks } from '../records/records.js';
import type { Records, Tx } from '../records/records.js';

/** Runs silent for this long are forgotten. Their slots stop counting long before. */
const FORGET_MS = 600_000;

export interface Known {
  /** Whether the run was known before this message. */
  readonly known: boolean;
}

export class SessionPlaces {
  readonly #records: Records;
  readonly #clock: () => number;

  constructor(records: Records, clock: () => number) {
    this.#records = records;
    this.#clock = clock;
  }

  /** Rejects with SESSIONS_TOO_MANY. `gateway`: its name. */
  async take(gateway: string, caller: Caller, { run, number, user, max, ended }: PlaceRequest): Promise<Known> {
    const now = this.#clock();
    const { known, taken } = await this.#records.actOn(async (tx) => {
      const holder = holderOf(gateway, run);
      const heard = await seen(tx, holder, gateway, now);
      await remove(tx, holder, ended);
      const others = await countOthers(tx, user, holder, number, now - PLACE_SILENCE_MS);
      if (others >= max) return { result: { known: heard, taken: false }, rows: [] };
      await insert(tx, holder, [{ number, user }]);
      return {
        result: { known: heard, taken: true },
        rows: [auditRow(now, caller, { event: 'session_place.take', target: user, data: { max, held: others + 1 } })],
      };
    });
    // Ended connections are released whether or not a slot is free.
    if (!taken) throw new StenoError('SESSIONS_TOO_MANY', `${max} at a time`);
    return { known };
  }

  tell(gateway: string, { run, begun, ended }: PlaceReport): Promise<Known> {
    return this.#records.act([], async (tx) => {
      const holder = holderOf(gateway, run);
      const known = await seen(tx, holder, gateway, this.#clock());
      await remove(tx, holder, ended);
      await insert(tx, holder, begun);
      return { known };
    });
  }

  /** Forgets gateways that went away without notice; their slots are reported as released. */
  purge(): Promise<void> {
    const now = this.#clock();
    return this.#records.actOn(async (tx) => {
      const gone = await tx
        .selectFrom('session_place_holders')
        .leftJoin('session_places', 'session_places.run', 'session_place_holders.run')
        .where('session_place_holders.seen_at', '<', now - FORGET_MS)
        .groupBy(['session_place_holders.run', 'session_place_holders.gateway'])
        .select((of) => [
          'session_place_holders.run as run',
          'session_place_holders.gateway as gateway',
          of.fn.count('session_places.number').as('places'),
        ])
        .execute();
      for (const { run } of gone) {
        await tx.deleteFrom('session_places').where('run', '=', run).execute();
        await tx.deleteFrom('session_place_holders').where('run', '=', run).execute();
      }
      const rows = gone
        .filter(({ places }) => Number(places) > 0)
        .map(({ gateway, places }) =>
          auditRow(
            now,
            { actor: 'authority', source: '' },
            { event: 'session_place.forget', target: `gateway/${gateway}`, data: { places: Number(places) } },
          ),
        );
      return { result: undefined, rows };
    });
  }
}

/** A run is chosen by the gateway: combined with the name it cannot collide with another gateway's. */
function holderOf(gateway: string, run: string): string {
  return `${gateway}/${run}`;
}

/** Returns whether it was known before. */
async function seen(tx: Tx, run: string, gateway: string, now: number): Promise<boolean> {
  const known = await tx.selectFrom('session_place_holders').select('run').where('run', '=', run).executeTakeFirst();
  await tx
    .insertInto('session_place_holders')
    .values({ run, gateway, seen_at: now })
    .onConflict((on) => on.column('run').doUpdateSet({ seen_at: now }))
    .execute();
  return known !== undefined;
}

async function countOthers(tx: Tx, user: string, run: string, number: number, since: number): Promise<number> {
  const { count } = await tx
    .selectFrom('session_places')
    .innerJoin('session_place_holders', 'session_place_holders.run', 'session_places.run')
    .where('session_places.user', '=', user)
    .where('session_place_holders.seen_at', '>', since)
    .where((of) => of.not(of.and([of('session_places.run', '=', run), of('session_places.number', '=', number)])))
    .select((of) => of.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function insert(tx: Tx, run: string, places: PlaceReport['begun']): Promise<void> {
  for (const part of chunks(places)) {
    await tx
      .insertInto('session_places')
      .values(part.map(({ number, user }) => ({ run, number, user })))
      .onConflict((on) => on.columns(['run', 'number']).doNothing())
      .execute();
  }
}

async function remove(tx: Tx, run: string, numbers: readonly number[]): Promise<void> {
  for (const part of chunks(numbers)) await tx.deleteFrom('session_places').where('run', '=', run).where('number', 'in', part).execute();
}

export function sessionPlaceRoutes(places: SessionPlaces): readonly Route[] {
  const gatewayOf = ({ principal }: Context<unknown>): string => {
    if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
    return principal.service.name;
  };
  return [
    handle(
      takeSessionPlace,
      (c) => places.take(gatewayOf(c), c.caller, c.body),
      ({ user }) => user,
    ),
    handle(reportSessionPlaces, (c) => places.tell(gatewayOf(c), c.body)),
  ];
}
