/**
 * Which gateways have applied a lock, and what it has ended there: rows of the state store, so that any authority can say.
 *
 * It depends on gateways and the state store alone. A gateway's word counts for itself: the row bears the name of its
 * certificate. Rows go with their lock, and when a lock is set anew under the same id. Tested in lock-effects.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { lockEffectReport } from '#schemas/lock-effect.js';
import type { LockEffectReport, LockEffects } from '#schemas/lock-effect.js';
import { noBody, route } from '../http/server.js';
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
    route('PUT /v1/lock-effects', ['gateway'], 'lock.effect', lockEffectReport, ({ principal, body }) => {
      if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
      return records.act([], (tx) => putEffects(tx, principal.service.name, body, clock()));
    }),
    route('GET /v1/lock-effects/:name', ['lock:list'], 'lock.effects', noBody, async ({ params }) => {
      const lock = params['name'] ?? '';
      if (!isName(lock)) throw new StenoError('BAD_REQUEST', 'the name in the path');
      return records.read((db) => effectsOf(db, lock, clock()));
    }),
  ];
}

async function putEffects(tx: Tx, gateway: string, { effects }: LockEffectReport, now: number): Promise<void> {
  for (const { lock, ...counts } of effects) {
    const known = await tx.selectFrom('locks').select('id').where('id', '=', lock).executeTakeFirst();
    // Lifted meanwhile.
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
