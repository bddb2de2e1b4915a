/**
 * The tables of the state store: what Steno decides by, as opposed to what it has seen.
 *
 * Every moment is an integer of milliseconds since 1970-01-01 UTC, in every engine. JSON is text; whoever reads it
 * parses it. Engines give back 64-bit integers as numbers here; all are below 2^53. Yes and no are 1 and 0.
 */
import type { WebhookEvent } from '#schemas/webhook.js';
import type { Generated, Insertable, Selectable, Updateable } from 'kysely';

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
}

export interface RoleTable {
  name: string;
  /** The role's document as JSON. */
  document: Json;
  updated_at: Moment;
}

export interface NodeTable {
  name: string;
  kind: 'openssh' | 'agent';
  /** `host:port` as the gateway dials it. */
  address: string;
  /** OpenSSH public key lines, an array; empty when the node has a host certificate. */
  host_keys: Json;
  labels: Json;
  created_at: Moment;
  last_seen_at: Moment | null;
}

export interface CertificateTable {
  /** Given out by the store, never twice, not even after a row is deleted. */
  serial: Generated<number>;
  kind: 'user' | 'host' | 'x509-user' | 'x509-service' | 'recording';
  key_id: string;
  user: string;
  principals: Json;
  valid_after: Moment;
  valid_before: Moment;
  issued_at: Moment;
  /** Who asked and how, such as `socket` or an address. */
  source: string;
}

export interface AuthorityTable {
  name: 'ssh-user' | 'ssh-host' | 'x509-service' | 'recording';
  phase: 'init' | 'update-clients' | 'update-servers' | 'standby';
  public: string;
  /** Encrypted by the authority before it comes here. */
  private_sealed: Uint8Array;
  created_at: Moment;
}

export interface SignInLinkTable {
  /** SHA-256 of the secret in the link, lower-case hex; the secret itself is nowhere stored. */
  hash: string;
  user: string;
  expires_at: Moment;
  used_at: Moment | null;
}

export interface WebSessionTable {
  /** SHA-256 of the cookie, lower-case hex. */
  hash: string;
  user: string;
  created_at: Moment;
  expires_at: Moment;
}

export interface GatewayTable {
  name: string;
  recording_key: string;
  created_at: Moment;
  /** The highest session counter seen of it. */
  last_counter: number;
}

/** Audit rows that wait for the event store; deleted once they are there. */
export interface AuditOutboxTable {
  id: string;
  row: Json;
  created_at: Moment;
}

export interface LockTable {
  id: string;
  target_kind: 'user' | 'role' | 'login' | 'node' | 'session' | 'request' | 'mfa-device';
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
  /** What was decided; that time has passed is said by the moments. */
  state: 'pending' | 'approved' | 'denied' | 'cancelled' | 'expired' | 'over';
  reason: string;
  /** Array of `GrantItem`. */
  items: Json;
  thresholds: Json;
  created_at: Moment;
  expires_at: Moment;
  /** Milliseconds. */
  duration: number;
  decided_at: Moment | null;
  ends_at: Moment | null;
  /** Grows with each change: who updates it holds the row until the end of the transaction, in every engine. */
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

export interface WebhookTable {
  name: string;
  document: Json;
  updated_at: Moment;
}

/** What has to be told to a webhook; deleted once it was taken or given up. */
export interface WebhookOutboxTable {
  id: Generated<number>;
  webhook: string;
  request: string;
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
  /** SHA-256 of what was signed, lower-case hex. */
  hash: string;
  expires_at: Moment;
}

/** What reviewers of access decided; nothing is ever changed here. */
export interface AccessDecisionTable {
  id: Generated<number>;
  user: string;
  role: string;
  decision: 'keep' | 'remove';
  reason: string;
  reviewer: string;
  at: Moment;
}

export interface StateSchema {
  access_requests: AccessRequestTable;
  access_request_reviews: AccessRequestReviewTable;
  webhooks: WebhookTable;
  webhook_outbox: WebhookOutboxTable;
  webhook_references: WebhookReferenceTable;
  webhook_callbacks: WebhookCallbackTable;
  access_decisions: AccessDecisionTable;
  users: UserTable;
  roles: RoleTable;
  nodes: NodeTable;
  certificates: CertificateTable;
  authorities: AuthorityTable;
  sign_in_links: SignInLinkTable;
  web_sessions: WebSessionTable;
  gateways: GatewayTable;
  audit_outbox: AuditOutboxTable;
  locks: LockTable;
}

export type Row<T extends keyof StateSchema> = Selectable<StateSchema[T]>;
export type NewRow<T extends keyof StateSchema> = Insertable<StateSchema[T]>;
export type RowUpdate<T extends keyof StateSchema> = Updateable<StateSchema[T]>;
