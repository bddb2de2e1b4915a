/**
 * Builds audit rows of the authority; records.ts writes them in the transaction of the act they describe.
 *
 * Tested in ../audit/complete.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow } from '#schemas/events/rows.js';

export type Caller = { readonly actor: string; readonly source: string };

export interface Act {
  /** `noun.verb`. */
  readonly event: string;
  readonly target?: string;
  readonly session?: string;
  readonly node?: string;
  readonly login?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export function auditRow(now: number, { actor, source }: Caller, act: Act, error?: StenoError): AuditRow {
  return {
    id: randomBytes(16).toString('hex'),
    at: now,
    event: act.event,
    actor: bounded(actor, 255),
    target: bounded(act.target ?? '', 4096),
    outcome: error === undefined ? 'success' : 'failure',
    code: error?.code ?? '',
    reason: bounded(error?.message ?? '', 4096),
    source_address: bounded(source, 255),
    session: act.session ?? '',
    node: bounded(act.node ?? '', 255),
    login: bounded(act.login ?? '', 255),
    data: JSON.stringify(act.data ?? {}),
  };
}

/** Cut by code points: half a surrogate pair would not survive transport. */
function bounded(text: string, length: number): string {
  return text.length <= length
    ? text
    : [...text.slice(0, length - 1)].filter((c, i, all) => i < all.length - 1 || !/[\ud800-\udbff]/.test(c)).join('');
}
