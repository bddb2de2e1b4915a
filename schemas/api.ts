/**
 * The HTTP interfaces: what viewer/api answers to browsers and to the `steno` command, and what the authority answers
 * to services and to the command. Times are ms since 1970, offsets ms of session time. Errors are `ApiError` with the
 * status of the catalogue.
 *
 * viewer/api (cookie of a web session, or a signed request):
 *   POST /api/sign-in {token}            one-time link → cookie           POST /api/sign-out
 *   GET  /api/me                         Me
 *   GET  /api/sessions?user&node&login&kind&state&request&from&to&before&limit    SessionList, newest first
 *   GET  /api/sessions/:id               SessionInfo
 *   GET  /api/sessions/:id/opening?at    what a page shows first, in one answer (opening.ts)
 *   GET  /api/sessions/:id/segments      SegmentIndex
 *   GET  /api/sessions/:id/segments/:n   text/plain: asciicast v3 event lines of segment n (no header), keyframe first
 *   GET  /api/sessions/:id/live?after=B  WebSocket: text messages, each some event lines, from after block B on
 *   GET  /api/sessions/:id/facts         SessionFact[]: files, forwards, gaps, participants, from the event store
 *   GET  /api/sessions/:id/events?kinds&only=changes|tree&after&limit   KernelEventList: what the node's kernel told, in order
 *   GET  /api/sessions/:id/export?format=cast.zst|cast|txt|json
 *   GET  /api/recording-ca               RecordingCa: what a page checks recordings with
 *   GET  /api/search?q&mode=words|substring|regex&user&node&login&session&from&to&before&limit   SearchResult
 *   GET  /api/audit?event&actor&outcome&from&to&before&limit                AuditRow[] (view: all only)
 *   GET  /api/status                     StatusReport
 *   …    /api/requests…                  as /v1/requests… of the authority, for the cookie's user
 *   POST /hooks/:name                    what a webhook answers, as it was signed
 *   …    /api/login/…, /api/invitation/…, /api/account/…, /api/confirm/…   passed on to the authority's paths of the same names
 * authority (mutual TLS for services, signed request for the command, Unix socket for the owner of the machine):
 *   POST /v1/login {public_key}          socket only → LoginResult        POST /v1/enroll  socket only → Enrolment
 *   POST /v1/sign-in-link                socket or signed → {url_token, expires_at}
 *   GET  /v1/nodes                       NodeRecord[]       PUT /v1/nodes/:name   DELETE /v1/nodes/:name   (administer)
 *   GET  /v1/roles                       Role[]             PUT /v1/roles/:name   (administer)
 *   POST /v1/requests NewAccessRequest   signed, or a viewer for a web session → AccessRequest   GET → RequestView[]
 *   GET  /v1/requests/:id                RequestView   POST /v1/requests/:id/review {decision, reason}   POST …/cancel {reason}
 *   GET  /v1/request-options             RequestOptions
 *   POST /v1/request-certificate {public_key, tls_key?, requests}   signed → LoginResult
 *   GET  /v1/webhooks                    Webhook[]          PUT, DELETE /v1/webhooks/:name   (administer)
 *   POST /v1/webhooks/:name/answer       viewer: an answer as it came
 *   POST /v1/renew RenewalRequest        service → Enrolment
 *   PUT  /v1/nodes/self NodeRegistration agent → NodeRecord
 *   GET  /v1/locks                       LockRecord[]       PUT, DELETE /v1/locks/:id   (administer)
 *   POST /v1/host-certificate {public_key, name, ttl?} → {certificate}   (administer, node:update, a gateway, or the node itself)
 *   POST /v1/session-certificate SessionCertificateRequest  gateway → {certificate}
 *   POST /v1/session-places PlaceRequest, PUT PlaceReport   gateway → {known}
 *   POST /v1/sign-in {token}             viewer → WebIdentity
 *   GET  /v1/web-session                 viewer → WebIdentity, DELETE ends it; the token in `x-steno-web-session`
 *   GET  /v1/users UserInfo[], POST {name, roles, traits} → Invitation; GET, PUT, DELETE /v1/users/:name; POST …/disable, /enable, /reset
 *   GET  /v1/bots BotInfo[], POST → BotToken; POST …/:name/token, /reset; POST /v1/bots/renew  signed by the bot → BotLogin
 *   POST /v1/session-confirmations SessionConfirmationRequest   gateway → SessionConfirmation; …/state {token}
 *   …    /v1/login/…, /v1/invitation/…, /v1/account/…, /v1/confirm/…, /v1/bots/join   viewer, for whom `x-steno-client` names
 *   WS   /v1/watch                       Snapshot on every change, to services
 *   GET  /v1/nodes                       NodeStatus[] of the nodes the caller may reach; GET /v1/users/:name/nodes of theirs
 *   GET  /v1/cluster-nodes              ClusterNodes[] of the caller; POST signed question → signed answer (viewer, for another cluster)
 *   /v1/tokens, /v1/access-review, /v1/access-decisions   declared in api/
 *   POST /v1/nodes/challenge, /v1/nodes/join, /v1/nodes/signed, PUT /v1/nodes/held   gateway, for nodes behind tunnels (schemas/join.ts)
 *   GET  /v1/trust                       TrustReport        GET /v1/ca  CaReport[]   (any user)
 *   PUT  /v1/ca/:name/rotation {phase, force?} | {grace_ms}   → CaReport (administer)
 *   POST /v1/ca-seal {kind: file} | {kind: passphrase, passphrase}   socket only
 */
import type { Forwarding } from './policy/forwarding.js';
import type { TrustedCluster } from './documents/cluster.js';
import type { KubeClusterRecord } from './kube/kube-cluster.js';
import type { Grant } from './documents/access-request.js';
import type { ServiceKind, Traits } from './base/identity.js';
import type { NodeRecord, Role } from './policy/role.js';
import type { SessionKind } from './recording/line.js';
import type { SessionNotice } from './session-notice.js';

/** In which a viewer tells the authority whose request it passes on; believed of viewers only. */
export const CLIENT_ADDRESS_HEADER = 'x-steno-client';

export interface ApiError {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string; readonly detail?: string };
}

export interface Me {
  readonly user: string;
  readonly roles: readonly string[];
  /** `some`: it depends on the session. */
  readonly view: 'all' | 'own' | 'some' | 'none';
  /** May read the audit log. */
  readonly audit: boolean;
}

export type SessionState = 'live' | 'ended' | 'sealed' | 'interrupted';

export interface SessionInfo {
  readonly id: string;
  readonly kind: SessionKind;
  readonly state: SessionState;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly gateway: string;
  readonly source_address: string;
  readonly client_version: string;
  readonly command: string;
  readonly tty: boolean;
  readonly cols: number;
  readonly rows: number;
  readonly started_at: number;
  readonly ended_at: number | null;
  /** Session time of the last line. */
  readonly duration: number;
  readonly exit_code: number | null;
  readonly exit_signal: string | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly recording_bytes: number;
  readonly stored_bytes: number;
  /** Access requests that it was under. */
  readonly requests: readonly string[];
}

/** Rows of recordings are being computed again: until then lists and searches are incomplete. */
export interface IndexProgress {
  /** Recordings, all of them as far as they were counted; 0 for who may not know how many there are. */
  readonly done: number;
  readonly total: number;
  /** Whether kernel events and audit rows from before were lost: no recording holds them. */
  readonly lost: boolean;
  /** It stopped; the next start goes on. */
  readonly failed: boolean;
}

export interface SessionList {
  readonly sessions: readonly SessionInfo[];
  /** Not there when all rows are. */
  readonly incomplete?: IndexProgress;
  /** Pass as `before` for the next page; null at the end. */
  readonly next: string | null;
}

export interface RecordingCa {
  /** Public key lines, the active one and those of a rotation or of the past. */
  readonly keys: readonly string[];
}

export interface SegmentIndex {
  readonly session: string;
  readonly cols: number;
  readonly rows: number;
  readonly duration: number;
  readonly live: boolean;
  /** Last durable block: where the live socket goes on. */
  readonly block: number;
  /** In order, without holes. `start`, `end`: offsets; `first_block`: block of the first line; `cols`, `rows` at start. */
  readonly segments: readonly { readonly n: number; readonly start: number; readonly end: number; readonly first_block: number }[];
  readonly markers: readonly { readonly at: number; readonly label: string; readonly kind: 'gap' | 'file' | 'participant' | 'marker' }[];
}

export interface SearchHit {
  readonly session: string;
  /** Offset in ms at which the line first appeared. */
  readonly time: number;
  /** Wall clock. */
  readonly at: number;
  readonly row: number;
  readonly text: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  /** Lines seen just before and after, for context; at most two each. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** Path of the viewer that opens the replay at this moment. */
  readonly link: string;
}

export interface SearchResult {
  readonly hits: readonly SearchHit[];
  readonly next: string | null;
}

export interface SessionFact {
  readonly at: number;
  readonly offset: number;
  readonly kind: string;
  readonly data: unknown;
}

export interface KernelEventInfo {
  /** Where it stands among the session's events: pass the last one as `after` to go on. */
  readonly place: string;
  readonly at: number;
  /** ms of session time. */
  readonly offset: number;
  readonly kind: string;
  readonly path: string;
  readonly size: number | null;
  readonly sha256: string;
  readonly address: string;
  readonly port: number | null;
  readonly name: string;
  readonly reason: string;
  readonly outcome: string;
  readonly count: number | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface KernelEventList {
  readonly events: readonly KernelEventInfo[];
  /**
   * Gaps of the kernel events that the session's recording tells of, in its order: signed by the gateway, and outside the
   * order of `events`, since a node's rows stand behind all of a recording's. All that there are now, with each page.
   */
  readonly gaps: readonly KernelEventInfo[];
  /** Whether there are more behind the last one, now. */
  readonly more: boolean;
}

export const queueNames = ['sealing', 'indexing', 'storing', 'rows', 'kernel'] as const;
export type QueueName = (typeof queueNames)[number];
export type QueueUnit = 'sessions' | 'bytes' | 'rows' | 'batches';

/** Work in the background: how much of it waits, what is under way included. */
export interface QueueReport {
  readonly name: QueueName;
  readonly unit: QueueUnit;
  readonly waiting: number;
  /** Since it last was empty. */
  readonly done: number;
  /** Since the start of the process. */
  readonly total: number;
  /** ms since 1970, since when it has not been empty; null when nothing waits. */
  readonly since: number | null;
}

export interface StatusReport {
  readonly version: string;
  /** Only for who may view every session: their number says something of others'. */
  readonly queues: readonly QueueReport[];
  readonly sessions_live: number;
  readonly sessions_total: number;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

export interface LoginResult {
  readonly user: string;
  readonly roles: readonly string[];
  readonly logins: readonly string[];
  /** Access requests whose grants the certificate carries. */
  readonly requests: readonly string[];
  /** One public key line: the user certificate. */
  readonly certificate: string;
  readonly valid_before: number;
  /** What this Steno is called: its gateways are known by it (`gatewayPrincipal`). */
  readonly cluster: string;
  readonly ssh_host_ca: readonly string[];
  readonly ssh_user_ca: readonly string[];
  /** Of all recordings there are, also of keys that are retired. */
  readonly recording_ca: readonly string[];
  /** Certificates in PEM, one after the other. */
  readonly service_ca_pem: string;
  readonly x509_user_ca_pem: string;
  /** PEM: client certificate for the key that the request gave as `tls_key`, as short-lived as the other. */
  readonly x509_certificate?: string;
}

export interface Enrolment {
  /** PEM: x509 certificate of the service; and the roots to trust, one after the other. */
  readonly service_certificate: string;
  readonly service_ca: string;
  /** Public key lines. */
  readonly host_certificate?: string;
  readonly recording_certificate?: string;
}

export interface EnrolRequest {
  readonly kind: ServiceKind;
  readonly name: string;
  /** SPKI PEM of the x509 key. */
  readonly service_key: string;
  /** Public key lines. */
  readonly host_key?: string;
  readonly recording_key?: string;
  /** Names that the host certificate shall cover beside the service's own; host names or addresses, at most 32. */
  readonly host_names?: readonly string[];
  /** Of a gateway: public key lines of the host keys of other kinds that it shows, at most 8. */
  readonly more_host_keys?: readonly string[];
}

/** Over mutual TLS, the caller's certificate saying who it is. `host_certificate`: the one to be renewed, same names. */
export interface RenewalRequest {
  readonly service_key: string;
  readonly host_key?: string;
  readonly host_certificate?: string;
  readonly recording_key?: string;
}

/** What an agent says of its own node; the name is that of its certificate. */
export interface NodeRegistration {
  /** `host:port`. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** As `type base64`. */
  readonly host_keys: readonly string[];
  /** It takes session certificates for `LOGIN@NODE`, and needs no others. */
  readonly node_principals?: boolean;
}

/**
 * That the user of a certificate is connecting to the gateway: what they signed there to be let in. Their certificate
 * belongs to what is signed (schemas/ssh/user-auth.ts) and stands in the request.
 */
export interface UserProof {
  /** base64: of the SSH connection, 32 to 64 bytes. */
  readonly session_id: string;
  readonly user_name: string;
  /** As the client named it; for RSA it says the hash. */
  readonly algorithm: string;
  /** base64: the signature blob. */
  readonly signature: string;
  /** base64: the host key that the client was shown, where the client signed it. */
  readonly host_key?: string;
}

export interface SessionCertificateRequest {
  readonly user: string;
  readonly login: string;
  readonly node: string;
  readonly public_key: string;
  /** base64 of the certificate the user was admitted with: the authority checks it again. */
  readonly user_certificate: string;
  readonly source_address: string;
  readonly proof: UserProof;
  /** Where the policy asks for a second factor: the token of its approval. */
  readonly confirmation?: string;
}

export const caPhases = ['standby', 'init', 'update-clients', 'update-servers', 'rollback'] as const;
export type CaPhase = (typeof caPhases)[number];

/** Keys of the CAs that count: one each, or two while a CA is rotated, the older first. */
export interface CaTrust {
  /** Public key lines. */
  readonly ssh_user_ca: readonly string[];
  readonly ssh_host_ca: readonly string[];
  readonly recording_ca: readonly string[];
  /** Of old recordings: what they certify is verified, no new certificate of theirs is accepted. */
  readonly recording_ca_retired: readonly string[];
  /** Certificates in PEM. */
  readonly x509_user_ca: readonly string[];
  readonly service_ca: readonly string[];
  /** Which of them signs for services now: what another has signed is to be renewed. `authority`: its own certificate. */
  readonly signing: { readonly ssh_host: string; readonly recording: string; readonly service: string; readonly authority: string };
}

export interface Snapshot extends CaTrust {
  readonly version: number;
  readonly roles: readonly Role[];
  readonly nodes: readonly NodeRecord[];
  readonly locks: readonly Lock[];
  /** Words to live sessions. */
  readonly notices: readonly SessionNotice[];
  /** Services that were removed before their certificates ran out, ms since 1970: what counts is the key, SHA-256 of the SPKI in hex. */
  readonly removed_services: readonly { readonly key: string; readonly service: string; readonly until: number }[];
  /** Our own name among clusters, and those we trust. */
  readonly cluster: string;
  readonly clusters: readonly TrustedCluster[];
  /** Kubernetes clusters, without how they are reached. */
  readonly kube_clusters: readonly KubeClusterRecord[];
  /** Of approved access requests, as long as they last. */
  readonly grants: readonly Grant[];
  /** Approved requests that a changed role makes void (access-request.ts). */
  readonly void_grants: readonly { readonly id: string; readonly user: string; readonly changed: readonly string[] }[];
  /** Users whose name another had before, and since when it is theirs, ms since 1970. */
  readonly names_since: Readonly<Record<string, number>>;
  /** Users whose account, or name, was in other hands, and since when what is under the name is theirs to see as their own. */
  readonly own_since: Readonly<Record<string, number>>;
}

export interface Lock {
  readonly id: string;
  readonly target_kind: 'user' | 'role' | 'login' | 'node' | 'session' | 'session-input' | 'request' | 'mfa-device';
  readonly target: string;
  readonly reason: string;
  readonly expires_at: number | null;
}

/** As `GET /v1/locks` lists them. */
export interface LockRecord extends Lock {
  readonly created_by: string;
  readonly created_at: number;
}

export interface RoleDocument {
  readonly name: string;
  readonly revision: number;
  /** YAML, as it was written. */
  readonly source: string;
  readonly updated_at: number;
  readonly updated_by: string;
  readonly role: Role;
}

/** A rule that a decision rests on. */
export interface ExplainedClause {
  readonly role: string;
  /** `allow.logins[0]`. */
  readonly rule: string;
  /** Of the role's document, from 1; null when there is no text of it. */
  readonly line: number | null;
  readonly text: string;
}

/** Whether a user may act as a login on a node now, and why. */
export interface AccessExplanation {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly allowed: boolean;
  readonly reason: string;
  /** A lock that puts them out, whatever roles say, or null. */
  readonly lock: string | null;
  readonly because: readonly ExplainedClause[];
  /** What keeps each role from allowing it, when nothing denies it. */
  readonly others: readonly { readonly role: string; readonly why: string }[];
  /** When it is allowed. Durations in seconds, null for no limit. */
  readonly terms?: {
    readonly roles: readonly string[];
    readonly recording: { readonly mode: string; readonly streams: string; readonly limit: number };
    readonly enhanced: { readonly mode: string; readonly classes: readonly string[] };
    readonly port_forwarding: boolean;
    /** By what rules, when it is. */
    readonly forwarding: Forwarding;
    readonly agent_forwarding: boolean;
    readonly max_session_length: number | null;
    readonly idle_timeout: number | null;
    readonly max_sessions: number | null;
    readonly disconnect_expired_cert: boolean;
    readonly require_session_mfa: boolean;
  };
}

export interface MfaDevice {
  readonly id: string;
  readonly kind: 'totp' | 'passkey';
  readonly label: string;
  readonly created_at: number;
  readonly last_used_at: number | null;
}

export interface UserInfo {
  readonly name: string;
  readonly kind: 'local' | 'sso' | 'bot';
  /** The connector of single sign-on. */
  readonly connector: string | null;
  readonly roles: readonly string[];
  readonly traits: Traits;
  readonly created_at: number;
  readonly created_by: string;
  /** Users that have held a way into the account: made or reset it, without administering everything. */
  readonly handlers: readonly string[];
  readonly disabled_at: number | null;
  readonly password: boolean;
  readonly devices: readonly MfaDevice[];
  readonly recovery_codes_left: number;
  /** An invitation that is open; null when there is none. */
  readonly invited_until: number | null;
  /** When a certificate was last issued to them. */
  readonly last_login_at: number | null;
}

/** `link` is shown to the administrator once, and stored nowhere. */
export interface Invitation {
  readonly user: string;
  readonly link: string;
  readonly expires_at: number;
}

/** What an invitation's page shows, to whoever holds its token. */
export interface InvitationFacts {
  readonly user: string;
  readonly roles: readonly string[];
  readonly expires_at: number;
  /** Whether passkeys work at the web address: they need a name, not an IP address, and TLS but on localhost. */
  readonly passkeys: boolean;
}

export interface LoginMethods {
  readonly local: boolean;
  readonly passkeys: boolean;
  /** Where passkeys belong: a page at another address cannot use them. */
  readonly origin: string;
  readonly connectors: readonly { readonly name: string; readonly label: string; readonly kind: 'oidc' | 'saml' }[];
}

/** A user's own account. `fresh`: whether the sign-in is fresh enough to change it. */
export interface AccountInfo extends UserInfo {
  readonly via: string;
  readonly fresh: boolean;
  readonly passkeys: boolean;
}

/** A session that waits for its user's second factor. `by`: with what it is confirmed. */
export interface ConfirmationFacts {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly source_address: string;
  readonly browser_address: string;
  readonly expires_at: number;
  readonly by: 'device' | 'sign-in';
  readonly totp: boolean;
  readonly passkey: boolean;
  readonly fresh: boolean;
}

/** Over mutual TLS of a gateway: a session that needs a second factor. */
export interface SessionConfirmationRequest {
  readonly login: string;
  readonly node: string;
  /** base64 of the certificate the user was admitted with. */
  readonly user_certificate: string;
  readonly source_address: string;
}

/** `url`: what the user opens; `token` goes into the request of the session certificate once it was approved. */
export interface SessionConfirmation {
  readonly token: string;
  readonly url: string;
  readonly expires_at: number;
}

export interface BotInfo extends Pick<UserInfo, 'name' | 'roles' | 'traits' | 'created_at' | 'created_by' | 'disabled_at'> {
  readonly instances: readonly {
    readonly id: string;
    readonly generation: number;
    readonly joined_at: number;
    readonly renewed_at: number;
    readonly expires_at: number;
    readonly source: string;
    readonly stopped_at: number | null;
  }[];
}

/** Shown once. */
export interface BotToken {
  readonly bot: string;
  readonly token: string;
  readonly expires_at: number;
}

/** A bot's identity after it joined or renewed. */
export interface BotLogin {
  readonly instance: string;
  readonly generation: number;
  readonly login: LoginResult;
}

export interface TotpEnrolment {
  /** To send back with the first code. */
  readonly ceremony: string;
  /** `otpauth://`, for the QR code. */
  readonly uri: string;
  /** Base32, to type. */
  readonly secret: string;
}

/** How a command begins to log in through a browser; the codes of RFC 8628. Seconds. */
export interface DeviceLogin {
  readonly device_code: string;
  readonly user_code: string;
  readonly expires_in: number;
  readonly interval: number;
}

/** As the command gets it: with the addresses to open. */
export interface DeviceLoginStart extends DeviceLogin {
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
}

/** What the approving user is shown. `client` is what the command says of itself. */
export interface DeviceLoginFacts {
  readonly user_code: string;
  readonly client: string;
  readonly source_address: string;
  readonly wanted_user: string | null;
  readonly created_at: number;
  readonly expires_at: number;
  /** Who would be logged in, and what that grants; `max_ttl` in seconds. */
  readonly user: string;
  readonly roles: readonly string[];
  readonly logins: readonly string[];
  readonly max_ttl: number;
  readonly browser_address: string;
  /** Whether the sign-in of the browser is fresh enough to approve. */
  readonly fresh: boolean;
}

export type DeviceLoginAnswer =
  { readonly state: 'waiting'; readonly interval: number } | { readonly state: 'approved'; readonly login: LoginResult };

/** Where this Steno is reached, told with a login that came through the viewer. */
export interface PublicAddresses {
  /** `host:port` of the SSH gateway. */
  readonly ssh: string;
  readonly web: string;
  readonly authority: string;
}

export interface WebIdentity {
  readonly token: string;
  readonly user: string;
  readonly traits: Traits;
  readonly roles: readonly Role[];
  readonly expires_at: number;
  /** How it began: `link` (a one-time link), `local` (password or passkey) or the name of a connector. */
  readonly via: string;
  /** The device of the second factor. */
  readonly mfa: string | null;
  /** When it began: what is delicate needs a fresh one. */
  readonly since: number;
}

/** `agentless`: nobody holds a connection to it. `since`: of the state `live`. */
export interface NodeStatus extends NodeRecord {
  readonly state: 'live' | 'gone' | 'agentless';
  readonly since: number | null;
}

/** What another cluster says of its nodes, as `GET /v1/cluster-nodes` lists it. */
export interface ClusterNodes {
  readonly cluster: string;
  /** As they are called here: `NODE.CLUSTER`. */
  readonly nodes: readonly {
    readonly name: string;
    readonly state: NodeStatus['state'];
    readonly labels: Readonly<Record<string, string>>;
  }[];
  /** Why it could not be asked; null when it could. */
  readonly unreachable: string | null;
}

export type JoinResult =
  | { readonly kind: 'joined'; readonly enrolment: Enrolment; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string };
/** What `GET /v1/ca` answers: a CA and how far its rotation is. */
export interface CaReport {
  readonly name: string;
  readonly phase: CaPhase;
  /** ms since 1970; null where nothing was rotated yet. */
  readonly changed_at: number | null;
  readonly changed_by: string;
  /** Milliseconds from beginning to end of an automatic rotation, and when it goes on; null by hand. */
  readonly grace_ms: number | null;
  readonly next_at: number | null;
  /** Connected services, `kind/name`, whose certificates are not of the key that signs now. */
  readonly waits_for: readonly string[];
  /** Newest first. `signs`: for whom, now. */
  readonly keys: readonly {
    readonly generation: number;
    readonly state: 'active' | 'next' | 'retired';
    readonly signer: 'sealed' | 'pkcs11';
    readonly fingerprint: string;
    readonly algorithm: string;
    readonly created_at: number;
    readonly retired_at: number | null;
    readonly signs: readonly ('clients' | 'servers')[];
  }[];
}

/** `GET /v1/trust`: what a login writes into $STENO_HOME, to be brought up to date between logins. */
export type TrustReport = Pick<
  LoginResult,
  'cluster' | 'ssh_host_ca' | 'ssh_user_ca' | 'recording_ca' | 'service_ca_pem' | 'x509_user_ca_pem'
>;
