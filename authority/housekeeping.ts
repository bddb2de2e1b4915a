/** Housekeeping at the start and periodically: removes expired rows, and settles requests that ended. */
import { fence } from '#stores/leases/sql.js';
import type { Alone } from '#stores/leases/keeper.js';
import type { Log } from '#runtime/log.js';
import type { Requests } from './access/requests.js';
import type { SessionPlaces } from './access/session-places.js';
import { purgeClaims } from './certificates/user-proofs.js';
import { purgeGuesses } from './people/users/guesses.js';
import type { Presence } from './inventory/nodes/presence.js';
import { purgeLogins } from './records/logins.js';
import { purgeRemovedServices } from './services/removed.js';
import type { Records } from './records/records.js';

const PURGE_MS = 600_000;
const SWEEP_MS = 10_000;

export interface HousekeepingParts {
  readonly records: Records;
  readonly sessionPlaces: SessionPlaces;
  readonly presence: Presence;
  readonly requests: Requests;
  /** Of authorities that share a store, one at a time does it. */
  readonly alone: Alone;
  readonly clock: () => number;
  readonly log: Log;
}

export async function purgeAll({
  records,
  sessionPlaces,
  presence,
  clock,
}: Pick<HousekeepingParts, 'records' | 'sessionPlaces' | 'presence' | 'clock'>): Promise<void> {
  await records.purge(clock());
  await records.act([], (tx) => purgeClaims(tx, clock()));
  await sessionPlaces.purge();
  await presence.purge();
  await records.act([], (tx) => purgeRemovedServices(tx, clock()));
  await records.read((db) => purgeLogins(db, clock()));
  await records.read((db) => purgeGuesses(db, clock()));
}

export function sweepRequests({ requests, alone }: Pick<HousekeepingParts, 'requests' | 'alone'>): Promise<unknown> {
  return alone('sweep', (lease) => requests.sweep((tx) => fence(tx, lease)));
}

/** Returns a function that stops it. */
export function keepHouse(parts: HousekeepingParts): () => void {
  const { alone, log } = parts;
  const purge = setInterval(() => {
    alone('purge', () => purgeAll(parts)).catch((error: unknown) => log.warn({ err: error }, 'failed to remove expired rows'));
  }, PURGE_MS);
  purge.unref();
  const sweep = setInterval(() => {
    sweepRequests(parts).catch((error: unknown) => log.warn({ err: error }, 'failed to settle requests that ended'));
  }, SWEEP_MS);
  sweep.unref();
  return () => {
    clearInterval(sweep);
    clearInterval(purge);
  };
}
