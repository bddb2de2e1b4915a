/**
 * Who sends a request: the holder of a web session (cookie) or of a user certificate (signed request, `steno` command).
 *
 * The cookie is HttpOnly and SameSite=Strict, so no script reads it and no other site sends it. What the authority says
 * about a cookie is remembered for `REMEMBER_MS` under a hash of it, or until the authority says that something changed.
 * Tokens are never logged. Tested in server.test.ts.
 */
import { createHash } from 'node:crypto';
import { parse, serialize } from 'cookie';
import type { WebIdentity } from '#schemas/api.js';
import type { SignedStatement } from '#schemas/cluster.js';
import { StenoError } from '#schemas/errors.js';
import type { UserIdentity } from '#schemas/identity.js';
import { sessionScope } from '#schemas/policy/session.js';
import type { SessionScope } from '#schemas/policy/session.js';
import type { Role } from '#schemas/role.js';
import type { Caller, ReceivedRequest } from '#runtime/request-auth.js';
import type { View, Viewer } from './access.js';
import { Lru } from './lru.js';

export interface ViewerAuthority {
  /** Turns a one-time token into a web session. Throws LINK_USED. */
  signIn(token: string): Promise<WebIdentity>;
  /** The holder of a web session. Throws NOT_SIGNED_IN when it is unknown, over or locked. */
  webSession(token: string): Promise<WebIdentity>;
  /** Ends a web session; free for one that is over. */
  signOut(token: string): Promise<void>;
  /** What this cluster says of itself, signed. Throws NOT_FOUND while nobody exported it. */
  clusterStatement(): Promise<SignedStatement>;
  /** Called when roles, locks or grants have changed; returns how to stop. */
  onChange(callback: () => void): () => void;
}

export interface RequestVerifying {
  verify(request: ReceivedRequest): Caller;
  /** Throws when a caller of before would be refused now. */
  recheck(identity: UserIdentity): void;
}

export interface IncomingFacts {
  readonly method: string;
  readonly target: string;
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
  readonly sourceAddress: string;
}

export interface Identified extends Viewer {
  readonly by: 'cookie' | 'signature';
  /** Throws when who signed would be refused now; free for a cookie, which is asked for anew. */
  readonly recheck: () => void;
  /** ms since 1970, from which the identity no longer counts. */
  readonly expiresAt: number;
}

export const COOKIE = 'steno_session';
const REMEMBER_MS = 1_000;
const REMEMBER_MAX = 1_000;

export class Identities {
  readonly #authority: ViewerAuthority;
  readonly #requests: RequestVerifying;
  readonly #clock: () => number;
  readonly #known = new Lru<{ readonly identity: Identified; readonly until: number }>(REMEMBER_MAX);

  constructor(authority: ViewerAuthority, requests: RequestVerifying, clock: () => number) {
    this.#authority = authority;
    this.#requests = requests;
    this.#clock = clock;
  }

  async signIn(token: string): Promise<{ readonly identity: Identified; readonly cookie: string }> {
    const web = await this.#authority.signIn(token);
    const maxAge = Math.max(0, Math.floor((web.expires_at - this.#clock()) / 1000));
    return { identity: fromWeb(web), cookie: serialize(COOKIE, web.token, { httpOnly: true, sameSite: 'strict', path: '/', maxAge }) };
  }

  /** What the authority said before no longer counts. */
  forget(): void {
    this.#known.clear();
  }

  async signOut(cookieHeader: string | undefined): Promise<void> {
    const token = cookieToken(cookieHeader);
    if (token === null) return;
    this.#known.delete(keyOf(token));
    await this.#authority.signOut(token);
  }

  /** Throws NOT_SIGNED_IN, or why a signed request is refused. */
  async identify(request: IncomingFacts): Promise<Identified> {
    if (request.authorization !== undefined) {
      const { identity, roles } = this.#requests.verify({
        method: request.method, target: request.target, authorization: request.authorization, body: new Uint8Array(0), sourceAddress: request.sourceAddress,
      });
      return { ...viewerOf(identity.user, roles), by: 'signature', expiresAt: identity.validBefore * 1000, recheck: () => this.#requests.recheck(identity) };
    }
    const token = cookieToken(request.cookie);
    if (token === null) throw new StenoError('NOT_SIGNED_IN');
    const now = this.#clock();
    const key = keyOf(token);
    const known = this.#known.get(key);
    if (known !== undefined && known.until > now && known.identity.expiresAt > now) return known.identity;
    this.#known.delete(key);
    const identity = fromWeb(await this.#authority.webSession(token));
    if (identity.expiresAt <= now) throw new StenoError('NOT_SIGNED_IN');
    this.#known.set(key, { identity, until: now + REMEMBER_MS }, 1);
    return identity;
  }
}

/** The header that takes the cookie away. */
export function clearedCookie(): string {
  return serialize(COOKIE, '', { httpOnly: true, sameSite: 'strict', path: '/', maxAge: 0 });
}

export function cookieToken(header: string | undefined): string | null {
  if (header === undefined || header.length > 8192) return null;
  const token = parse(header)[COOKIE];
  return token !== undefined && /^[A-Za-z0-9_.~-]{16,512}$/.test(token) ? token : null;
}

function fromWeb(web: WebIdentity): Identified {
  return { ...viewerOf(web.user, web.roles), by: 'cookie', expiresAt: web.expires_at, recheck: () => undefined };
}

function viewerOf(user: string, roles: readonly Role[]): Viewer {
  return { user, roles: roles.map(({ name }) => name), view: viewOf(sessionScope({ user, traits: {}, roles }, 'view')) };
}

/** What has to be asked for each session is shown to nobody here. */
function viewOf(scope: SessionScope): View {
  return scope === 'some' ? 'none' : scope;
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
