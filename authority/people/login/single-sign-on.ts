/**
 * Logins through a single sign-on connector: the attempt, the callback, and the resulting user.
 *
 *     begun ──callback──► used ──proved──► web session
 *       │        └──form without cookie──► parked ──callback──► used …
 *       └──10 min──► (gone)
 *
 * The `state` parameter is random and stored as SHA-256; the attempt is bound to a cookie of the browser that began it, so
 * that nobody can finish in another's browser (login CSRF) or with another's answer. A connector's statement about a user
 * replaces its previous one; names held by others are refused. Tested in login.test.ts.
 */
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName, parseTraits } from '#schemas/base/identity.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Directory } from '../../directory/directory.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import type { Records, Tx } from '../../records/records.js';
import type { Sealer } from '../../ca/seal.js';
import { findUser, insertUser, setGrants, setHandlers } from '../../records/users.js';
import type { BrowserAnswer, Connector, Connectors, LoginOutcome } from './connector.js';
import { findAttempt, insertAttempt, parkAnswer, takeAttempt } from '../../records/logins.js';

const ATTEMPT_MS = 10 * 60_000;
const MAX_KEPT = 4096;

export interface SingleSignOnParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly links: Links;
  readonly sealer: Sealer;
  readonly connectors: Connectors;
  readonly clock: () => number;
  /** Base URL of the page. */
  readonly web: string;
}

export class SingleSignOn {
  readonly #parts: SingleSignOnParts;

  constructor(parts: SingleSignOnParts) {
    this.#parts = parts;
  }

  /** Where to send the browser, and the cookie to bind it. Throws NOT_FOUND. */
  async begin(name: string, next: string): Promise<{ readonly url: string; readonly binding: string }> {
    const { records, sealer, clock } = this.#parts;
    const connector = await this.#connector(name);
    const [state, binding] = [newToken(), newToken()];
    const { url, kept } = await connector.begin({ state, callback: this.#callback(name) });
    const text = JSON.stringify(kept);
    if (text.length > MAX_KEPT) throw new StenoError('TOO_LARGE', `what the connector ${name} keeps`);
    await records.actOn(async (tx) => {
      await insertAttempt(tx, {
        hash: hashOf(state),
        connector: name,
        binding: hashOf(binding),
        kept_sealed: sealer.seal(`login/${name}`, Buffer.from(text)),
        next: ownPath(next),
        expires_at: clock() + ATTEMPT_MS,
      });
      return { result: undefined, rows: [] };
    });
    return { url, binding };
  }

  /** Stores an answer that arrived by form, without the cookie. Throws LOGIN_ATTEMPT_OVER. */
  async park(name: string, state: string, form: BrowserAnswer['form']): Promise<void> {
    const { records, clock } = this.#parts;
    await records.actOn(async (tx) => {
      const attempt = await findAttempt(tx, hashOf(state), clock());
      if (attempt?.connector !== name || !(await parkAnswer(tx, attempt.hash, JSON.stringify(form), clock())))
        throw new StenoError('LOGIN_ATTEMPT_OVER', name);
      return { result: undefined, rows: [] };
    });
  }

  /** Throws LOGIN_ATTEMPT_OVER, or the reason why the answer is refused. */
  async finish(
    name: string,
    answer: { readonly state: string; readonly binding: string; readonly query: BrowserAnswer['query'] },
    caller: Caller,
  ): Promise<{ readonly identity: WebIdentity; readonly next: string }> {
    const { records, links, sealer, clock } = this.#parts;
    const connector = await this.#connector(name);
    const now = clock();
    const attempt = await records.actOn(async (tx) => ({
      result: await takeAttempt(tx, hashOf(answer.state), hashOf(answer.binding), now),
      rows: [],
    }));
    if (attempt === undefined || attempt.connector !== name) throw new StenoError('LOGIN_ATTEMPT_OVER', name);
    const kept = JSON.parse(sealer.open(`login/${name}`, attempt.kept_sealed).toString('utf8')) as Record<string, string>;
    const form = attempt.parked === null ? undefined : (JSON.parse(attempt.parked) as Record<string, string>);
    const outcome = checked(
      await connector.finish({ method: form === undefined ? 'GET' : 'POST', query: answer.query, form: form ?? {} }, kept, {
        state: answer.state,
        callback: this.#callback(name),
      }),
    );
    const { token, session } = await records.actOn(async (tx) => {
      await this.#put(tx, connector, outcome, now);
      const who: Caller = { actor: outcome.user, source: caller.source };
      return {
        result: await links.begin(tx, outcome.user, { via: name, mfa: outcome.mfa }),
        rows: [
          auditRow(now, who, {
            event: 'user.login',
            target: outcome.user,
            data: { via: name, mfa: outcome.mfa, roles: outcome.roles, traits: outcome.traits },
          }),
        ],
      };
    });
    return { identity: await links.identity(token, session), next: attempt.next };
  }

  async #put(tx: Tx, { name: connector, handlers }: Connector, { user, roles, traits }: LoginOutcome, now: number): Promise<void> {
    const unknown = roles.find((role) => !this.#parts.directory.current().roles.some(({ name }) => name === role));
    if (unknown !== undefined) throw new StenoError('LOGIN_FAILED', `${user}: role ${unknown} does not exist`);
    const known = await findUser(tx, user);
    if (known === undefined) {
      // A subject bound to the name before its user was removed is the same person.
      const bound = await tx
        .selectFrom('sso_subjects')
        .select('user')
        .where('user', '=', user)
        .where('connector', '=', connector)
        .executeTakeFirst();
      await insertUser(
        tx,
        { name: user, kind: 'sso', connector, roles, traits, created_by: connector, handlers },
        now,
        bound !== undefined,
      );
    } else {
      if (known.kind !== 'sso' || known.connector !== connector)
        throw new StenoError('LOGIN_FAILED', `the name ${user} belongs to a user that does not come by ${connector}`);
      if (known.disabled_at !== null) throw new StenoError('LOGIN_FAILED', `${user} is disabled`);
      await setGrants(tx, user, { roles, traits }, now);
      await setHandlers(tx, user, [...new Set([...known.handlers, ...handlers])].sort());
    }
  }

  async #connector(name: string): Promise<Connector> {
    const connector = await this.#parts.connectors.find(name);
    if (connector === undefined) throw new StenoError('NOT_FOUND', `the connector ${name}`);
    return connector;
  }

  #callback(name: string): string {
    return `${this.#parts.web}/api/login/callback/${name}`;
  }
}

function checked(outcome: LoginOutcome): LoginOutcome {
  if (!isName(outcome.user)) throw new StenoError('LOGIN_FAILED', `${JSON.stringify(outcome.user.slice(0, 100))} is not a valid user name`);
  if (outcome.roles.length === 0) throw new StenoError('LOGIN_FAILED', `${outcome.user}: nothing in this login maps to a role`);
  if (parseTraits(JSON.stringify(outcome.traits)) === null)
    throw new StenoError('LOGIN_FAILED', `${outcome.user}: traits exceed their limits`);
  if (outcome.mfa !== null && !isName(outcome.mfa)) throw new StenoError('LOGIN_FAILED', 'the name of the second factor');
  return outcome;
}

/** Returns a path of our own page, or its root: addresses that lead elsewhere are never followed. */
export function ownPath(next: string): string {
  return next.length <= 512 && /^\/(?![/\\])[A-Za-z0-9/_.~?&=%+-]*$/.test(next) ? next : '/';
}
