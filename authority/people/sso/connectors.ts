/**
 * Single sign-on connectors: stored with their secrets sealed, turned into the interface that logins use, applied and
 * removed.
 *
 * A client secret is accepted with the document and never returned. The key towards a SAML provider is generated when its
 * connector is first applied, and kept when the connector is replaced, so that published metadata stays valid; removing the
 * connector removes it. Tested in connectors.test.ts.
 */
import 'reflect-metadata';
import { X509Certificate, generateKeyPair, webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { X509CertificateGenerator } from '@peculiar/x509';
import { z } from 'zod';
import { summaryOf } from '#schemas/documents/connector.js';
import type { Connector as ConnectorDocument, OidcConnector, SamlConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Sealer } from '../../ca/seal.js';
import type { Connector, Connectors } from '../login/connector.js';
import type { Author, PowerGuard } from '../../power/guard.js';
import type { Records } from '../../records/records.js';
import { listUsers } from '../../records/users.js';
import { ProviderMetadata, beginOidc, finishOidc, oidcLogoutUrl } from './oidc.js';
import { bindSubject, deleteConnector, findConnector, listConnectors, putConnector, takeAssertion } from '../../records/connectors.js';
import { beginSaml, finishSaml, samlMetadata } from './saml.js';
import type { SamlKey, SsoMemory } from './saml.js';

export interface SsoParts {
  readonly records: Records;
  readonly sealer: Sealer;
  readonly clock: () => number;
  readonly guard: PowerGuard;
  /** Base URL of the pages, as browsers reach them. */
  readonly web: string;
}

const MIN_RSA_BITS = 2048;
const CERTIFICATE_MS = 10 * 365 * 86_400_000;
const secretSchema = z.union([
  z.strictObject({ kind: z.literal('oidc'), client_secret: z.string().optional() }),
  z.strictObject({ kind: z.literal('saml'), privateKey: z.string(), certificate: z.string() }),
]);
type Secret = z.output<typeof secretSchema>;

export class SsoConnectors implements Connectors {
  readonly #parts: SsoParts;
  readonly #providers: ProviderMetadata;
  readonly #memory: SsoMemory;

  constructor(parts: SsoParts) {
    this.#parts = parts;
    this.#providers = new ProviderMetadata(parts.clock);
    const { records, clock } = parts;
    this.#memory = {
      firstUse: (connector, id, until) =>
        records.actOn(async (tx) => ({ result: await takeAssertion(tx, connector, id, until), rows: [] })),
      bindSubject: async (connector, subject, user) => {
        const held = await records.actOn(async (tx) => ({
          result: await bindSubject(tx, { user, connector, subject }, clock()),
          rows: [],
        }));
        if (held?.connector !== connector || held.subject !== subject)
          throw new StenoError('SSO_NAME', `${user} is, or was, somebody else; \`steno users release\` frees the name of a removed user`);
      },
    };
  }

  async list(): Promise<readonly Pick<Connector, 'name' | 'label' | 'kind'>[]> {
    return (await this.documents()).map((document) => {
      const { name, kind, display } = summaryOf(document);
      return { name, kind, label: display };
    });
  }

  async find(name: string): Promise<Connector | undefined> {
    const found = await this.#open(name);
    if (found === undefined) return undefined;
    const { document, secret, handlers } = found;
    const { web, clock } = this.#parts;
    const head = { name, label: summaryOf(document).display, kind: document.kind, handlers };
    if (document.kind === 'oidc') {
      const clientSecret = secretOf(secret);
      return {
        ...head,
        begin: (attempt) => beginOidc(document, clientSecret, this.#providers, attempt),
        finish: (answer, kept, attempt) => finishOidc(document, clientSecret, this.#providers, answer, kept, attempt, this.#memory),
      };
    }
    const key = keyOf(secret);
    return {
      ...head,
      begin: (attempt) => Promise.resolve(beginSaml(document, key, web, attempt, clock())),
      finish: (answer, kept, attempt) => finishSaml(document, key, web, answer, kept, attempt, this.#memory, clock()),
    };
  }

  documents(): Promise<readonly ConnectorDocument[]> {
    return this.#parts.records.read(listConnectors);
  }

  async document(name: string): Promise<ConnectorDocument> {
    return (await this.#must(name)).document;
  }

  /**
   * The author of a connector decides who may log in, under which name and with which traits: the author must have the roles
   * that it gives, for any holder, and those of its users, whose accounts the provider can log in to. Throws ACCESS_DENIED,
   * POWER_LACKING.
   */
  async put(given: ConnectorDocument, author: Author): Promise<ConnectorDocument> {
    const { records, sealer, clock, guard } = this.#parts;
    const before = await this.#open(given.name);
    const verb = before === undefined ? 'create' : 'update';
    if (!mayAdminister(author.subject.roles, 'connector', verb))
      throw new StenoError('ACCESS_DENIED', `none of your roles permits to ${verb} connectors`);
    guard.mayMapTo(
      author,
      given.claims_to_roles.flatMap(({ roles }) => roles),
    );
    const kept = before !== undefined && sameProvider(before.document, given) ? before.secret : undefined;
    const [document, secret] =
      given.kind === 'oidc' ? withoutSecret(given, kept) : ([checkedSaml(given), kept ?? (await newSamlKey(given.name, clock()))] as const);
    const now = clock();
    const row = auditRow(now, author, {
      event: 'connector.put',
      target: document.name,
      data: { connector: document, secret: given.kind === 'oidc' && given.client_secret !== undefined ? 'replaced' : 'kept' },
    });
    await records.actOn(async (tx) => {
      const rows = [row];
      // A removed connector leaves its users to the next one of its name.
      for (const user of (await listUsers(tx)).filter(({ connector }) => connector === document.name)) {
        if (author.everything) break;
        guard.mayHand(author, user);
        rows.push(...(await guard.takeOver(tx, author, user, 'keep', `the connector ${document.name} was changed`, now)));
      }
      const handlers = guard.handlersOf(author);
      await putConnector(tx, { document, handlers, sealed: sealer.seal(purpose(document.name), Buffer.from(JSON.stringify(secret))) }, now);
      return { result: undefined, rows };
    });
    return document;
  }

  async remove(name: string, caller: Caller): Promise<void> {
    await this.#parts.records.act([auditRow(this.#parts.clock(), caller, { event: 'connector.delete', target: name })], (tx) =>
      deleteConnector(tx, name),
    );
  }

  /** XML for a SAML provider. */
  async metadata(name: string): Promise<string> {
    const { document, secret } = await this.#must(name);
    if (document.kind !== 'saml') throw new StenoError('CONNECTOR_UNKNOWN', `${name} is not a SAML connector`);
    return samlMetadata(document, keyOf(secret), this.#parts.web, `${this.#parts.web}/api/login/callback/${name}`);
  }

  /** Where a browser that signed out of Steno can sign out of the provider; null if nowhere. */
  async logoutUrl(name: string): Promise<string | null> {
    const found = await this.#open(name);
    if (found?.document.kind !== 'oidc' || !found.document.logout) return null;
    return oidcLogoutUrl(found.document, secretOf(found.secret), this.#providers, `${this.#parts.web}/`);
  }

  /** Whether an unsolicited answer begins a login. */
  async beginsUnasked(name: string): Promise<boolean> {
    const found = await this.#open(name);
    return found?.document.kind === 'saml' && found.document.idp_initiated;
  }

  async #open(
    name: string,
  ): Promise<{ readonly document: ConnectorDocument; readonly secret: Secret; readonly handlers: readonly string[] } | undefined> {
    const stored = isName(name) ? await this.#parts.records.read((db) => findConnector(db, name)) : undefined;
    if (stored === undefined) return undefined;
    return {
      document: stored.document,
      handlers: stored.handlers,
      secret: secretSchema.parse(JSON.parse(this.#parts.sealer.open(purpose(name), stored.sealed).toString('utf8'))),
    };
  }

  async #must(name: string): Promise<{ readonly document: ConnectorDocument; readonly secret: Secret }> {
    const found = await this.#open(name);
    if (found === undefined) throw new StenoError('CONNECTOR_UNKNOWN', name);
    return found;
  }
}

/** A secret is kept only for the provider it was given for: otherwise it would be sent to the new address. */
function sameProvider(before: ConnectorDocument, after: ConnectorDocument): boolean {
  if (before.kind === 'saml') return after.kind === 'saml';
  return after.kind === 'oidc' && before.issuer === after.issuer && before.tls_ca === after.tls_ca;
}

function purpose(name: string): string {
  return `connector/${name}`;
}

function secretOf(secret: Secret): string | undefined {
  return secret.kind === 'oidc' ? secret.client_secret : undefined;
}

function keyOf(secret: Secret): SamlKey {
  if (secret.kind !== 'saml') throw new StenoError('INTERNAL', 'a SAML connector without key');
  return secret;
}

function withoutSecret({ client_secret: given, ...document }: OidcConnector, kept: Secret | undefined): readonly [OidcConnector, Secret] {
  const secret = given ?? (kept === undefined ? undefined : secretOf(kept));
  if (document.client_auth === 'none') return [document, { kind: 'oidc' }];
  if (secret === undefined)
    throw new StenoError('BAD_REQUEST', 'client_secret: is needed for a new connector or another issuer, unless client_auth is none');
  return [document, { kind: 'oidc', client_secret: secret }];
}

/** Expiry dates are ignored, as in SAML: the connector is what declares a key trusted. */
function checkedSaml(document: SamlConnector): SamlConnector {
  document.certificates.forEach((pem, i) => {
    const where = `certificates.${i}`;
    let key;
    try {
      key = new X509Certificate(pem).publicKey;
    } catch {
      throw new StenoError('BAD_REQUEST', `${where}: is not a certificate`);
    }
    const strong =
      key.asymmetricKeyType === 'ec' || (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS);
    if (!strong)
      throw new StenoError('BAD_REQUEST', `${where}: is neither of an EC key nor of an RSA key with ${MIN_RSA_BITS} bits or more`);
  });
  return document;
}

async function newSamlKey(name: string, now: number): Promise<Secret> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 3072 });
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const keys = {
    privateKey: await webcrypto.subtle.importKey('pkcs8', privateKey.export({ type: 'pkcs8', format: 'der' }), algorithm, true, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, true, ['verify']),
  };
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`Steno ${name}`] }],
    notBefore: new Date(now),
    notAfter: new Date(now + CERTIFICATE_MS),
    signingAlgorithm: algorithm,
    keys,
  });
  return {
    kind: 'saml',
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: certificate.toString('pem'),
  };
}
