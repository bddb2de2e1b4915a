/**
 * Sign-in links and web sessions: random tokens, stored as SHA-256 only.
 *
 *     (none) ──create──► link, 10 min, once ──sign in──► web session, 12 h ──sign out or time──► (gone)
 *
 * Consuming a link and starting the session is one transaction, so of concurrent attempts one succeeds. A lock on the user
 * or a role ends every web session at its next use. Tested in ../http/server.test.ts.
 */
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { tokenPattern } from '#schemas/endpoint/fields.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { assertUnlocked, lockTargets, rolesNamed } from '#runtime/http/request-auth.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import type { Directory } from '../directory/directory.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import { deleteWebSession, insertLink, insertWebSession, takeLink } from '../records/records.js';
import type { Records, Tx, WebSession } from '../records/records.js';

const LINK_MS = 10 * 60_000;
const SESSION_MS = 12 * 3_600_000;

/** How a web session was started, in addition to its user. */
export type SignInWay = Pick<WebSession, 'via' | 'mfa'>;

export class Links {
  readonly #records: Records;
  readonly #directory: Directory;
  readonly #clock: () => number;

  constructor(records: Records, directory: Directory, clock: () => number) {
    this.#records = records;
    this.#directory = directory;
    this.#clock = clock;
  }

  /** `certificate`: of the requester, if any; the web session ends with it, or a certificate could prolong itself. */
  async create(
    user: string,
    caller: Caller,
    certificate?: Pick<UserIdentity, 'validBefore' | 'mfa'>,
  ): Promise<{ readonly url_token: string; readonly expires_at: number }> {
    const now = this.#clock();
    const [token, expiresAt] = [newToken(), now + LINK_MS];
    await this.#records.act([auditRow(now, caller, { event: 'sign_in_link.create', target: user })], (tx) =>
      insertLink(tx, hashOf(token), user, expiresAt, {
        until: certificate === undefined ? null : certificate.validBefore * 1000,
        mfa: certificate?.mfa ?? null,
      }),
    );
    return { url_token: token, expires_at: expiresAt };
  }

  /** Throws LINK_USED for a token that is unknown, used or expired, without saying which. */
  async signIn(linkToken: string, caller: Caller): Promise<WebIdentity> {
    const now = this.#clock();
    const { token, session } = await this.#records.actOn(async (tx) => {
      const link = await takeLink(tx, hashOf(linkToken), now);
      if (link === undefined) throw new StenoError('LINK_USED');
      const { user, mfa, until } = link;
      const begun = await this.begin(tx, user, { via: 'link', mfa }, until ?? Infinity);
      return {
        result: begun,
        rows: [
          auditRow(now, { actor: user, source: caller.source }, { event: 'web_session.start', target: user, data: { via: caller.actor } }),
        ],
      };
    });
    return this.identity(token, session);
  }

  /** Starts a web session in the transaction that proved the user; nobody has seen its token before. */
  async begin(tx: Tx, user: string, way: SignInWay, until = Infinity): Promise<{ readonly token: string; readonly session: WebSession }> {
    const token = newToken();
    const since = this.#clock();
    const session = { user, since, expiresAt: Math.min(since + SESSION_MS, until), ...way };
    await insertWebSession(tx, hashOf(token), session);
    return { token, session };
  }

  /** Throws NOT_SIGNED_IN if the session is unknown or has ended, LOCKED if a lock is in force. */
  async introspect(token: string): Promise<WebIdentity> {
    const session = tokenPattern.test(token) ? await this.#records.webSession(hashOf(token), this.#clock()) : undefined;
    if (session === undefined) throw new StenoError('NOT_SIGNED_IN');
    return this.identity(token, session);
  }

  /** Ends the session, if it exists. */
  async signOut(token: string, caller: Caller): Promise<void> {
    const now = this.#clock();
    const session = await this.#records.webSession(hashOf(token), now);
    if (session === undefined) return;
    await this.#records.act(
      [auditRow(now, { actor: session.user, source: caller.source }, { event: 'web_session.end', target: session.user })],
      (tx) => deleteWebSession(tx, hashOf(token)),
    );
  }

  /** Throws NOT_SIGNED_IN if the user no longer exists or is disabled, LOCKED if a lock on them is in force. */
  async identity(token: string, { user, since, expiresAt, via, mfa }: WebSession): Promise<WebIdentity> {
    return { token, ...(await this.userNow(user, mfa)), expires_at: expiresAt, via, mfa, since };
  }

  /** A user's current rights, from their own roles without access requests. Throws like `identity`. */
  async userNow(user: string, mfa: string | null = null): Promise<Pick<WebIdentity, 'user' | 'traits' | 'roles'>> {
    const record = await this.#records.user(user);
    if (record === undefined || record.disabled) throw new StenoError('NOT_SIGNED_IN', 'the user no longer exists or is disabled');
    const { roles, locks } = this.#directory.current();
    assertUnlocked(locks, lockTargets({ user, roles: record.roles, mfa, requests: [] }), this.#clock());
    return { user, traits: record.traits, roles: rolesNamed(record.roles, roles) };
  }
}
