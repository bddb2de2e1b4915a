/**
 * Limits the audit rows that strangers can cause: beyond a burst, refusals are counted and the count becomes one row, so the
 * log shows that rows are missing. Tested in refusal-budget.test.ts.
 */
import type { AuditRow } from '#schemas/events/rows.js';
import { auditRow } from '../records/audit.js';

/** Refusals per minute written one by one: more than a person reads, less than fills a disk. */
const BURST = 120;
const WINDOW_MS = 60_000;

export class RefusalBudget {
  readonly #burst: number;
  #windowStart = 0;
  #spent = 0;
  #suppressed = 0;

  constructor(burst: number = BURST) {
    this.#burst = burst;
  }

  /** The rows to write for one refusal: itself, or nothing, plus the count of those omitted before. */
  rows(row: AuditRow): readonly AuditRow[] {
    const before = row.at - this.#windowStart >= WINDOW_MS ? this.#roll(row.at) : [];
    if (this.#spent >= this.#burst) {
      this.#suppressed += 1;
      return before;
    }
    this.#spent += 1;
    return [...before, row];
  }

  /** The remaining count; for shutdown. */
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
