/**
 * Lists of sessions, one session, its facts and its audit rows: rows of the event store in the words of the HTTP
 * interface, cut down to what the asker may see. Tested in server.test.ts.
 */
import type { SegmentIndex, SessionFact, SessionInfo, SessionList } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { EventRow, SessionRow } from '#schemas/rows.js';
import type { EventStore, Page } from '#stores/events/contract.js';
import type { AuditRow } from '#schemas/rows.js';
import type { z } from 'zod';
import { maySee, narrow, requireAll } from './access.js';
import type { Viewer } from './access.js';
import { Lru } from './lru.js';
import type { auditQuery, sessionsQuery } from './query.js';
import type { RecordingIndex } from './recording.js';

/** More facts than this are cut; the export holds them all. */
export const MAX_FACTS = 10_000;
const MAX_MARKERS = 2_000;
const PLACES_KEPT = 10_000;

export type SessionPlace = Pick<SessionRow, 'session' | 'user' | 'started_at'>;

export class Sessions {
  readonly #events: EventStore;
  readonly #clock: () => number;
  readonly #places = new Lru<SessionPlace>(PLACES_KEPT);

  constructor(events: EventStore, clock: () => number) {
    this.#events = events;
    this.#clock = clock;
  }

  async list(viewer: Viewer, query: z.output<typeof sessionsQuery>): Promise<SessionList> {
    const { before, user, ...filters } = query;
    const scope = narrow(viewer, user);
    if (scope.kind === 'nobody') return { sessions: [], next: null };
    const { rows, next } = await this.#events.sessions({ ...filters, cursor: before, user: scope.kind === 'user' ? scope.user : undefined });
    return { sessions: rows.map((row) => this.info(row)), next };
  }

  /** Throws SESSION_UNKNOWN for what does not exist and for what may not be seen, alike. */
  async row(viewer: Viewer, id: string): Promise<SessionRow> {
    if (viewer.view === 'none') throw new StenoError('ACCESS_DENIED', 'your roles do not let you see recordings');
    const row = await this.#events.session(id);
    if (row === undefined || !maySee(viewer, row.user)) throw new StenoError('SESSION_UNKNOWN');
    return row;
  }

  /** What never changes of a session, without asking the store each time: a seek must not wait for a query. */
  async place(viewer: Viewer, id: string): Promise<SessionPlace> {
    const known = this.#places.get(id);
    if (known !== undefined && maySee(viewer, known.user)) return known;
    const { session, user, started_at } = await this.row(viewer, id);
    const place = { session, user, started_at };
    this.#places.set(id, place, 1);
    return place;
  }

  info(row: SessionRow): SessionInfo {
    return {
      id: row.session, kind: row.kind, state: row.state, user: row.user, node: row.node, login: row.login, gateway: row.gateway,
      source_address: row.source_address, client_version: row.client_version, command: row.command, tty: row.tty, cols: row.cols, rows: row.rows,
      started_at: row.started_at, ended_at: row.ended_at, duration: Math.max(0, (row.ended_at ?? this.#clock()) - row.started_at),
      exit_code: row.exit_code, exit_signal: row.exit_signal, bytes_in: row.bytes_in, bytes_out: row.bytes_out,
      recording_bytes: row.recording_bytes, stored_bytes: row.stored_bytes, requests: row.request_id === '' ? [] : row.request_id.split(','),
    };
  }

  /** In the order of the recording. */
  async facts(session: string, limit = MAX_FACTS): Promise<SessionFact[]> {
    return (await this.#events_(session, limit)).map(factOf);
  }

  async segmentIndex(row: SessionRow, index: RecordingIndex | null): Promise<SegmentIndex> {
    const segments = index?.segments ?? [];
    const duration = index?.duration ?? 0;
    return {
      session: row.session, cols: index?.cols ?? row.cols, rows: index?.rows ?? row.rows, duration, live: row.state === 'live', block: index?.block ?? 0,
      segments: segments.map((place, n) => ({ n, start: place.start, end: segments[n + 1]?.start ?? duration, first_block: place.firstBlock })),
      markers: (await this.#events_(row.session, MAX_MARKERS)).flatMap((event) => markerOf(event) ?? []),
    };
  }

  audit(viewer: Viewer, query: z.output<typeof auditQuery>): Promise<Page<AuditRow>> {
    requireAll(viewer, 'the audit log');
    const { before, ...filters } = query;
    return this.#events.audit({ ...filters, cursor: before });
  }

  async #events_(session: string, limit: number): Promise<EventRow[]> {
    const all: EventRow[] = [];
    for (let cursor: string | undefined; all.length < limit; ) {
      const page = await this.#events.events({ session, order: 'session', limit: Math.min(1000, limit - all.length), cursor });
      all.push(...page.rows);
      if (page.next === null) break;
      cursor = page.next;
    }
    return all;
  }
}

function factOf(event: EventRow): SessionFact {
  const known: Record<string, unknown> = {};
  for (const key of ['path', 'size', 'sha256', 'address', 'port', 'name', 'reason', 'outcome', 'count'] as const) {
    const value = event[key];
    if (value !== '' && value !== null) known[key] = value;
  }
  return { at: event.at, offset: event.offset_ms, kind: event.kind, data: { ...parsed(event.data), ...known } };
}

function markerOf(event: EventRow): SegmentIndex['markers'][number] | null {
  const at = event.offset_ms;
  switch (event.kind) {
    case 'gap':
      return { at, kind: 'gap', label: event.reason === '' ? 'gap' : event.reason };
    case 'sftp':
    case 'file':
      return { at, kind: 'file', label: event.path === '' ? event.name : event.path };
    case 'participant':
      return { at, kind: 'participant', label: `${event.name} ${event.reason}` };
    case 'marker':
      return { at, kind: 'marker', label: event.name };
    case 'listen':
    case 'forward':
      if (event.outcome === 'closed') return null;
      return { at, kind: 'marker', label: event.address === '' ? event.name : `${event.address}:${event.port ?? ''}` };
    default:
      return null;
  }
}

function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
