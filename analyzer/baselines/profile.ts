/** The past of a user, of the people on similar nodes, and of people with the user's roles, up to a moment, as the store has it. */
import type { Habit } from './habits.js';

export const measures = ['bytes_in', 'bytes_out', 'duration', 'files'] as const;
export type Measure = (typeof measures)[number];

export interface PastSession {
  readonly started_at: number;
  readonly node: string;
  readonly login: string;
  /** `duration` in milliseconds; `files`: number of kernel events about files. */
  readonly measured: Readonly<Record<Measure, number>>;
}

export interface UserProfile {
  /** Newest first, at most 500. */
  readonly sessions: readonly PastSession[];
  /** In how many sessions the user performed each act. */
  readonly acts: ReadonlyMap<Habit, ReadonlyMap<string, number>>;
  /** Habits with more values than are kept: nothing is known about a value that is missing. */
  readonly truncated: ReadonlySet<Habit>;
}

export interface PeerProfile {
  /** For use in a sentence: `nodes with env=prod`; for the people with a role, the role. */
  readonly where: string;
  readonly people: number;
  /** How many people performed each act. */
  readonly acts: ReadonlyMap<Habit, ReadonlyMap<string, number>>;
  readonly truncated: ReadonlySet<Habit>;
}

/** Measures that are known for every session without reading its events. */
export const roleMeasures = ['bytes_in', 'bytes_out', 'duration'] as const;
export type RoleMeasure = (typeof roleMeasures)[number];

export interface RoleProfile extends PeerProfile {
  /** Sessions of the people with the role, newest first, at most 2,000. */
  readonly sessions: readonly { readonly started_at: number; readonly measured: Readonly<Record<RoleMeasure, number>> }[];
}

/** The forms in which programs were called (habits.ts, `formOf`), with their counts. */
export interface Forms {
  readonly of: ReadonlyMap<string, number>;
  readonly total: number;
}

/** For comparing the commands of a session with those of its user. */
export interface PastForms {
  readonly days: number;
  readonly user: Forms;
  /** Forms of all users, including this one. */
  readonly everybody: Forms;
}

export interface Past {
  /** Only sessions that ended before this are counted. */
  readonly until: number;
  readonly days: number;
  readonly user: UserProfile;
  readonly peers: PeerProfile;
  /**
   * Profiles of the people with each of the session's roles; empty if roles cannot be used: there are none or too many, or one cannot
   * be read.
   */
  readonly roles: readonly RoleProfile[];
}
