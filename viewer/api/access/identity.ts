/**
 * Identifies the sender of a request: the holder of a web session (cookie) or of a user certificate (signed request, `steno` command).
 *
 * The cookie is HttpOnly and SameSite=Strict, so no script reads it and no other site sends it. The authority's answer about a cookie
 * is cached for `REMEMBER_MS` under a hash of the cookie, or until the authority reports a change. Tokens are never logged. Tested in
 * viewer/api/main.test.ts.
 */
import { createHash } from 'node:crypto';
import { parse, serialize } from 'cookie';
import { LRUCache } from 'lru-cache';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import type { SignedStatement } from '#schemas/documents/cluster.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { Caller, ReceivedRequest } from '#runtime/http/request-auth.js';
import type { Access, Viewer } from './access.js';

export interface ViewerAuthority {
  /** Turns a one-time token into a web session. Throws LINK_USED. */
  signIn(token: string, client?: string): Promise<WebIdentity>;
  /** The holder of a web session. Throws NOT_SIGNED_IN if the session is unknown, expired or locked. */
  webSession(token: string): Promise<WebIdentity>;
  /** This cluster's signed statement about itself. Throws NOT_FOUND until it has been exported once. */
  clusterStatement(): Promise<SignedStatement>;
  /** Participants of these live sessions; unknown sessions are left out. */
  liveSessions(sessions: readonly string[]): Promise<readonly LiveSessionDetails[]>;
  /** Ends a web session; no effect if the session is over already. */
  signOut(token: string, client?: string): Promise<void>;
  /** For calls on behalf of a user: names the web session and the client's address. They reject with the authority's refusal. */
  relaying(who: { readonly session?: string | undefined; readonly client: string }): Send;
  /** Called when roles, locks or grants have changed; returns a function that unsubscribes. */
  onChange(callback: () => void): () => void;
}

export interface RequestVerifying {
  verify(request: ReceivedRequest): Caller;
  /** Evaluates an earlier caller against the current roles; throws if the caller would be refused now. */
  recheck(identity: UserIdentity): Caller;
}

export interface IncomingFacts {
  readonly method: string;
  readonly target: string;
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
  readonly sourceAddress: string;
  /** The body as received, since a signature covers it; few requests have one. */
  readonly body?: Uint8Array | undefined;
}

export interface Identified extends Viewer {
  readonly by: 'cookie' | 'signature';
  /** The same user under the current roles; throws if the user would be refused now. */
  readonly recheck: () => Promise<Viewer>;
  /** When the identity expires, in ms since 1970. */
  readonly expiresAt: number;
}

const COOKIE = 'steno_session';
/**
 * Name of the cookie over TLS: browsers accept a `__Host-` cookie only from this very host and only over TLS, so a neighbouring host
 * cannot plant a session of its own (RFC 6265bis, 4.1.3.2).
 */
const HOST_COOKIE = `__Host-${COOKIE}`;
const REMEMBER_MS = 1_000;
const REMEMBER_MAX = 1_000;

export class Identities {
  readonly #authority: ViewerAuthority;
  readonly #requests: RequestVerifying;
  readonly #access: Access;
  readonly #clock: () => number;
  readonly secure: boolean;
  readonly #known: LRUCache<string, Identified>;

  /** `secure`: the page is served over TLS, so the cookie is never sent without TLS. */
  constructor(authority: ViewerAuthority, requests: RequestVerifying, access: Access, clock: () => number, secure = false) {
    this.#access = access;
    this.secure = secure;
    this.#authority = authority;
    this.#requests = requests;
    this.#clock = clock;
    this.#known = new LRUCache({ max: REMEMBER_MAX, ttl: REMEMBER_MS, ttlResolution: 0, perf: { now: clock } });
  }

  async signIn(token: string, client: string): Promise<{ readonly identity: Identified; readonly cookie: string }> {
    return this.begin(await this.#authority.signIn(token, client));
  }

  /** Drops cached answers of the authority. */
  forget(): void {
    this.#known.clear();
  }

  /** Identifies a web session that the authority has just begun. */
  begin(web: WebIdentity): { readonly identity: Identified; readonly cookie: string } {
    const maxAge = Math.max(0, Math.floor((web.expires_at - this.#clock()) / 1000));
    return {
      identity: this.#fromWeb(web),
      cookie: serialize(cookieName(this.secure), web.token, { httpOnly: true, sameSite: 'strict', path: '/', maxAge, secure: this.secure }),
    };
  }

  async signOut(cookieHeader: string | undefined, client: string): Promise<void> {
    const token = cookieToken(cookieHeader, this.secure);
    if (token === null) return;
    this.#known.delete(keyOf(token));
    await this.#authority.signOut(token, client);
  }

  /** Throws NOT_SIGNED_IN, or the reason why a signed request is refused. */
  async identify(request: IncomingFacts): Promise<Identified> {
    if (request.authorization !== undefined) {
      const { identity, roles } = this.#requests.verify({
        method: request.method,
        target: request.target,
        authorization: request.authorization,
        body: request.body ?? new Uint8Array(0),
        sourceAddress: request.sourceAddress,
      });
      const viewer = (now: Caller): Viewer =>
        this.#access.viewer({ user: now.identity.user, traits: now.identity.traits, roles: now.roles });
      return {
        ...viewer({ identity, roles }),
        by: 'signature',
        expiresAt: identity.validBefore * 1000,
        recheck: async () => viewer(this.#requests.recheck(identity)),
      };
    }
    const token = cookieToken(request.cookie, this.secure);
    if (token === null) throw new StenoError('NOT_SIGNED_IN');
    const now = this.#clock();
    const key = keyOf(token);
    const known = this.#known.get(key);
    if (known !== undefined && known.expiresAt > now) return known;
    this.#known.delete(key);
    const identity = this.#fromWeb(await this.#authority.webSession(token));
    if (identity.expiresAt <= now) throw new StenoError('NOT_SIGNED_IN');
    this.#known.set(key, identity);
    return identity;
  }

  #fromWeb(web: WebIdentity): Identified {
    const { user, roles, traits } = web;
    return {
      ...this.#access.viewer({ user, traits, roles }),
      by: 'cookie',
      expiresAt: web.expires_at,
      recheck: () =>
        this.identify({
          method: 'GET',
          target: '/',
          authorization: undefined,
          cookie: `${cookieName(this.secure)}=${web.token}`,
          sourceAddress: '',
        }),
    };
  }
}

/** The header that deletes the cookie. */
export function clearedCookie(secure: boolean): string {
  return serialize(cookieName(secure), '', { httpOnly: true, sameSite: 'strict', path: '/', maxAge: 0, secure });
}

/** `secure`: the page is served over TLS; a cookie of the plain name is then ignored. */
export function cookieToken(header: string | undefined, secure: boolean): string | null {
  if (header === undefined || header.length > 8192) return null;
  const token = parse(header)[cookieName(secure)];
  return token !== undefined && /^[A-Za-z0-9_.~-]{16,512}$/.test(token) ? token : null;
}

function cookieName(secure: boolean): string {
  return secure ? HOST_COOKIE : COOKIE;
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
