/**
 * Which gateways have applied a lock and what it ended there, in the state store, so that every authority can report it.
 *
 * Depends only on gateways and the state store. A gateway can report only for itself: the row carries the name in its
 * certificate. Rows are deleted with their lock, and when a lock is set again under the same id. Tested in
 * lock-effects.test.ts.
 */
import { reportLockEffects, showLockEffects } from '#schemas/api/access/locks.js';
import type { LockEffects } from '#schemas/api/access/locks.js';
import { StenoError } from '#schemas/base/errors.js';
import type { LockEffectReport } from '#schemas/lock-effect.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { HOLDER_SILENCE_MS } from '../inventory/nodes/presence.js';
import type { Reader, Records, Tx } from '../records/records.js';

const HOLDER = 'gateway/';

export interface LockEffectParts {
  readonly records: Records;
  readonly clock: () => number;
}

export function lockEffectRoutes({ records, clock }: LockEffectParts): readonly Route[] {
  return [
    handle(reportLockEffects, ({ principal, body }) => {
      if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
      return records.act([], (tx) => putEffects(tx, principal.service.name, body, clock()));
    }),
    handle(showLockEffects, (_, { name }) => records.read((db) => effectsOf(db, name, clock()))),
  ];
}

async function putEffects(tx: Tx, gateway: string, { effects }: LockEffectReport, now: number): Promise<void> {
  for (const { lock, ...counts } of effects) {
    const known = await tx.selectFrom('locks').select('id').where('id', '=', lock).executeTakeFirst();
    // Lifted in the meantime.
    if (known === undefined) continue;
    await tx
      .insertInto('lock_effects')
      .values({ lock, gateway, ...counts, applied_at: now })
      .onConflict((on) => on.columns(['lock', 'gateway']).doUpdateSet(counts))
      .execute();
  }
}

async function effectsOf(db: Reader, lock: string, now: number): Promise<LockEffects> {
  const holders = await db
    .selectFrom('node_holders')
    .select('holder')
    .where('seen_at', '>', now - HOLDER_SILENCE_MS)
    .where('holder', 'like', `${HOLDER}%`)
    .orderBy('holder')
    .execute();
  const rows = await db.selectFrom('lock_effects').selectAll().where('lock', '=', lock).orderBy('gateway').execute();
  return {
    lock,
    gateways: holders.map(({ holder }) => holder.slice(HOLDER.length)),
    applied: rows.map(({ gateway, connections, sessions, applied_at: at }) => ({ gateway, connections, sessions, at })),
  };
}
