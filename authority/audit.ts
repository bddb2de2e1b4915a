/**
 * Audit rows of the authority: made here, written by records.ts in the transaction of the act they tell of.
 *
 * Refusals of strangers are bounded: beyond a burst they are counted, and the count becomes one row. What is lost is
 * thereby told. Tested in audit.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { StenoError } from '#schemas/errors.js';
import type { AuditRow } from '#schemas/rows.js';

export type Caller = { readonly actor: string; readonly source: string };

export interface Act {
  /** `noun.verb`. */
  readonly event: string;
  readonly target?: string;
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
    session: '',
    node: bounded(act.node ?? '', 255),
    login: bounded(act.login ?? '', 255),
    data: JSON.stringify(act.data ?? {}),
  };
}

/** Refusals a minute that are written one by one; more than a person reads, less than fills a disk. */
const BURST = 120;
const WINDOW_MS = 60_000;

export class RefusalBudget {
  #windowStart = 0;
  #spent = 0;
  #suppressed = 0;

  /** The rows to write for one refusal: itself, or nothing, and the count of those left out before. */
  rows(row: AuditRow): readonly AuditRow[] {
    const before = row.at - this.#windowStart >= WINDOW_MS ? this.#roll(row.at) : [];
    if (this.#spent >= BURST) {
      this.#suppressed += 1;
      return before;
    }
    this.#spent += 1;
    return [...before, row];
  }

  /** The count not told yet; at the end of the service. */
  rest(now: number): readonly AuditRow[] {
    return this.#roll(now);
  }

  #roll(now: number): readonly AuditRow[] {
    const count = this.#suppressed;
    this.#windowStart = now;
    this.#spent = 0;
    this.#suppressed = 0;
    if (count === 0) return [];
    return [auditRow(now, { actor: 'authority', source: '' }, { event: 'audit.suppressed', data: { refusals: count } })];
  }
}

/** Cut by code points: half a surrogate pair would not survive the wire. */
function bounded(text: string, length: number): string {
  return text.length <= length
    ? text
    : [...text.slice(0, length - 1)].filter((c, i, all) => i < all.length - 1 || !/[\ud800-\udbff]/.test(c)).join('');
}
