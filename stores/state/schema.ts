/**
 * The tables of the state store: what Steno decides by, as opposed to what it has seen.
 *
 * Every moment is an integer of milliseconds since 1970-01-01 UTC, in every engine. JSON is text; whoever reads it
 * parses it. Engines give back 64-bit integers as numbers here; all are below 2^53. Yes and no are 1 and 0.
 */
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

/** A key of a CA. `active` signs; `next` is trusted too while a rotation is under way; `retired` is kept to verify what is old. */
export interface CaKeyTable {
  name: 'ssh-user' | 'ssh-host' | 'x509-user' | 'x509-service' | 'recording';
  /** Counts from 1 for each CA. */
  generation: number;
  state: 'active' | 'next' | 'retired';
  /** Where the private key is: sealed beside this, or in a token of PKCS#11. */
  signer: 'sealed' | 'pkcs11';
  /** Public key line, or certificate in PEM for x509. */
  public: string;
  /** Encrypted by the authority before it comes here; null for a key in a token, and once it is retired. */
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
  /** When the last keys began or ceased to sign: what was issued to a service before is to be renewed. */
  switched_at: Moment | null;
  /** Milliseconds from beginning to end when phases follow each other by themselves; null: by hand. */
  grace_ms: number | null;
}

/** The one row says what opens the key that seals everything else. */
export interface CaSealTable {
  id: number;
  kind: 'file' | 'passphrase';
  /** How the passphrase becomes a key; `null` for a file. */
  kdf: Json;
  wrapped: Uint8Array;
  changed_at: Moment;
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

export interface StateSchema {
  users: UserTable;
  roles: RoleTable;
  nodes: NodeTable;
  certificates: CertificateTable;
  ca_keys: CaKeyTable;
  ca_rotations: CaRotationTable;
  ca_seals: CaSealTable;
  sign_in_links: SignInLinkTable;
  web_sessions: WebSessionTable;
  gateways: GatewayTable;
  audit_outbox: AuditOutboxTable;
  locks: LockTable;
}

export type Row<T extends keyof StateSchema> = Selectable<StateSchema[T]>;
export type NewRow<T extends keyof StateSchema> = Insertable<StateSchema[T]>;
export type RowUpdate<T extends keyof StateSchema> = Updateable<StateSchema[T]>;
