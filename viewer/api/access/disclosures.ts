/**
 * Reports every recording that is opened, followed or exported, every search and query, and every refusal to the authority before any
 * content is sent: if the report fails, nothing is shown. Repeated views of one session by the same user are reported once in five
 * minutes; searches, exports and refusals each time. Tested in viewer/api/main.test.ts.
 */
import { LRUCache } from 'lru-cache';
import { reportDisclosure } from '#schemas/api/services/disclosures.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Disclosure, QueryDisclosure, RecordingDisclosure, SearchDisclosure } from '#schemas/disclosure.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionAction } from '#schemas/policy/role.js';
import type { Viewer } from './access.js';
import type { ViewerAuthority } from './identity.js';

/** The facts about a session that a disclosure reports. */
export type Disclosed = Pick<RecordingDisclosure, 'session' | 'node' | 'login'>;

const REPEAT_MS = 300_000;
const REMEMBERED = 10_000;
const events: Readonly<Partial<Record<SessionAction, RecordingDisclosure['event']>>> = {
  view: 'recording.view',
  follow: 'recording.follow',
  export: 'recording.export',
};

export class Disclosures {
  readonly #authority: Pick<ViewerAuthority, 'relaying'>;
  readonly #told: LRUCache<string, true>;

  constructor(authority: Pick<ViewerAuthority, 'relaying'>, clock: () => number) {
    this.#authority = authority;
    this.#told = new LRUCache({ max: REMEMBERED, ttl: REPEAT_MS, ttlResolution: 0, perf: { now: clock } });
  }

  /** Runs `open`, which throws if access is refused, and reports the access or the refusal. Actions that show nothing of a recording are not reported. */
  async of<T extends Disclosed>(
    viewer: Viewer,
    action: SessionAction,
    source: string,
    session: T,
    open: () => void,
    format?: string,
  ): Promise<T> {
    const event = events[action];
    try {
      open();
    } catch (error) {
      if (error instanceof StenoError && event !== undefined) await this.#tell(viewer, event, source, session, format, error);
      throw error;
    }
    if (event === undefined) return session;
    const key = `${action} ${viewer.user} ${session.session}`;
    if (action !== 'export' && this.#told.has(key)) return session;
    await this.#tell(viewer, event, source, session, format, undefined);
    this.#told.set(key, true);
    return session;
  }

  /** Runs a search and reports it before any hit is returned. */
  async ofSearch<T>(
    viewer: Viewer,
    source: string,
    { q, mode }: { readonly q: string; readonly mode: string },
    run: () => Promise<T>,
    count: (found: T) => number,
  ): Promise<T> {
    const body: SearchDisclosure = {
      event: 'recording.search',
      actor: viewer.user,
      source_address: source,
      query: q,
      mode,
      hits: 0,
      code: null,
      reason: '',
    };
    let found: T;
    try {
      found = await run();
    } catch (error) {
      if (error instanceof StenoError) await this.#send({ ...body, code: error.code, reason: (error.detail ?? '').slice(0, 1024) });
      throw error;
    }
    await this.#send({ ...body, hits: count(found) });
    return found;
  }

  /** Reports SQL that was run before any row is returned, and SQL that failed. */
  async ofQuery(
    viewer: Viewer,
    source: string,
    query: Pick<QueryDisclosure, 'sql' | 'rows' | 'truncated' | 'hash' | 'sample'>,
    error?: StenoError,
  ): Promise<void> {
    await this.#send({
      event: 'recording.query',
      actor: viewer.user,
      source_address: source,
      ...query,
      code: error?.code ?? null,
      reason: (error?.detail ?? '').slice(0, 1024),
    });
  }

  async #tell(
    viewer: Viewer,
    event: RecordingDisclosure['event'],
    source: string,
    { session, node, login }: Disclosed,
    format: string | undefined,
    error: StenoError | undefined,
  ): Promise<void> {
    const body: RecordingDisclosure = {
      event,
      actor: viewer.user,
      source_address: source,
      session,
      node,
      login,
      ...(format === undefined ? {} : { format }),
      code: error?.code ?? null,
      reason: (error?.detail ?? '').slice(0, 1024),
    };
    await this.#send(body);
  }

  #send(body: Disclosure): Promise<unknown> {
    return call(this.#authority.relaying({ client: body.source_address }), reportDisclosure, { body });
  }
}
