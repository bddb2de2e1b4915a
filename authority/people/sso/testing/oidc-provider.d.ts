/** The part of oidc-provider 9, an OpenID provider without types, that the tests use. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  export interface ProviderConfiguration {
    readonly clients: readonly Readonly<Record<string, unknown>>[];
    readonly jwks?: { readonly keys: readonly object[] };
    readonly claims?: Readonly<Record<string, readonly string[]>>;
    readonly scopes?: readonly string[];
    readonly conformIdTokenClaims?: boolean;
    readonly findAccount: (ctx: unknown, id: string) => { readonly accountId: string; claims(): Readonly<Record<string, unknown>> };
    readonly features?: Readonly<Record<string, { readonly enabled: boolean }>>;
    readonly pkce?: { required(): boolean };
    readonly cookies?: { readonly keys: readonly string[] };
    readonly ttl?: Readonly<Record<string, number>>;
  }

  export default class Provider {
    constructor(issuer: string, configuration: ProviderConfiguration);
    callback(): (request: IncomingMessage, response: ServerResponse) => void;
    on(event: string, listener: (...facts: unknown[]) => void): this;
  }
}
