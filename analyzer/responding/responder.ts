/**
 * Sends findings to the authority, which decides about automatic responses (authority/detection/responses.ts).
 *
 *     finding of a session that is not known to be over, not older than MAX_AGE_MS ──► asked ──answer──► done
 *                                                                                      └─ fails ─► asked again while it is young enough
 *
 * A finding is sent when it is made, in parallel with its row: neither waits for the other. A crash repeats both (the session has no
 * mark and is replayed), and both are idempotent by the finding's id. At most `MAX_ASKING` requests are in progress; further findings
 * wait, and those beyond MAX_WAITING are dropped and counted. Tested in responder.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FindingRow, SessionRow, Tier } from '#schemas/events/rows.js';
import { StenoError } from '#schemas/base/errors.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { Log } from '#runtime/log.js';

const MAX_AGE_MS = 600_000;
const MAX_ASKING = 8;
const MAX_WAITING = 10_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

export interface ResponderParts {
  readonly authority: Pick<AuthorityClient, 'respond'>;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
}

export class Responder {
  readonly #parts: ResponderParts;
  readonly #closing = new AbortController();
  readonly #waiting: (() => Promise<void>)[] = [];
  #asking = 0;
  #dropped = 0;

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Never throws and does not wait for anything. */
  tell(row: FindingRow, session: SessionRow | null): void {
    if (session === null || session.state !== 'live' || !this.#isYoung(row)) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    const noticedAt = this.#parts.clock();
    this.#waiting.push(() => this.#ask(row, session, noticedAt));
    this.#next();
  }

  close(): void {
    this.#closing.abort();
    this.#waiting.length = 0;
  }

  #isYoung({ at }: FindingRow): boolean {
    return this.#parts.clock() - at <= MAX_AGE_MS;
  }

  #next(): void {
    if (this.#asking >= MAX_ASKING) return;
    const ask = this.#waiting.shift();
    if (ask === undefined) return;
    this.#asking += 1;
    void ask().finally(() => {
      this.#asking -= 1;
      this.#next();
    });
  }

  async #ask(row: FindingRow, session: SessionRow, noticedAt: number): Promise<void> {
    const { authority, log, clock } = this.#parts;
    const { signal } = this.#closing;
    const { title, tier, reason } = JSON.parse(row.data) as { readonly title: string; readonly tier: Tier; readonly reason: string };
    const { rule, severity, at, user, node, login } = row;
    for (let wait = FIRST_WAIT_MS; !signal.aborted && this.#isYoung(row); wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
      try {
        const answer = await authority.respond(row.id, {
          rule,
          title,
          severity,
          tier,
          at,
          session: row.session,
          ...{ user, node, login, reason },
          roles: [...session.roles],
        });
        if (answer.kind !== 'none')
          log.info(
            { finding: row.id, rule, session: row.session, kind: answer.kind, action: answer.action, ms: clock() - noticedAt },
            'response',
          );
        return;
      } catch (error) {
        if (signal.aborted) return;
        const isRefused = error instanceof StenoError && ['BAD_REQUEST', 'ACCESS_DENIED', 'NOT_FOUND'].includes(error.code);
        log.warn({ err: error, finding: row.id, again: !isRefused }, 'the authority did not answer for a finding');
        if (isRefused) return;
        await sleep(wait, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
