/**
 * Compares hours and amounts of a new user with the sessions of the people who have the user's roles. Something is unusual if it is
 * unusual for every role with enough history; a role with less history explains it with a single similar session. Tested in
 * detector.test.ts.
 */
import type { SessionRow } from '#schemas/events/rows.js';
import type { RuleFacts } from '../detection/detector.js';
import { ENOUGH, hoursAround, isFar, spreadOf } from './judgement.js';
import type { Past, RoleMeasure, RoleProfile } from './profile.js';

const facts = (id: string, title: string, advice: string): RuleFacts => ({ id: `steno/${id}`, title, severity: 'low', tier: 'signal', techniques: [], advice }); // prettier-ignore
const amount = (measure: RoleMeasure): RuleFacts =>
  facts(
    `unusual-for-role-${measure}`,
    `Far more ${measure.replace('_', ' ')} than people with the user's roles have`,
    'See what the session transferred, and whether the role still fits the work.',
  );
export const OF_ROLES: Readonly<Record<'hour' | RoleMeasure, RuleFacts>> = {
  hour: facts(
    'unusual-for-role-hour',
    "A time of the day at which nobody with the user's roles began",
    'Ask the user whether it was them.',
  ),
  bytes_in: amount('bytes_in'),
  bytes_out: amount('bytes_out'),
  duration: amount('duration'),
};
const said: Readonly<Record<RoleMeasure, string>> = { bytes_in: 'sent to the node', bytes_out: 'received from the node', duration: 'long' };

interface Judged {
  readonly rule: RuleFacts;
  readonly reason: string;
}

export function unusualHourForRoles({ roles, days }: Past, { started_at }: SessionRow): Judged | null {
  const near = new Map(
    roles.map((role) => [
      role,
      hoursAround(
        role.sessions.map((one) => one.started_at),
        started_at,
      ),
    ]),
  );
  if ([...near.values()].some((one) => one.near > 0)) return null;
  const role = largestOf(roles, ENOUGH.hours);
  if (role === null) return null;
  const hour = new Date(started_at).toISOString().slice(11, 16);
  const chance = near.get(role)!.chance;
  return {
    rule: OF_ROLES.hour,
    reason: `none of ${ofRole(role)} in ${days} days began within an hour of ${hour} UTC (${percent(chance)} if all hours were alike)`,
  };
}

/** `least`: values below it are never unusual. `shown`: formats the value for people. */
export function unusualForRoles(
  { roles }: Past,
  session: SessionRow,
  measure: RoleMeasure,
  least: number,
  shown: (value: number) => string,
): Judged | null {
  const value = { ...session, duration: Math.max(0, (session.ended_at ?? session.started_at) - session.started_at) }[measure];
  if (value < least) return null;
  const pastOf = (role: RoleProfile): readonly number[] => role.sessions.map(({ measured }) => measured[measure]);
  const isUsual = (role: RoleProfile): boolean => {
    const past = pastOf(role);
    const spread = isKnown(role, ENOUGH.measured) ? spreadOf(past, value) : null;
    return spread === null ? past.some((one) => one >= value) : !isFar(spread, value);
  };
  const role = largestOf(roles, ENOUGH.measured);
  if (role === null || roles.some(isUsual)) return null;
  const { median, largest } = spreadOf(pastOf(role), value)!;
  return {
    rule: OF_ROLES[measure],
    reason: `${shown(value)} ${said[measure]}; half of ${ofRole(role)} come to ${shown(median)} or less, and the largest to ${shown(largest)}`,
  };
}

function isKnown({ people, sessions }: RoleProfile, enough: number): boolean {
  return people >= ENOUGH.people && sessions.length >= enough;
}

/** Of the roles with enough history, the one with the most people. */
function largestOf(roles: readonly RoleProfile[], enough: number): RoleProfile | null {
  const known = roles.filter((role) => isKnown(role, enough));
  return known.reduce<RoleProfile | null>((best, role) => (best === null || role.people > best.people ? role : best), null);
}

function ofRole({ sessions, people, where }: RoleProfile): string {
  return `${sessions.length} sessions of ${people} people with the role ${where}`;
}

function percent(share: number): string {
  return share < 0.001 ? 'less than 0.1 %' : `${Math.round(share * 1_000) / 10} %`;
}
