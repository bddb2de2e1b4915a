/**
 * The analyzer's knowledge about access requests of a session: their reasons, from the audit log, and the names of nodes, so that a
 * name in a reason can be recognized. A request is made before its session begins and its row never changes; nodes are those of
 * sessions in the 90 days up to the same midnight as for baselines. Tested in detector.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';
import { DAYS, untilOf } from '../baselines/history.js';

export interface RequestReason {
  readonly id: string;
  readonly reason: string;
}

export interface RequestReader {
  /** In the order in which the session's certificate names the requests; unknown requests are left out. */
  reasons(session: SessionRow): Promise<readonly RequestReason[]>;
  /** Names of nodes that people have used. */
  nodes(session: SessionRow): Promise<ReadonlySet<string>>;
}

const MAX_REQUESTS = 64;
const MAX_NODES = 10_000;
const DAY = 86_400_000;

export class StoredRequests implements RequestReader {
  readonly #store: Pick<EventStore, 'scan'>;
  readonly #nodes = new LRUCache<string, Promise<ReadonlySet<string>>>({ max: 4 });

  constructor(store: Pick<EventStore, 'scan'>) {
    this.#store = store;
  }

  async reasons({ request_id: asked, user }: SessionRow): Promise<readonly RequestReason[]> {
    const ids = asked
      .split(',')
      .filter((id) => id !== '')
      .slice(0, MAX_REQUESTS);
    if (ids.length === 0) return [];
    // Only rows of the user who made the request count: nobody else may define the purpose of the session.
    const rows = await this.#store.scan(
      `SELECT target, argMin(data, (at, id)) FROM audit WHERE event = 'request.create' AND outcome = 'success' AND actor = ${literal(user)} ` +
        `AND target IN (${ids.map(literal).join(', ')}) GROUP BY target`,
    );
    const reasons = new Map(rows.map(([id, data]) => [String(id), reasonOf(String(data))]));
    return ids.flatMap((id) => {
      const reason = reasons.get(id) ?? '';
      return reason === '' ? [] : [{ id, reason }];
    });
  }

  nodes(session: SessionRow): Promise<ReadonlySet<string>> {
    const until = untilOf(session);
    const known = this.#nodes.get(String(until));
    if (known !== undefined) return known;
    const moment = (at: number): string => `toDateTime64(${literal(formatMoment(Math.max(0, at)))}, 3, 'UTC')`;
    const reading = this.#store
      .scan(
        `SELECT DISTINCT node FROM sessions WHERE started_at >= ${moment(until - DAYS * DAY)} AND started_at < ${moment(until)} AND node != '' ` +
          `ORDER BY node LIMIT ${MAX_NODES}`,
      )
      .then((rows) => new Set(rows.map(([node]) => String(node).toLowerCase())));
    this.#nodes.set(String(until), reading);
    // Failures are not cached: the next session tries again.
    reading.catch(() => this.#nodes.delete(String(until)));
    return reading;
  }
}

function reasonOf(data: string): string {
  try {
    const { reason } = JSON.parse(data) as { readonly reason?: unknown };
    return typeof reason === 'string' ? reason : '';
  } catch {
    return '';
  }
}
