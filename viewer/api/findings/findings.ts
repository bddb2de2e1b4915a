/**
 * Findings in the types of the HTTP interface, restricted to what the user may see.
 *
 * Seeing a finding requires two rights: to read findings, and to view the session that the finding is about. Without the first, users
 * who may view their own sessions would learn that they were noticed. A finding about no session is visible to users who view all
 * sessions. Showing a finding with its evidence counts as viewing its session and is reported to the authority. Tested in
 * findings.test.ts.
 */
import type { z } from 'zod';
import type { FindingCounts, FindingDetail, FindingEvidence, FindingInfo, FindingList } from '#schemas/api/recordings/findings.js';
import type { countFindings, listFindings } from '#schemas/api/recordings/findings.js';
import type { showResponse } from '#schemas/api/recordings/response.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Answer } from '#schemas/endpoint/endpoint.js';
import { eventId, findingIdPattern } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventStore, FindingQuery, Found } from '#stores/events/contract.js';
import { requireReading } from '../access/access.js';
import type { Access, Viewer } from '../access/access.js';
import { parseSessionId } from '../http/query.js';
import type { Sessions } from '../sessions/sessions.js';

const MAX_EVIDENCE = 100;
/** The tiers that people should look at; signals only tag sessions. */
const PAGING = ['alert', 'session'] as const;
/** Months of response shown by default, including the current one. */
const MONTHS = 12;

export interface FindingParts {
  readonly events: EventStore;
  readonly access: Access;
  readonly sessions: Sessions;
  /** ms since 1970. */
  readonly clock: () => number;
}

type Scope = Pick<FindingQuery, 'user' | 'visible'>;

export class Findings {
  readonly #parts: FindingParts;

  constructor(parts: FindingParts) {
    this.#parts = parts;
  }

  async list(viewer: Viewer, query: z.output<typeof listFindings.query>): Promise<FindingList> {
    const { before, user, state, severity, tier, session, ...filters } = query;
    const scope = this.#scope(viewer, user);
    if (scope === null) return { findings: [], next: null };
    const { rows, next } = await this.#parts.events.findings({
      ...filters,
      ...scope,
      session: session === undefined ? undefined : parseSessionId(session),
      states: state,
      severities: severity,
      tiers: tier ?? (query.rule === undefined ? PAGING : undefined),
      cursor: before,
    });
    return { findings: rows.map(infoOf), next };
  }

  async counts(viewer: Viewer, query: z.output<typeof countFindings.query>): Promise<FindingCounts> {
    const scope = this.#scope(viewer, undefined);
    return scope === null ? [] : this.#parts.events.countFindings({ ...query, ...scope, tiers: PAGING });
  }

  /** The times of views are in the audit log: users who may not read it get no statistics about views either. */
  async response(viewer: Viewer, { from: wanted, to: until }: z.output<typeof showResponse.query>): Promise<Answer<typeof showResponse>> {
    const { events, clock } = this.#parts;
    requireReading(viewer, 'audit');
    const to = until ?? clock();
    const from = wanted ?? monthsBefore(to, MONTHS - 1);
    if (from >= to) throw new StenoError('BAD_REQUEST', 'from: is not before to');
    const scope = this.#scope(viewer, undefined);
    return { from, to, months: scope === null ? [] : await events.responseByMonth({ from, to, ...scope, tiers: PAGING }) };
  }

  /** A finding that the viewer may see, in the form of a list entry. */
  async named(viewer: Viewer, id: string): Promise<FindingInfo | undefined> {
    let scope: Scope | null;
    try {
      scope = this.#scope(viewer, undefined);
    } catch (error) {
      if (error instanceof StenoError && error.code === 'ACCESS_DENIED') return undefined;
      throw error;
    }
    const [found] =
      scope === null || !findingIdPattern.test(id) ? [] : (await this.#parts.events.findings({ ...scope, id, limit: 1 })).rows;
    return found === undefined ? undefined : infoOf(found);
  }

  async show(viewer: Viewer, source: string, id: string): Promise<FindingDetail> {
    const { events, access, sessions } = this.#parts;
    let scope: Scope | null;
    try {
      scope = this.#scope(viewer, undefined);
    } catch (error) {
      await this.#tellRefused(viewer, source, id);
      throw error;
    }
    if (scope === null || !findingIdPattern.test(id)) throw new StenoError('NOT_FOUND', 'finding');
    const [found] = (await events.findings({ ...scope, id, limit: 1 })).rows;
    if (found === undefined) throw new StenoError('NOT_FOUND', 'finding');
    if (found.session !== '') await sessions.row({ viewer, action: 'view', source }, found.session);
    const rows = await events.eventsNamed(found.evidence.slice(0, MAX_EVIDENCE));
    // A sequence may contain events of several sessions: each event is shown only to users who may view its session.
    const seen = new Map<string, boolean>([
      [found.session, true],
      ['', access.visible(viewer, 'view') === undefined],
    ]);
    for (const { session } of rows) {
      if (seen.has(session)) continue;
      const row = await events.session(session);
      seen.set(session, row !== undefined && access.may(viewer, 'view', row));
    }
    const evidence = rows.filter(({ session }) => seen.get(session) === true).map(evidenceOf);
    return { finding: infoOf(found), evidence, missing: found.evidence.length - evidence.length };
  }

  /** Reports a user who asks for a session's findings without the right to read findings as viewing the session. */
  async #tellRefused(viewer: Viewer, source: string, id: string): Promise<void> {
    const { events, access, sessions } = this.#parts;
    const [hidden] = findingIdPattern.test(id) ? (await events.findings({ id, limit: 1 })).rows : [];
    const row = hidden === undefined || hidden.session === '' ? undefined : await events.session(hidden.session);
    // The caller gets the same refusal whether or not the finding exists.
    if (row !== undefined && !access.may(viewer, 'view', row))
      await sessions.row({ viewer, action: 'view', source }, row.session).catch(() => undefined);
  }

  /** Null: the wanted findings and the permitted ones do not overlap. */
  #scope(viewer: Viewer, wanted: string | undefined): Scope | null {
    requireReading(viewer, 'finding');
    const scope = this.#parts.access.narrow(viewer, 'view', wanted);
    switch (scope.kind) {
      case 'nobody':
        return null;
      case 'any':
        return {};
      case 'user':
        return { user: scope.user };
      case 'each':
        return { user: scope.user, visible: scope.visible };
    }
  }
}

/** The first moment, in UTC, of the month that is `months` before the month of `at`. */
function monthsBefore(at: number, months: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - months, 1);
}

function infoOf(found: Found): FindingInfo {
  const data = textsOf(found.data);
  const { id, rule, rule_version, severity, techniques, session, user, node, login, at, offset_ms, row, evidence, state, triage } = found;
  return {
    ...{ id, rule, rule_version, severity, techniques, session, user, node, login, at, row, state, triage },
    title: data('title') || rule,
    tier: data('tier'),
    reason: data('reason'),
    advice: data('advice'),
    offset: offset_ms,
    events: evidence.length,
    link: linkTo(session, offset_ms),
  };
}

function evidenceOf(row: EventRow): FindingEvidence {
  const { session, at, source, name, path, address, port } = row;
  return {
    ...{ id: eventId(row), session, at, source, name, path, address, port },
    kind: row.kind === 'unknown' ? row.raw_kind : row.kind,
    offset: row.offset_ms,
    link: linkTo(session, row.offset_ms),
  };
}

function linkTo(session: string, offset: number | null): string | null {
  return session === '' ? null : `/sessions/${session}${offset === null ? '' : `?t=${offset}`}`;
}

/** `data` comes from the analyzer; values that are not strings are ignored. */
function textsOf(data: string): (name: string) => string {
  let values: Readonly<Record<string, unknown>> = {};
  try {
    const parsed: unknown = JSON.parse(data);
    if (typeof parsed === 'object' && parsed !== null) values = parsed as Readonly<Record<string, unknown>>;
  } catch {
    // Malformed data: show the finding without it.
  }
  return (name) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return typeof value === 'string' ? value : '';
  };
}
