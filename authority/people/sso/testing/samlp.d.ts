/** The part of samlp 8, a SAML identity provider without types, that the tests use. */
declare module 'samlp' {
  export interface SamlpOptions {
    readonly issuer: string;
    readonly cert: string;
    readonly key: string;
    readonly audience?: string;
    readonly recipient?: string;
    readonly destination?: string;
    readonly inResponseTo?: string;
    readonly lifetimeInSeconds?: number;
    readonly signatureAlgorithm?: 'rsa-sha1' | 'rsa-sha256';
    readonly digestAlgorithm?: 'sha1' | 'sha256';
    readonly signAssertion?: boolean;
    readonly signResponse?: boolean;
    readonly authnContextClassRef?: string;
    readonly encryptionCert?: string;
    readonly encryptionPublicKey?: string;
    readonly encryptionAlgorithm?: string;
    readonly disallowEncryptionWithInsecureAlgorithm?: boolean;
    readonly warnOnInsecureEncryptionAlgorithm?: boolean;
    readonly samlStatusCode?: string;
    readonly signatureNamespacePrefix?: string;
    readonly profileMapper: (user: unknown) => {
      getClaims(): Readonly<Record<string, string | readonly string[]>>;
      getNameIdentifier(): { readonly nameIdentifier: string; readonly nameIdentifierFormat?: string };
    };
  }
  export interface AuthnRequestFacts {
    readonly issuer?: string;
    readonly id?: string;
    readonly assertionConsumerServiceURL?: string;
    readonly destination?: string;
  }
  const samlp: {
    getSamlResponse(options: SamlpOptions, user: unknown, done: (error: Error | null, response: string) => void): void;
    /** `query`: of the request; `url`: as received, from which the signed text is taken. */
    parseRequest(
      request: {
        readonly method: string;
        readonly query: Readonly<Record<string, string>>;
        readonly originalUrl?: string;
        readonly url?: string;
      },
      options: { readonly signingCert?: string },
      done: (error: Error | null, facts?: AuthnRequestFacts) => void,
    ): void;
  };
  export default samlp;
}
