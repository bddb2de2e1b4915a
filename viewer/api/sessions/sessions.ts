/**
 * Lists of sessions, one session, its facts and its audit rows: rows of the event store in the types of the HTTP interface, restricted
 * to what the user may see. Tested in viewer/api/main.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { KernelEventList, SegmentIndex, SessionFact, SessionInfo, SessionList, SessionRef } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import type { listAudit } from '#schemas/api/recordings/audit.js';
import type { listKernelEvents, listSessions } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import { markerOf } from '#schemas/marker.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { SessionAction } from '#schemas/policy/role.js';
import { eventKinds } from '#schemas/events/kinds.js';
import type { AuditRow, EventRow, SessionRow } from '#schemas/events/rows.js';
import type { EventStore, Page } from '#stores/events/contract.js';
import type { z } from 'zod';
import { requireReading } from '../access/access.js';
import type { Access, SeenSession, Viewer } from '../access/access.js';
import type { Disclosures } from '../access/disclosures.js';
import { factOf, kernelEventOf, parsed } from '#recordings/derive/event-info.js';
import type { RecordingIndex } from '#recordings/read/recording-reader.js';
import { LivePeople } from './live-people.js';

export { LivePeople };

/** Facts beyond this number are omitted; the export contains all of them. */
export const MAX_FACTS = 10_000;
/** Shell marks are left out: they are in the list of commands and would fill this one. */
const factKinds = eventKinds.filter((kind) => kind !== 'shell');
const MAX_MARKERS = 2_000;
const PLACES_KEPT = 10_000;
/** Rows of sealed sessions do not change, except by a reindex. */
const SEALED_KEPT = 2_000;
const SEALED_KEPT_MS = 60_000;

export type SessionPlace = Pick<SessionRow, 'session' | 'user' | 'node' | 'login' | 'kind' | 'started_at' | 'labels' | 'labels_known'>;

/** The caller, the object of the request, and the caller's address. */
export interface Asking {
  readonly viewer: Viewer;
  readonly action: SessionAction;
  readonly source: string;
  /** Format of an export. */
  readonly format?: string;
}

export class Sessions {
  readonly #events: EventStore;
  readonly #access: Access;
  readonly #disclosures: Disclosures;
  readonly #clock: () => number;
  readonly #people: LivePeople;
  readonly #places = new LRUCache<string, SessionPlace>({ max: PLACES_KEPT });
  readonly #sealed: LRUCache<string, SessionRow>;

  constructor(events: EventStore, access: Access, disclosures: Disclosures, people: LivePeople, clock: () => number) {
    this.#events = events;
    this.#people = people;
    this.#access = access;
    this.#disclosures = disclosures;
    this.#clock = clock;
    this.#sealed = new LRUCache({ max: SEALED_KEPT, ttl: SEALED_KEPT_MS, ttlResolution: 0, perf: { now: clock } });
  }

  async list(viewer: Viewer, query: z.output<typeof listSessions.query>): Promise<SessionList> {
    const { before, user, ...filters } = query;
    const scope = this.#access.narrow(viewer, 'list', user);
    if (scope.kind === 'nobody') return { sessions: [], next: null };
    const whose = 'user' in scope ? scope.user : undefined;
    const visible = scope.kind === 'each' ? scope.visible : undefined;
    const { rows, next } = await this.#events.sessions({ ...filters, cursor: before, user: whose, visible });
    // A user who looks at a list is likely to open one of its sessions next.
    for (const row of rows) this.#keep(row);
    const [outer, live] = await Promise.all([this.#openedFrom(viewer, rows), this.#liveOf(viewer, rows)]);
    return { sessions: rows.map((row) => ({ ...this.info(row), ...outer.get(row.session), ...live.get(row.session) })), next };
  }

  /** The facts of one session, including those that require looking up other sessions. */
  async described(viewer: Viewer, row: SessionRow): Promise<SessionInfo> {
    const [outer, live] = await Promise.all([this.#openedFrom(viewer, [row]), this.#liveOf(viewer, [row])]);
    return { ...this.info(row), ...outer.get(row.session), ...live.get(row.session) };
  }

  #liveOf(viewer: Viewer, rows: readonly SessionRow[]): ReturnType<LivePeople['of']> {
    return this.#people.of(rows, (row, mode) => this.#access.may(viewer, 'invite', row, mode));
  }

  /** By session: the session from which it was opened, if the viewer may list that one. */
  async #openedFrom(
    viewer: Viewer,
    rows: readonly Pick<SessionRow, 'session'>[],
  ): Promise<ReadonlyMap<string, { readonly opened_from: SessionRef }>> {
    // The lookup would scan too many events, which is no reason to withhold the sessions themselves.
    const pairs = await this.#events.openedFrom(rows.map(({ session }) => session)).catch((error: unknown) => {
      if (error instanceof StenoError && error.code === 'QUERY_TOO_HEAVY') return [];
      throw error;
    });
    const places = new Map<string, SessionPlace>();
    for (const { outer } of pairs) {
      const place = places.get(outer) ?? (await this.#place(outer));
      if (place !== undefined && this.#access.may(viewer, 'list', place)) places.set(outer, place);
    }
    return new Map(
      pairs.flatMap(({ session, outer }) => {
        const place = places.get(outer);
        if (place === undefined) return [];
        const { session: id, user, node, login } = place;
        return [[session, { opened_from: { id, user, node, login } }] as const];
      }),
    );
  }

  /** Throws SESSION_UNKNOWN both for sessions that do not exist and for those that may not be listed; otherwise ACCESS_DENIED. */
  async row(asking: Asking, id: string): Promise<SessionRow> {
    const { viewer, action, source, format } = asking;
    await this.#mayAtAll(asking, id);
    const kept = this.#sealed.get(id);
    const row = kept ?? (await this.#events.session(id));
    if (row === undefined) throw new StenoError('SESSION_UNKNOWN');
    if (row !== kept) this.#keep(row);
    return this.#disclosures.of(viewer, action, source, row, () => this.#access.require(viewer, action, row), format);
  }

  #keep(row: SessionRow): void {
    if (row.state === 'sealed') this.#sealed.set(row.session, row);
  }

  /** A session about to be shown completely: its list entry and its recording. */
  async opened(asking: Omit<Asking, 'action'>, id: string): Promise<SessionRow> {
    const row = await this.row({ ...asking, action: 'view' }, id);
    this.#access.narrow(asking.viewer, 'list', undefined);
    this.#access.require(asking.viewer, 'list', row);
    return row;
  }

  /** Checks an earlier caller's permission again, without an audit report. */
  async recheck(viewer: Viewer, action: SessionAction, id: string): Promise<void> {
    const place = await this.#place(id);
    if (place === undefined) throw new StenoError('SESSION_UNKNOWN');
    this.#access.require(viewer, action, place);
  }

  /** The immutable facts of a session, cached so that a seek does not wait for a query. */
  async place(asking: Asking, id: string): Promise<SessionPlace> {
    const { viewer, action, source } = asking;
    await this.#mayAtAll(asking, id);
    const place = await this.#place(id);
    if (place === undefined) throw new StenoError('SESSION_UNKNOWN');
    return this.#disclosures.of(viewer, action, source, place, () => this.#access.require(viewer, action, place));
  }

  /** A user who may see no session gets the same refusal for every id, and the attempt is reported. */
  async #mayAtAll({ viewer, action, source, format }: Asking, id: string): Promise<void> {
    if (viewer.view !== 'none') return;
    try {
      this.#access.narrow(viewer, action, undefined);
    } catch (error) {
      await this.#disclosures.of(
        viewer,
        action,
        source,
        { session: id, node: '', login: '' },
        () => {
          throw error;
        },
        format,
      );
    }
  }

  async #place(id: string): Promise<SessionPlace | undefined> {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const row = await this.#events.session(id);
    if (row === undefined) return undefined;
    const { session, user, node, login, kind, started_at, labels, labels_known } = row;
    const place = { session, user, node, login, kind, started_at, labels, labels_known };
    this.#places.set(id, place);
    return place;
  }

  info(row: SessionRow): SessionInfo {
    return {
      id: row.session,
      kind: row.kind,
      state: row.state,
      user: row.user,
      node: row.node,
      login: row.login,
      gateway: row.gateway,
      source_address: row.source_address,
      client_version: row.client_version,
      command: row.command,
      tty: row.tty,
      cols: row.cols,
      rows: row.rows,
      started_at: row.started_at,
      ended_at: row.ended_at,
      duration: Math.max(0, (row.ended_at ?? this.#clock()) - row.started_at),
      exit_code: row.exit_code,
      exit_signal: row.exit_signal,
      bytes_in: row.bytes_in,
      bytes_out: row.bytes_out,
      recording_bytes: row.recording_bytes,
      stored_bytes: row.stored_bytes,
      requests: row.request_id === '' ? [] : row.request_id.split(','),
    };
  }

  /** In the order of the recording. */
  async facts(session: string, limit = MAX_FACTS): Promise<SessionFact[]> {
    return (await this.#events_(session, limit)).map(factOf);
  }

  /** Kernel events of the session, in order. */
  async kernelEvents(
    viewer: Viewer,
    row: SessionRow,
    { kinds, only, from, after, limit }: z.output<typeof listKernelEvents.query>,
  ): Promise<KernelEventList> {
    const { session } = row;
    const { rows, next } = await this.#events.events({
      session,
      order: 'session',
      source: 'kernel',
      kinds,
      only,
      from: from === undefined ? undefined : row.started_at + from,
      after: after && storedPlace(after),
      limit,
    });
    const gaps = await this.#events_(session, MAX_FACTS, ['gap']);
    return {
      events: rows.map(kernelEventOf),
      gaps: gaps.filter(({ reason }) => reason === 'kernel_events').map(kernelGapOf),
      more: next !== null,
      ...(after === undefined ? (await this.#openedFrom(viewer, [row])).get(session) : {}),
    };
  }

  /** The watermark for what this user is shown of the session; undefined if none is due. */
  watermark(viewer: Viewer, row: SeenSession): Watermark | undefined {
    return this.#access.isMarked(viewer, row) ? { viewer: viewer.user, at: this.#clock() } : undefined;
  }

  async segmentIndex(viewer: Viewer, row: SessionRow, index: RecordingIndex | null): Promise<SegmentIndex> {
    const mark = this.watermark(viewer, row);
    return {
      ...this.segments(row, index),
      ...(mark === undefined ? {} : { watermark: mark }),
      markers: (await this.#events_(row.session, MAX_MARKERS)).flatMap((event) => markerOf(event.offset_ms, event.kind, event) ?? []),
    };
  }

  segments(row: SessionRow, index: RecordingIndex | null): Omit<SegmentIndex, 'markers' | 'watermark'> {
    const segments = index?.segments ?? [];
    const duration = index?.duration ?? 0;
    return {
      session: row.session,
      cols: index?.cols ?? row.cols,
      rows: index?.rows ?? row.rows,
      duration,
      live: row.state === 'live',
      block: index?.block ?? 0,
      segments: segments.map((place, n) => ({
        n,
        start: place.start,
        end: segments[n + 1]?.start ?? duration,
        first_block: place.firstBlock,
      })),
    };
  }

  audit(viewer: Viewer, query: z.output<typeof listAudit.query>): Promise<Page<AuditRow>> {
    requireReading(viewer, 'audit');
    const { before, ...filters } = query;
    return this.#events.audit({ ...filters, cursor: before });
  }

  async #events_(session: string, limit: number, kinds: readonly EventRow['kind'][] = factKinds): Promise<EventRow[]> {
    const all: EventRow[] = [];
    for (let cursor: string | undefined; all.length < limit;) {
      const page = await this.#events.events({
        session,
        order: 'session',
        source: 'recording',
        kinds,
        limit: Math.min(1000, limit - all.length),
        cursor,
      });
      all.push(...page.rows);
      if (page.next === null) break;
      cursor = page.next;
    }
    return all;
  }
}

/** Callers page by the places that nodes write. */
function storedPlace({ block, index }: { readonly block: number; readonly index: number }): {
  readonly block: number;
  readonly index: number;
} {
  return { block: Math.max(0, block - KERNEL_BLOCKS), index };
}

/** Describes a gap line of the recording like a gap event of a node; with its beginning, if it has one. */
function kernelGapOf(row: EventRow): KernelEventInfo {
  const { detail, from, to } = parsed(row.data);
  return {
    ...kernelEventOf(row),
    offset: typeof from === 'number' ? from : row.offset_ms,
    name: typeof detail === 'string' ? detail : '',
    data: { signed: true, ...(typeof from === 'number' ? { first_ms: from } : {}), ...(typeof to === 'number' ? { last_ms: to } : {}) },
  };
}
