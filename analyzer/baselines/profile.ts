/** What the store tells of the past of a user, of the people on nodes of a kind, and of those with the user's roles, up to a moment. */
import type { Habit } from './habits.js';

export const measures = ['bytes_in', 'bytes_out', 'duration', 'files'] as const;
export type Measure = (typeof measures)[number];

export interface PastSession {
  readonly started_at: number;
  readonly node: string;
  readonly login: string;
  /** `duration` in milliseconds; `files`: events of the kernel about files. */
  readonly measured: Readonly<Record<Measure, number>>;
}

export interface UserProfile {
  /** Newest first, at most 500. */
  readonly sessions: readonly PastSession[];
  /** In how many sessions the user did it. */
  readonly acts: ReadonlyMap<Habit, ReadonlyMap<string, number>>;
  /** There were more values than are kept: of one that is missing nothing is known. */
  readonly truncated: ReadonlySet<Habit>;
}

export interface PeerProfile {
  /** As a sentence has it: `nodes with env=prod`; of the people with a role, the role. */
  readonly where: string;
  readonly people: number;
  /** How many people did it. */
  readonly acts: ReadonlyMap<Habit, ReadonlyMap<string, number>>;
  readonly truncated: ReadonlySet<Habit>;
}

/** What is known of every session without its events. */
export const roleMeasures = ['bytes_in', 'bytes_out', 'duration'] as const;
export type RoleMeasure = (typeof roleMeasures)[number];

export interface RoleProfile extends PeerProfile {
  /** Of the people with the role, newest first, at most 2,000. */
  readonly sessions: readonly { readonly started_at: number; readonly measured: Readonly<Record<RoleMeasure, number>> }[];
}

/** How programs were called (habits.ts, `formOf`), with how often. */
export interface Forms {
  readonly of: ReadonlyMap<string, number>;
  readonly total: number;
}

/** For who compares the commands of a session with those of its user. */
export interface PastForms {
  readonly days: number;
  readonly user: Forms;
  /** Of all users, this one included. */
  readonly everybody: Forms;
}

export interface Past {
  /** Sessions that ended before this are counted, and no others. */
  readonly until: number;
  readonly days: number;
  readonly user: UserProfile;
  readonly peers: PeerProfile;
  /** Of the people with each of the session's roles; empty where roles say nothing: there are none, or too many, or one cannot be read. */
  readonly roles: readonly RoleProfile[];
}
