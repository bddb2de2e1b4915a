/**
 * What a connector of single sign-on is to the authority, and how a browser goes through it.
 *
 *     page ──start──► attempt kept, browser sent to `url` with `state` ──► provider ──► callback ──► `finish` ──► web session
 *
 * The attempt belongs to the browser that began it (a cookie, of which SHA-256 is kept), counts once and ends after ten
 * minutes; a connector only says where to send the browser, and whom an answer proves. Tested in login.test.ts.
 */
import type { Traits } from '#schemas/base/identity.js';

/** Whom an answer proves. Roles and traits replace those of the user's last login. */
export interface LoginOutcome {
  /** A name (`isName`); a name that a local user or another connector has is refused. */
  readonly user: string;
  /** Names of roles; one that does not exist refuses the login. */
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** What the certificate says of the second factor, such as `oidc`; null when the provider does not vouch for one. */
  readonly mfa: string | null;
}

/** What the browser brought to the callback, bounded and decoded, each name once. */
export interface BrowserAnswer {
  readonly method: 'GET' | 'POST';
  readonly query: Readonly<Record<string, string>>;
  /** Fields of a form; empty for GET. */
  readonly form: Readonly<Record<string, string>>;
}

export interface AttemptFacts {
  /** Comes back as `state` of the query, or as `RelayState` of the form. */
  readonly state: string;
  /** Where the provider sends the browser: `WEB/api/login/callback/NAME`. */
  readonly callback: string;
}

export interface Connector {
  readonly name: string;
  /** On the button. */
  readonly label: string;
  readonly kind: 'oidc' | 'saml';
  /** Users who decide what its provider says, without administering everything: they can come in as its users. */
  readonly handlers: readonly string[];
  /** `kept`: what `finish` needs again (nonce, code verifier, request id); encrypted at rest, at most 4 KiB. */
  begin(attempt: AttemptFacts): Promise<{ readonly url: string; readonly kept: Readonly<Record<string, string>> }>;
  /** Throws LOGIN_FAILED or another refusal of the catalogue; its detail goes to the audit, not to the browser. */
  finish(answer: BrowserAnswer, kept: Readonly<Record<string, string>>, attempt: AttemptFacts): Promise<LoginOutcome>;
}

/** Asked at every login: connectors may be applied and removed at any time. */
export interface Connectors {
  list(): Promise<readonly Pick<Connector, 'name' | 'label' | 'kind'>[]>;
  find(name: string): Promise<Connector | undefined>;
}
