/** What viewer/api answers to browsers and to the `steno` command. Times are ms since 1970, offsets ms of session time. */
import type { DeviceLogin } from './api/people/logins.js';
import type { SessionKind } from './recording/line.js';

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

/** Where this Steno is reached, told with a login that came through the viewer. */
export interface PublicAddresses {
  /** `host:port` of the SSH gateway. */
  readonly ssh: string;
  readonly web: string;
  readonly authority: string;
}

/** As the command gets it: with the addresses to open. */
export interface DeviceLoginStart extends DeviceLogin {
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
}
