/**
 * Moderated sessions: a role demands participants before a session starts and for as long as it lasts.
 *
 *     awaited ──everybody needed has joined──► met ──somebody needed leaves──► lost ──everybody is back──► met
 *        └──AWAIT_MS, Ctrl-C──► over                                             └──on_leave: terminate──► over
 *
 * The input gate is closed while participants are awaited or lost; while they are awaited, the node has not been asked to start anything
 * either. Every demand of every role that allows the session must be met. The session's user counts towards no demand, and a participant
 * counts once, however many terminals they join with. Tested in moderation.test.ts, and with stock clients in
 * ../ssh/server/moderated.test.ts.
 */
import { expressionOf } from '#schemas/policy/compiled.js';
import type { Moderation } from '#schemas/policy/node.js';
import type { SessionAbout } from '../sessions/live-session.js';
import type { ParticipantFacts } from './participant.js';

/** A session that nobody joins ends after this many milliseconds. */
export const AWAIT_MS = 1_800_000;

/** The demands that these participants do not meet. */
export function unmet(
  demands: readonly Moderation[],
  participants: Iterable<{ readonly facts: ParticipantFacts }>,
  about: SessionAbout,
): readonly Moderation[] {
  const present = [...participants].map(({ facts }) => facts);
  return demands.filter((demand) => {
    const people = new Set(present.filter((facts) => meets(demand, facts, about)).map(({ user }) => user));
    return people.size < demand.count;
  });
}

/** Interval at which participants have to prove their presence, in ms, from the strictest demand; null: never. */
export function presenceMs(demands: readonly Moderation[]): number | null {
  const all = demands.flatMap(({ presence }) => presence ?? []);
  return all.length === 0 ? null : Math.min(...all) * 1000;
}

function meets({ modes, where }: Moderation, { user, mode, roles, traits }: ParticipantFacts, about: SessionAbout): boolean {
  if (user === about.user || mode === 'owner' || !modes.includes(mode)) return false;
  if (where === undefined) return true;
  const { node, login, kind, labels } = about;
  const scope = { user: { name: user, roles, traits }, labels, session: { user: about.user, node, login, kind } };
  // An unknown result does not meet the demand.
  return expressionOf(where, 'session').evaluate(scope) === true;
}

/** For the session's user: `1 moderator`, or `2 peers or moderators with "sre" in user.roles`. Printable. */
export function demandText({ count, modes, where }: Moderation): string {
  const who = modes.map((mode) => (count === 1 ? mode : `${mode}s`)).join(' or ');
  return `${count} ${who}${where === undefined ? '' : ` for whom ${where}`}`;
}
