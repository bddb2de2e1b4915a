/**
 * Reports what is unusual in a session for its user, for people with the user's roles, and for people on similar nodes, as findings of
 * the tier `signal` with their numbers. Tested in detector.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { ActReader, habits } from './habits.js';
import type { Act, Habit } from './habits.js';
import { ENOUGH, hoursAround, isFar, isRare, isTriedOften, noveltyOf, rareInEvery, spreadOf } from './judgement.js';
import { measures, roleMeasures } from './profile.js';
import type { Measure, Past, PeerProfile } from './profile.js';
import { OF_ROLES, unusualHourForRoles, unusualForRoles } from './roles.js';

/** Findings per rule and session; further new values are only counted. */
const MAX_FINDINGS = 20;
/** Distinct values of one session that are examined. */
const MAX_VALUES = 5_000;
const HOUR = 3_600_000;

/** `to run tcpdump`, `never ran tcpdump`. */
const verbs: Readonly<Record<Habit, readonly [string, string]>> = {
  program: ['run', 'ran'],
  command: ['run', 'ran'],
  pair: ['run', 'ran'],
  destination: ['connect to', 'connected to'],
  port: ['connect to port', 'connected to port'],
};
/** Values below these are never unusual. */
const LEAST: Readonly<Record<Measure, number>> = { bytes_in: 10 << 20, bytes_out: 10 << 20, duration: HOUR, files: 200 };
const measured: Readonly<Record<Measure, string>> = {
  bytes_in: 'sent to the node',
  bytes_out: 'received from the node',
  duration: 'long',
  files: 'operations on files',
};

const facts = (id: string, title: string, severity: RuleFacts['severity'], advice: string): RuleFacts => ({ id: `steno/${id}`, title, severity, tier: 'signal', techniques: [], advice }); // prettier-ignore
const rare = Object.fromEntries(habits.filter((habit) => habit !== 'pair').map((habit) => [habit, facts(`rare-${habit}`, `A ${habit} that hardly anybody uses there`, 'low', 'Ask the user what it was for.')])) as Record<Habit, RuleFacts>; // prettier-ignore
const rareForRole = Object.fromEntries(habits.filter((habit) => habit !== 'pair').map((habit) => [habit, facts(`rare-for-role-${habit}`, `A ${habit} that hardly anybody with the user's roles uses`, 'low', 'Ask the user what it was for, and whether the role still fits their work.')])) as Record<Habit, RuleFacts>; // prettier-ignore
const first = Object.fromEntries(habits.map((habit) => [habit, facts(`first-${habit}`, `A ${habit} that this user never used`, 'info', '')])) as Record<Habit, RuleFacts>; // prettier-ignore
const firstNode = facts('first-node', 'A node that this user never used', 'info', '');
const firstLogin = facts(
  'first-login',
  'A login that this user never used',
  'low',
  'See whether a role that the user got lately explains it.',
);
const unusualHour = facts('unusual-hour', 'A time of the day at which this user never began', 'low', 'Ask the user whether it was them.');
const unusual = Object.fromEntries(measures.map((measure) => [measure, facts(`unusual-${measure}`, `Far more ${measure.replace('_', ' ')} than usual for this user`, 'low', 'See what the session transferred.')])) as Record<Measure, RuleFacts>; // prettier-ignore

export interface HistoryReader {
  before(session: SessionRow): Promise<Past>;
}

export class BaselineDetector implements Detector {
  readonly name = 'baseline';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[] = [
    ...Object.values(rare),
    ...Object.values(rareForRole),
    ...Object.values(first),
    firstNode,
    firstLogin,
    unusualHour,
    ...Object.values(unusual),
    OF_ROLES.hour,
    ...roleMeasures.map((measure) => OF_ROLES[measure]),
  ];
  readonly #history: HistoryReader;
  #beyond = 0;

  constructor(history: HistoryReader) {
    this.#history = history;
  }

  /** Number of new values that were not reported, because their rule had reported enough in this session. */
  get beyond(): number {
    return this.#beyond;
  }

  async open(session: SessionRow): Promise<SessionDetector> {
    const past = await this.#history.before(session);
    const seen = new Set<string>();
    const told = new Map<RuleFacts, number>();
    const acts = new ActReader();
    let files = 0;
    const known = isKnown(past);
    if (!known && past.roles.length === 0) return { take: () => [] };
    const novelty = new Map(habits.map((habit) => [habit, noveltyOf(past.user.acts.get(habit)?.values() ?? [])]));
    const act = (row: EventRow, one: Act): readonly Detection[] => {
      const key = `${one.habit} ${one.value}`;
      if (seen.has(key) || seen.size >= MAX_VALUES) return [];
      seen.add(key);
      const judged = known ? judge(past, row.user, one, novelty.get(one.habit)!) : judgeByRole(past, row.user, one);
      if (judged === null) return [];
      const count = told.get(judged.rule) ?? 0;
      told.set(judged.rule, count + 1);
      if (count >= MAX_FINDINGS) {
        this.#beyond += 1;
        return [];
      }
      const { session, user, node, login, at, offset_ms } = row;
      return [{ ...judged, session, user, node, login, at, offset_ms, row: null, evidence: [eventId(row)], key: one.value }];
    };
    const take = (observation: Observation): readonly Detection[] => {
      switch (observation.kind) {
        case 'start':
          return known
            ? beginning(past, observation.session)
            : byRoles(observation.session, observation.session.started_at, [unusualHourForRoles(past, observation.session)]);
        case 'event':
          if (observation.row.source === 'kernel' && observation.row.kind === 'file') files += 1;
          return acts.take(observation.row).flatMap((one) => act(observation.row, one));
        case 'screen':
          return [];
        case 'end':
          return known
            ? ending(past, observation.session, files)
            : byRoles(
                observation.session,
                observation.session.ended_at ?? observation.session.started_at,
                roleMeasures.map((measure) =>
                  unusualForRoles(past, observation.session, measure, LEAST[measure], (number) => shown(measure, number)),
                ),
              );
      }
    };
    return { take };
  }
}

/** Cold start: a user with little history is compared only with the people who have the same roles. */
function isKnown({ until, user: { sessions } }: Past): boolean {
  const oldest = sessions.at(-1);
  return oldest !== undefined && sessions.length >= ENOUGH.sessions && until - oldest.started_at >= ENOUGH.days * 86_400_000;
}

interface Judged {
  readonly rule: RuleFacts;
  readonly reason: string;
}

function judge(past: Past, name: string, act: Act, novelty: number): Judged | null {
  const { user, peers, days } = past;
  const { habit, value } = act;
  const acts = user.acts.get(habit);
  if (acts === undefined || acts.has(value) || user.truncated.has(habit)) return null;
  const during = `in ${user.sessions.length} sessions of ${days} days`;
  const others = peers.acts.get(habit)?.get(value) ?? 0;
  if (habit !== 'pair' && !peers.truncated.has(habit) && isRare(others, peers.people)) {
    const reason = `${nth(others)} person of ${peers.people} to ${verbs[habit][0]} ${value} on ${peers.where}; ${name} never did ${during}`;
    return { rule: rare[habit], reason };
  }
  const byRole = judgeByRole(past, name, act);
  if (byRole !== null) return byRole;
  if (isTriedOften(novelty)) return null;
  const share = `about ${percent(novelty)} of what this user does is new`;
  return { rule: first[habit], reason: `${name} never ${verbs[habit][1]} ${value} ${during}; ${share}` };
}

/** Compares with the people who have the same roles, of whom more is known than of a new user. */
function judgeByRole({ user, peers, roles, days }: Past, name: string, { habit, value }: Act): Judged | null {
  // Pairs are counted only per user.
  if (habit === 'pair' || user.acts.get(habit)?.has(value) === true || user.truncated.has(habit)) return null;
  const timesOf = ({ acts, truncated }: PeerProfile): number | null => acts.get(habit)?.get(value) ?? (truncated.has(habit) ? null : 0);
  const found = rareInEvery(roles.map((role) => ({ where: role.where, people: role.people, others: timesOf(role) })));
  if (found === null) return null;
  const there = timesOf(peers);
  const elsewhere = there === null || there === 0 ? '' : `, though ${there} of ${peers.people} on ${peers.where} did`;
  const rest = roles.length > 1 ? ', nor is it usual for their other roles' : '';
  const known = `${user.sessions.length} session${user.sessions.length === 1 ? '' : 's'} of ${days} days`;
  const reason = `${nth(found.others)} person of ${found.people} with the role ${found.where} to ${verbs[habit][0]} ${value}${elsewhere}${rest}; ${name} never did in ${known}`;
  return { rule: rareForRole[habit], reason };
}

/** At most two others did it. */
function nth(others: number): string {
  return ['first', 'second', 'third'][others]!;
}

function beginning({ user: { sessions }, days }: Past, session: SessionRow): readonly Detection[] {
  const { user, node, login, started_at } = session;
  const during = `in ${sessions.length} sessions of ${days} days`;
  const found: Detection[] = [];
  const nodes = new Set(sessions.map((one) => one.node));
  const logins = new Set(sessions.map((one) => one.login));
  // A user who visits a new node every other session is not reported.
  const newNodes = noveltyOf(counts(sessions.map((one) => one.node)));
  if (!nodes.has(node) && !isTriedOften(newNodes))
    found.push(ofSession(firstNode, `${user} never used ${node} ${during}, but ${nodes.size} other nodes`, session, started_at));
  if (!logins.has(login))
    found.push(ofSession(firstLogin, `${user} never used the login ${login} ${during}, but ${listed([...logins])}`, session, started_at));
  const { near, chance } = hoursAround(
    sessions.map((one) => one.started_at),
    started_at,
  );
  if (near === 0 && sessions.length >= ENOUGH.hours)
    found.push(
      ofSession(
        unusualHour,
        `none of ${user}'s ${sessions.length} sessions of ${days} days began within an hour of ${new Date(started_at).toISOString().slice(11, 16)} UTC (${percent(chance)} if all hours were alike)`,
        session,
        started_at,
      ),
    );
  return found;
}

function ending({ user: { sessions } }: Past, session: SessionRow, files: number): readonly Detection[] {
  const end = session.ended_at ?? session.started_at;
  const values: Readonly<Record<Measure, number>> = {
    bytes_in: session.bytes_in,
    bytes_out: session.bytes_out,
    duration: Math.max(0, end - session.started_at),
    files,
  };
  return measures.flatMap((measure) => {
    const value = values[measure];
    const spread = spreadOf(
      sessions.map((one) => one.measured[measure]),
      value,
    );
    if (spread === null || value < LEAST[measure] || !isFar(spread, value)) return [];
    const said = (number: number): string => shown(measure, number);
    const reason = `${said(value)} ${measured[measure]}; half of ${session.user}'s ${sessions.length} sessions come to ${said(spread.median)} or less, and the largest to ${said(spread.largest)}`;
    return [ofSession(unusual[measure], reason, session, end)];
  });
}

/** For a new user: measures that are unusual for the people with the user's roles. */
function byRoles(session: SessionRow, at: number, judged: readonly (Judged | null)[]): readonly Detection[] {
  return judged.flatMap((one) => (one === null ? [] : [ofSession(one.rule, one.reason, session, at)]));
}

function ofSession(rule: RuleFacts, reason: string, { session, user, node, login, started_at }: SessionRow, at: number): Detection {
  return { rule, reason, session, user, node, login, at, offset_ms: at - started_at, row: null, evidence: [], key: 'session' };
}

function counts(values: readonly string[]): Iterable<number> {
  const counted = new Map<string, number>();
  for (const value of values) counted.set(value, (counted.get(value) ?? 0) + 1);
  return counted.values();
}

function listed(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} others` : names.join(', ');
}

function percent(share: number): string {
  return share < 0.001 ? 'less than 0.1 %' : `${Math.round(share * 1_000) / 10} %`;
}

function shown(measure: Measure, number: number): string {
  if (measure === 'files') return String(number);
  if (measure === 'duration') return `${Math.round(number / 60_000)} min`;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = Math.min(units.length - 1, number < 1 ? 0 : Math.floor(Math.log2(number) / 10));
  return `${Math.round((number / 1024 ** unit) * 10) / 10} ${units[unit]!}`;
}
