/**
 * Announces new findings to the authority, so that webhooks are notified and suppressions apply (authority/detection/announcements.ts).
 *
 * `tell` resolves when the authority has recorded the finding. The session is not marked as analyzed before that, so that after a crash
 * the replay announces again, which is harmless. While the authority is unreachable, findings wait here in order of arrival, up to
 * `MAX_WAITING`; beyond that, the oldest are dropped and counted, and their sessions get no mark. Tested in announcer.test.ts.
 */
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { FindingRow } from '#schemas/events/rows.js';
import type { Log } from '#runtime/log.js';
import { pause } from '#runtime/pause.js';

export interface AnnouncerParts {
  /** `POST /v1/finding-announcements`. */
  readonly send: (findings: readonly AnnouncedFinding[]) => Promise<unknown>;
  readonly log: Log;
  /** Milliseconds after the first failure, doubled with each. */
  readonly firstRetryMs?: number;
}

const MAX_WAITING = 20_000;
const BATCH = 30;
/** Below the size that the authority accepts in one call. */
const BATCH_CHARACTERS = 60_000;
const LONGEST_RETRY_MS = 10_000;

interface Waiting {
  readonly finding: AnnouncedFinding;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Announcer {
  readonly #parts: AnnouncerParts;
  readonly #queue: Waiting[] = [];
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #dropped = 0;
  #refused = 0;
  #told = 0;

  constructor(parts: AnnouncerParts) {
    this.#parts = parts;
  }

  get counts(): { readonly told: number; readonly waiting: number; readonly dropped: number; readonly refused: number } {
    return { told: this.#told, waiting: this.#queue.length, dropped: this.#dropped, refused: this.#refused };
  }

  /** Rejects if the finding was dropped or refused, or if the announcer closes first. */
  tell(row: FindingRow): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.reject(new StenoError('DRAINING'));
    if (this.#queue.length >= MAX_WAITING) {
      this.#dropped += 1;
      this.#queue.shift()!.reject(new StenoError('NOT_RUNNING', 'too many findings wait to be told'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ finding: announcedOf(row), resolve, reject });
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const { reject } of this.#queue.splice(0)) reject(new StenoError('DRAINING'));
    await this.#running;
  }

  async #run(): Promise<void> {
    // Findings of this turn of the event loop are sent together.
    await new Promise((resolve) => setImmediate(resolve));
    let wait = this.#parts.firstRetryMs ?? 250;
    let size = BATCH;
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#fitting(size));
      try {
        await this.#parts.send(batch.map(({ finding }) => finding));
        this.#told += batch.length;
        for (const { resolve } of batch) resolve();
        wait = this.#parts.firstRetryMs ?? 250;
        size = BATCH;
      } catch (error) {
        if (this.#closing.signal.aborted) {
          for (const { reject } of batch) reject(error);
          return;
        }
        // A finding that the authority cannot accept must not block the others.
        const refused = error instanceof StenoError && ['BAD_REQUEST', 'TOO_LARGE'].includes(error.code);
        if (refused && batch.length === 1) {
          this.#refused += 1;
          this.#parts.log.error({ err: error, finding: batch[0]!.finding.id }, 'the authority refused a finding');
          batch[0]!.reject(error);
          continue;
        }
        this.#queue.unshift(...batch);
        if (refused) {
          size = 1;
          continue;
        }
        this.#parts.log.warn({ err: error, waiting: this.#queue.length }, 'failed to tell the authority of findings; trying again');
        await pause(wait, this.#closing.signal);
        wait = Math.min(wait * 2, LONGEST_RETRY_MS);
      }
    }
  }

  #fitting(most: number): number {
    let left = BATCH_CHARACTERS;
    const end = this.#queue.findIndex(({ finding }, i) => i >= most || ((left -= JSON.stringify(finding).length) < 0 && i > 0));
    return end < 0 ? this.#queue.length : end;
  }
}

/** The part of a row that is announced: its evidence stays in the event store. */
export function announcedOf(row: FindingRow): AnnouncedFinding {
  const { id, rule, rule_version, severity, techniques, session, user, node, login, at, offset_ms } = row;
  const data = JSON.parse(row.data) as Readonly<Record<string, unknown>>;
  const text = (name: string, most: number): string => {
    const value = data[name];
    return typeof value === 'string' ? value.slice(0, most) : '';
  };
  return {
    ...{ id, rule, rule_version, severity, techniques: [...techniques], session, user, node, login, at, offset_ms },
    ...{ title: text('title', 256), reason: text('reason', 2048), advice: text('advice', 2048), tier: text('tier', 16) },
  };
}
