/** Locks, and what they have ended: `steno lock`. */
import { z } from 'zod';
import { lockKinds } from '../../documents/lock.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, name, record, texts } from '../../endpoint/fields.js';
import { lockEffectReport } from '../../lock-effect.js';

const lockRecord = record({
  id: z.string(),
  target_kind: z.enum(lockKinds),
  target: z.string(),
  reason: z.string(),
  expires_at: moment.nullable(),
  created_by: z.string(),
  created_at: moment,
});
export type LockRecord = z.output<typeof lockRecord>;

export const listLocks = endpoint({
  method: 'GET',
  path: '/v1/locks',
  summary: 'List the locks in force.',
  admits: ['lock:list', 'gateway', 'viewer'],
  event: 'lock.list',
  params: noParams,
  body: noBody,
  answer: list(lockRecord),
  errors: [],
});

export const putLock = endpoint({
  method: 'PUT',
  path: '/v1/locks/:name',
  summary: 'Set a lock; matching sessions end at once.',
  admits: ['lock:create', 'lock:update'],
  event: 'lock.put',
  params: z.strictObject({ name }),
  body: z.strictObject({
    id: name,
    target_kind: z.enum(lockKinds),
    target: z.string().min(1).max(255),
    reason: z.string().max(1024),
    expires_at: z.number().int().positive().max(8_640_000_000_000_000).nullable(),
  }),
  answer: record({
    id: z.string(),
    target_kind: z.enum(lockKinds),
    target: z.string(),
    reason: z.string(),
    expires_at: moment.nullable(),
  }),
  errors: ['LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const deleteLock = endpoint({
  method: 'DELETE',
  path: '/v1/locks/:name',
  summary: 'Lift a lock.',
  admits: ['lock:delete'],
  event: 'lock.delete',
  params: z.strictObject({ name }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const reportLockEffects = endpoint({
  method: 'PUT',
  path: '/v1/lock-effects',
  summary: 'Report what locks have ended at the calling gateway.',
  admits: ['gateway'],
  event: 'lock.effect',
  params: noParams,
  body: lockEffectReport,
  answer: noAnswer,
  errors: [],
});

export const lockEffects = record({
  lock: z.string(),
  /** Names of the gateways that are there now. */
  gateways: texts,
  applied: list(record({ gateway: z.string(), connections: z.int(), sessions: z.int(), at: moment })),
});
export type LockEffects = z.output<typeof lockEffects>;

export const showLockEffects = endpoint({
  method: 'GET',
  path: '/v1/lock-effects/:name',
  summary: 'Show which gateways have applied a lock and what it has ended there.',
  admits: ['lock:list'],
  event: 'lock.effects',
  params: z.strictObject({ name }),
  body: noBody,
  answer: lockEffects,
  errors: [],
});

export const lockEndpoints = [listLocks, putLock, deleteLock, reportLockEffects, showLockEffects] as const;
