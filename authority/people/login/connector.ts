/**
 * The interface of single sign-on connectors, and a browser's path through one.
 *
 *     page ──start──► attempt kept, browser sent to `url` with `state` ──► provider ──► callback ──► `finish` ──► web session
 *
 * The attempt is bound to the browser that began it (a cookie, stored as SHA-256), can be used once and expires after ten
 * minutes; a connector only decides where to send the browser, and which user an answer proves. Tested in login.test.ts.
 */
import type { Traits } from '#schemas/base/identity.js';

/** The user proved by an answer. Roles and traits replace those of the user's last login. */
export interface LoginOutcome {
  /** A valid name (`isName`); names of local users or of another connector's users are refused. */
  readonly user: string;
  /** Role names; one that does not exist refuses the login. */
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** The certificate's statement about the second factor, such as `oidc`; null if the provider does not vouch for one. */
  readonly mfa: string | null;
}

/** The browser's input to the callback, limited and decoded, each name once. */
export interface BrowserAnswer {
  readonly method: 'GET' | 'POST';
  readonly query: Readonly<Record<string, string>>;
  /** Form fields; empty for GET. */
  readonly form: Readonly<Record<string, string>>;
}

export interface AttemptFacts {
  /** Returned as `state` of the query, or `RelayState` of the form. */
  readonly state: string;
  /** Redirect target for the provider: `WEB/api/login/callback/NAME`. */
  readonly callback: string;
}

export interface Connector {
  readonly name: string;
  /** Text of the button. */
  readonly label: string;
  readonly kind: 'oidc' | 'saml';
  /** Users who control the provider's statements without administering everything: they can log in as its users. */
  readonly handlers: readonly string[];
  /** `kept`: values that `finish` needs (nonce, code verifier, request id); encrypted at rest, at most 4 KiB. */
  begin(attempt: AttemptFacts): Promise<{ readonly url: string; readonly kept: Readonly<Record<string, string>> }>;
  /** Throws LOGIN_FAILED or another catalogued refusal; its detail goes to the audit, not to the browser. */
  finish(answer: BrowserAnswer, kept: Readonly<Record<string, string>>, attempt: AttemptFacts): Promise<LoginOutcome>;
}

/** Consulted at every login: connectors may change at any time. */
export interface Connectors {
  list(): Promise<readonly Pick<Connector, 'name' | 'label' | 'kind'>[]>;
  find(name: string): Promise<Connector | undefined>;
}
