/**
 * The tables of the state store: the data that decisions are based on, as opposed to observations.
 *
 * Times are integer milliseconds since 1970-01-01 UTC, in every engine. JSON is text, parsed by its readers. 64-bit integers
 * are returned as numbers; all are below 2^53. Booleans are 1 and 0.
 */
import type { FindingState } from '#schemas/events/rows.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { HoneyKind } from '#schemas/documents/honey-token.js';
import type { RuleText } from '#schemas/documents/detection-rule.js';
import type { WebhookEvent } from '#schemas/documents/webhook.js';
import type { Generated, Insertable, Selectable } from 'kysely';
import type { CaseTables } from './case-tables.js';
import type { SharingTables } from './sharing-tables.js';

/** Milliseconds since 1970 UTC. */
type Moment = number;
/** The text of a JSON value. */
type Json = string;

export interface UserTable {
  name: string;
  /** Names of roles, an array. */
  roles: Json;
  created_at: Moment;
  disabled_at: Moment | null;
  /** How the user proves who they are: a password and more, single sign-on, or, for machines, a renewable key. */
  kind: Generated<'local' | 'sso' | 'bot'>;
  /** The connector through which the user signs on; null without single sign-on. */
  connector: Generated<string | null>;
  /** `Traits`. */
  traits: Generated<Json>;
  created_by: Generated<string>;
  /** Argon2id in PHC form; null: no password was set. */
  password_hash: Generated<string | null>;
  password_changed_at: Generated<Moment | null>;
  /** Names of users who could get into the account without administering everything: they created it, reset it, or wrote its connector; an array. */
  handlers: Generated<Json>;
  /** Older data under this name belongs to an earlier holder of the name or account and is not shown to the user as their own. */
  own_since: Generated<Moment | null>;
}

/** A name whose user was removed; the row stays if the name is used again. */
export interface UserNameTable {
  name: string;
  /** Time of the last removal. */
  removed_at: Moment;
  /** When somebody who administers everything released the name; null: it is reserved. */
  released_at: Moment | null;
}

export interface RoleTable {
  name: string;
  /** The role's document as JSON, defaults filled in. */
  document: Json;
  updated_at: Moment;
  /** The YAML as it was written; empty for roles from before there was a text. */
  source: Generated<string>;
  /** Grows by one with every change. */
  revision: Generated<number>;
  updated_by: Generated<string>;
}

export interface NodeTable {
  name: string;
  kind: 'openssh' | 'agent';
  /** `host:port` as the gateway dials it. */
  address: string;
  /** OpenSSH public key lines, an array; empty if the node has a host certificate. */
  host_keys: Json;
  labels: Json;
  created_at: Moment;
  last_seen_at: Moment | null;
  /** 1: the node accepts certificates for `LOGIN@NODE`, and gets no others. */
  node_principals: Generated<number>;
}

export interface CertificateTable {
  /** Assigned by the store and never reused, not even after a row is deleted. */
  serial: Generated<number>;
  kind: 'user' | 'host' | 'x509-user' | 'x509-service' | 'recording';
  key_id: string;
  user: string;
  principals: Json;
  valid_after: Moment;
  valid_before: Moment;
  issued_at: Moment;
  /** The requester and their way in, such as `socket` or an address. */
  source: string;
}

/** A key of a CA. `active` signs; `next` is also trusted during a rotation; `retired` is kept to verify old signatures. */
export interface CaKeyTable {
  name: 'ssh-user' | 'ssh-host' | 'x509-user' | 'x509-service' | 'recording';
  /** Counts from 1 for each CA. */
  generation: number;
  state: 'active' | 'next' | 'retired';
  /** Location of the private key: sealed in this row, or in a PKCS#11 token. */
  signer: 'sealed' | 'pkcs11';
  /** Public key line, or certificate in PEM for x509. */
  public: string;
  /** Encrypted by the authority before it is stored; null for a key in a token, and after it is retired. */
  private_sealed: Uint8Array | null;
  created_at: Moment;
  retired_at: Moment | null;
}

/** A CA without a row is in standby. */
export interface CaRotationTable {
  name: CaKeyTable['name'];
  phase: 'standby' | 'init' | 'update-clients' | 'update-servers' | 'rollback';
  changed_at: Moment;
  changed_by: string;
  /** When the signing key last changed: services must renew certificates issued before that. */
  switched_at: Moment | null;
  /** Duration of an automatic rotation in ms; null: phases are started by hand. */
  grace_ms: number | null;
}

/** A single row: how to open the key that seals everything else. */
export interface CaSealTable {
  id: number;
  kind: 'file' | 'passphrase';
  /** Parameters of the key derivation from the passphrase; `null` for a file. */
  kdf: Json;
  wrapped: Uint8Array;
  changed_at: Moment;
}

export interface SignInLinkTable {
  /** SHA-256 of the secret in the link, lower-case hex; the secret itself is not stored. */
  hash: string;
  user: string;
  expires_at: Moment;
  used_at: Moment | null;
  /** Latest end of the web session: the expiry of the certificate with which the link was requested. */
  session_until: Generated<Moment | null>;
  /** The device of the second factor of that certificate. */
  mfa: Generated<string | null>;
}

export interface WebSessionTable {
  /** SHA-256 of the cookie, lower-case hex. */
  hash: string;
  user: string;
  created_at: Moment;
  expires_at: Moment;
  /** `link`, `local`, or the connector. */
  via: Generated<string>;
  /** The device that confirmed the login as a second factor. */
  mfa: Generated<string | null>;
}

export interface GatewayTable {
  name: string;
  recording_key: string;
  created_at: Moment;
  /** The highest session counter seen. */
  last_counter: number;
}

/** A name or address by which clients dial a gateway; no node may have it. */
export interface GatewayNameTable {
  gateway: string;
  /** In canonical spelling (schemas/base/host-name.ts). */
  name: string;
  /** End of the reservation; each renewal of the gateway's certificates extends it. */
  until: Moment;
}

/** A host key that a gateway presents to clients, as its owner enrolled it. */
export interface GatewayHostKeyTable {
  gateway: string;
  /** SHA-256 of the plain public key blob, lower-case hex. */
  key_hash: string;
}

/** A user's connection for which a session certificate was issued. */
export interface UserProofTable {
  /** SHA-256 of the SSH session id, lower-case hex. */
  hash: string;
  gateway: string;
  login: string;
  node: string;
  seen_at: Moment;
  /** Expiry of the user certificate that proved the connection: it proves nothing afterwards. */
  expires_at: Moment;
}

/** Audit rows that wait for the event store; deleted once stored there. */
export interface AuditOutboxTable {
  id: string;
  row: Json;
  created_at: Moment;
}

export interface LockTable {
  id: string;
  target_kind: Lock['target_kind'];
  target: string;
  reason: string;
  created_by: string;
  created_at: Moment;
  /** null: until it is lifted. */
  expires_at: Moment | null;
}

export interface AccessRequestTable {
  id: string;
  user: string;
  /** The decision; expiry follows from the times. */
  state: 'pending' | 'approved' | 'denied' | 'cancelled' | 'expired' | 'over';
  reason: string;
  /** Array of `GrantItem`. */
  items: Json;
  thresholds: Json;
  /** Maps the name of each role in the items to its revision and document at the time of the request. */
  pins: Generated<Json>;
  created_at: Moment;
  expires_at: Moment;
  /** Milliseconds. */
  duration: number;
  decided_at: Moment | null;
  ends_at: Moment | null;
  /** Grows with each change: a transaction that updates it locks the row until its end, in every engine. */
  version: number;
}

export interface AccessRequestReviewTable {
  request: string;
  reviewer: string;
  decision: 'approve' | 'deny';
  reason: string;
  at: Moment;
  via: string;
}

/** The latest document of each name that administrators applied: webhooks and SIEM destinations. */
export interface DocumentTable {
  name: string;
  document: Json;
  updated_at: Moment;
}

/** A pending webhook message; deleted once it is delivered or given up. */
export interface WebhookOutboxTable {
  id: Generated<number>;
  webhook: string;
  /** Empty if the message is not about a request; `payload` then has its content. */
  request: string;
  payload: Generated<Json | null>;
  event: WebhookEvent;
  created_at: Moment;
  attempts: number;
  next_at: Moment;
}

export interface WebhookReferenceTable {
  webhook: string;
  reference: string;
  request: string;
}

export interface WebhookCallbackTable {
  /** SHA-256 of the signed data, lower-case hex. */
  hash: string;
  expires_at: Moment;
}

export interface RoleHoldingTable {
  user: string;
  role: string;
  since: Moment;
}

/** Decisions of access reviewers; append-only. */
export interface AccessDecisionTable {
  id: Generated<number>;
  user: string;
  role: string;
  decision: 'keep' | 'remove';
  reason: string;
  reviewer: string;
  at: Moment;
}

/** A run of a gateway with counted connections to nodes. */
export interface SessionPlaceHolderTable {
  /** Name of the gateway, a slash, and a random text that the gateway generated at its start. */
  run: string;
  /** Name of the gateway. */
  gateway: string;
  /** Its places count as long as this is recent. */
  seen_at: Moment;
}

/** A connection to a node that counts towards its user's limit. */
export interface SessionPlaceTable {
  run: string;
  /** Unique within the run. */
  number: number;
  user: string;
}

/** Nonces of accepted signed requests; kept only if several authorities share the store. */
export interface RequestNonceTable {
  /** `serial of the certificate:nonce`. */
  nonce: string;
  expires_at: Moment;
}

export interface MfaDeviceTable {
  id: string;
  user: string;
  kind: 'totp' | 'passkey';
  label: string;
  /** Secret of a TOTP device, encrypted by the authority. */
  secret_sealed: Uint8Array | null;
  /** For a passkey: base64url of the credential's id, and its public key in COSE form. */
  credential_id: string | null;
  public_key: Uint8Array | null;
  /** Signature counter of a passkey; for a TOTP device, the last time step whose code was accepted. */
  counter: number;
  transports: Json;
  created_at: Moment;
  last_used_at: Moment | null;
}

export interface RecoveryCodeTable {
  /** SHA-256 of the code, lower-case hex. */
  hash: string;
  user: string;
  used_at: Moment | null;
}

export interface InvitationTable {
  hash: string;
  user: string;
  created_by: string;
  created_at: Moment;
  expires_at: Moment;
  used_at: Moment | null;
}

export interface CeremonyTable {
  hash: string;
  kind: 'totp' | 'passkey' | 'passkey-login';
  user: string | null;
  /** The expected answer: a secret or a challenge, encrypted by the authority. */
  secret_sealed: Uint8Array;
  expires_at: Moment;
}

export interface GuessTable {
  /** `user:NAME`, `source:ADDRESS` and the like. */
  key: string;
  failures: number;
  last_at: Moment;
  blocked_until: Moment;
}

export interface LoginAttemptTable {
  /** SHA-256 of the state that the provider returns. */
  hash: string;
  connector: string;
  /** SHA-256 of the cookie of the browser that started the login. */
  binding: string;
  /** State that the connector expects back, encrypted by the authority. */
  kept_sealed: Uint8Array;
  /** The provider's answer, if it arrived without the cookie. */
  parked: Json | null;
  /** Steno's own path to continue to. */
  next: string;
  expires_at: Moment;
  used_at: Moment | null;
}

export interface DeviceLoginTable {
  /** SHA-256 of the device code. */
  hash: string;
  user_code: string;
  public_key: string;
  /** A TLS key to be certified as well, in SPKI PEM. */
  tls_key: string | null;
  /** The client's description of itself: shown, never trusted. */
  client: string;
  source: string;
  wanted_user: string | null;
  created_at: Moment;
  expires_at: Moment;
  polled_at: Moment | null;
  state: 'waiting' | 'approved' | 'denied' | 'taken';
  user: string | null;
  mfa: string | null;
}

export interface SessionConfirmationTable {
  /** SHA-256 of the code in the address that the user opens. */
  hash: string;
  user: string;
  node: string;
  login: string;
  gateway: string;
  source: string;
  created_at: Moment;
  expires_at: Moment;
  state: 'waiting' | 'approved' | 'denied' | 'taken';
  mfa: string | null;
}

export interface BotTokenTable {
  hash: string;
  bot: string;
  created_by: string;
  expires_at: Moment;
  used_at: Moment | null;
}

export interface BotInstanceTable {
  id: string;
  bot: string;
  /** `type base64` of the key that must sign the next renewal. */
  public_key: string;
  /** Counts renewals; if a copy of the key renews, two requests have the same generation. */
  generation: number;
  /** SHA-256 of the last renewal's attempt id, so that it can be repeated. */
  attempt: string | null;
  joined_at: Moment;
  renewed_at: Moment;
  /** Expiry of the last certificate; no renewal is possible afterwards. */
  expires_at: Moment;
  source: string;
  stopped_at: Moment | null;
}

/** A token that machines join with. */
export interface JoinTokenTable {
  id: string;
  /** base64 of the raw Ed25519 public key; the token is the private key, which is not stored. */
  public_key: string;
  /** Labels that every node gets that joins with it. */
  labels: Json;
  /** Patterns of the labels that such a node may choose itself, an array. */
  node_labels: Json;
  uses_left: number;
  created_by: string;
  created_at: Moment;
  expires_at: Moment;
}

/** Tokens that services join with. */
export interface ServiceTokenTable {
  id: string;
  kind: string;
  /** The only name that may join with it. */
  name: string | null;
  /** base64 of the raw Ed25519 public key; the token is the private key, which is not stored. */
  public_key: string;
  uses_left: number;
  created_by: string;
  created_at: Moment;
  expires_at: Moment;
}

/** Services that joined by token. */
export interface JoinedServiceTable {
  kind: string;
  name: string;
  /** SHA-256 of the service key (SPKI in DER), lower-case hex. */
  key_hash: string;
  /** Id of the token, which may be gone. */
  token: string;
  joined_at: Moment;
  /** From then on it gets no more certificates. */
  removed_at: Moment | null;
}

/** Notices to live sessions, published until they expire. */
export interface SessionNoticeTable {
  id: string;
  session: string;
  text: string;
  created_by: string;
  expires_at: Moment;
}

/** Kubernetes clusters that gateways serve; address and credential are sealed. */
export interface KubeClusterTable {
  name: string;
  labels: string;
  revision: Moment;
  upstream_sealed: Buffer;
  created_by: string;
  updated_at: Moment;
}

/** Nonces issued for joins and not used yet. */
export interface JoinNonceTable {
  nonce: string;
  expires_at: Moment;
}

/** Internal record of a node that joined by token; its public record is in `nodes`. */
export interface JoinedNodeTable {
  node: string;
  /** Id of the token, which may be gone. */
  token: string;
  /** The node's service key: base64 of its SPKI in DER. */
  service_key: string;
  /** Its SHA-256, lower-case hex. */
  key_hash: string;
  ssh: 'service' | 'openssh' | 'kubernetes' | 'pods';
  token_labels: Json;
  node_labels: Json;
  /** The node's latest report about itself, restricted to the fields that it may report. */
  own_labels: Json;
  joined_at: Moment;
  /** The time of its last report; older ones are ignored. */
  said_at: Moment;
}

/** Keys of removed services, as long as a certificate for them may be valid. */
export interface RemovedServiceTable {
  /** As in `joined_services`. */
  key_hash: string;
  /** `kind/name`. */
  service: string;
  until: Moment;
}

/** Holders of connections to nodes: gateways hold tunnels, authorities hold watches of agents. */
export interface NodeHolderTable {
  /** Name of a service, `gateway/name`. */
  holder: string;
  /** The holder's run; links of an earlier run are void. */
  epoch: string;
  /** `host:port` at which agents reach it; empty for authorities. */
  address: string;
  /** `ingest/name` of the ingest that receives a gateway's recordings; empty if none. */
  ingest: Generated<string>;
  seen_at: Moment;
}

export interface NodeLinkTable {
  node: string;
  holder: string;
  since: Moment;
}

export interface TrustedClusterTable {
  name: string;
  /** A `TrustedCluster`. */
  document: Json;
  created_by: string;
  created_at: Moment;
  updated_at: Moment;
}

/** A single row: this cluster's own statement, without its keys. */
export interface OwnClusterTable {
  id: number;
  /** `host:port`, an array. */
  gateways: Json;
  updates: string | null;
}

export interface ConnectorTable {
  name: string;
  /** The document without its secrets. */
  document: Json;
  /** A client secret, or the key towards a SAML provider; JSON, encrypted by the authority. */
  secret_sealed: Uint8Array;
  updated_at: Moment;
  /** As for users: whoever controls a provider can log in as its users. */
  handlers: Generated<Json>;
}

export interface SsoAssertionTable {
  /** SHA-256 of connector and id of an accepted assertion. */
  hash: string;
  /** From then on the assertion would be refused as expired. */
  expires_at: Moment;
}

export interface SsoSubjectTable {
  user: string;
  connector: string;
  /** The provider's permanent identifier of the person. */
  subject: string;
  bound_at: Moment;
}

/** Detection rules; the text of each version is in `rule_versions`. */
export interface RuleTable {
  id: string;
  kind: RuleText['kind'];
  title: string;
  level: RuleText['level'];
  version: number;
  enabled: number;
}

/** Versions of rules and, under `#NAME/IMPORT`, the pieces of a list of hashes (authority/detection/hashes.ts). */
export interface RuleVersionTable {
  rule: string;
  version: number;
  text: string;
  /** A `RuleOrigin`. */
  origin: Json;
  by: string;
  at: Moment;
}

/** A single row; its version grows with any change of a rule. */
export interface RuleSetTable {
  id: number;
  version: number;
}

/** A text that analyzers look for in sessions. */
export interface HoneyTokenTable {
  id: string;
  kind: HoneyKind;
  note: string;
  text: string;
  created_by: string;
  created_at: Moment;
}

/** An analyzer's latest report about a stored rule and, under `@ID`, about each rule that it evaluates (authority/detection/rule-catalogue.ts). */
export interface RuleReportTable {
  rule: string;
  version: number;
  state: 'loaded' | 'lacking' | 'refused';
  /** Text for people; under `@ID` a `CatalogueFacts` as JSON. */
  detail: string;
  /** The last reporter's. `rule_counts` has those of every analyzer, but not those reported to an authority of before that table. */
  hits: number;
  at: Moment;
}

/** One analyzer's counts of a rule since it started (authority/records/detection/rule-counts.ts). */
export interface RuleCountTable {
  rule: string;
  /** `analyzer/NAME`. */
  analyzer: string;
  hits: number;
  observations: number;
  cost_us: number;
}

export interface SuppressionTable {
  id: string;
  /** A `SuppressionScope`. */
  scope: Json;
  reason: string;
  created_by: string;
  created_at: Moment;
  expires_at: Moment;
  hits: number;
}

/** Announced findings, so that each is announced once. */
export interface AnnouncedFindingTable {
  finding: string;
  at: Moment;
}

/** The latest decision about a finding. */
export interface FindingStateTable {
  finding: string;
  state: FindingState;
  /** Counts from 1. */
  version: number;
  /** A user, or `suppression/ID`. */
  by: string;
  at: Moment;
}

export type ChangeKind =
  | 'nodes'
  | 'roles'
  | 'locks'
  | 'notices'
  | 'invitations'
  | 'requests'
  | 'clusters'
  | 'kube_clusters'
  | 'names'
  | 'cas'
  | 'services'
  | 'rules'
  | 'siem';

/** Changes of published data, in order (directory-changes.ts). */
export interface DirectoryChangeTable {
  id: Generated<number>;
  kind: ChangeKind;
  key: string;
}

/** The current holder of a piece of background work (stores/leases). The row is deleted when the work is done. */
export interface LeaseTable {
  /** Greater than the token of every earlier lease, of any name. */
  token: Generated<number>;
  name: string;
  /** One run of one process. */
  holder: string;
  expires_at: Moment;
}

/** Reports that a gateway has applied a lock, with the connections and sessions that it ended. */
export interface LockEffectTable {
  lock: string;
  gateway: string;
  connections: number;
  sessions: number;
  applied_at: Moment;
}

export interface StateSchema extends CaseTables, SharingTables {
  directory_changes: DirectoryChangeTable;
  leases: LeaseTable;
  lock_effects: LockEffectTable;
  access_requests: AccessRequestTable;
  access_request_reviews: AccessRequestReviewTable;
  webhooks: DocumentTable;
  siem_destinations: DocumentTable;
  webhook_outbox: WebhookOutboxTable;
  webhook_references: WebhookReferenceTable;
  webhook_callbacks: WebhookCallbackTable;
  access_decisions: AccessDecisionTable;
  role_holdings: RoleHoldingTable;
  users: UserTable;
  user_names: UserNameTable;
  roles: RoleTable;
  nodes: NodeTable;
  certificates: CertificateTable;
  ca_keys: CaKeyTable;
  ca_rotations: CaRotationTable;
  ca_seals: CaSealTable;
  sign_in_links: SignInLinkTable;
  web_sessions: WebSessionTable;
  gateways: GatewayTable;
  gateway_names: GatewayNameTable;
  gateway_host_keys: GatewayHostKeyTable;
  user_proofs: UserProofTable;
  audit_outbox: AuditOutboxTable;
  locks: LockTable;
  join_tokens: JoinTokenTable;
  join_nonces: JoinNonceTable;
  joined_nodes: JoinedNodeTable;
  service_tokens: ServiceTokenTable;
  joined_services: JoinedServiceTable;
  removed_services: RemovedServiceTable;
  session_notices: SessionNoticeTable;
  kube_clusters: KubeClusterTable;
  finding_states: FindingStateTable;
  rules: RuleTable;
  rule_versions: RuleVersionTable;
  rule_set: RuleSetTable;
  honey_tokens: HoneyTokenTable;
  rule_reports: RuleReportTable;
  rule_counts: RuleCountTable;
  suppressions: SuppressionTable;
  announced_findings: AnnouncedFindingTable;
  node_holders: NodeHolderTable;
  node_links: NodeLinkTable;
  request_nonces: RequestNonceTable;
  session_place_holders: SessionPlaceHolderTable;
  session_places: SessionPlaceTable;
  trusted_clusters: TrustedClusterTable;
  own_cluster: OwnClusterTable;
  mfa_devices: MfaDeviceTable;
  recovery_codes: RecoveryCodeTable;
  invitations: InvitationTable;
  ceremonies: CeremonyTable;
  guesses: GuessTable;
  login_attempts: LoginAttemptTable;
  device_logins: DeviceLoginTable;
  session_confirmations: SessionConfirmationTable;
  bot_tokens: BotTokenTable;
  bot_instances: BotInstanceTable;
  connectors: ConnectorTable;
  sso_assertions: SsoAssertionTable;
  sso_subjects: SsoSubjectTable;
}

export type Row<T extends keyof StateSchema> = Selectable<StateSchema[T]>;
export type NewRow<T extends keyof StateSchema> = Insertable<StateSchema[T]>;
