import { describe, expect, it } from 'vitest';
import { roleSchema } from '#schemas/policy/role.js';
import type { SessionAbout } from '../sessions/live-session.js';
import { demandText, unmet } from './moderation.js';
import type { ParticipantFacts } from './participant.js';

const about: SessionAbout = {
  user: 'alice',
  node: 'web-1',
  login: 'root',
  kind: 'shell',
  labels: { team: 'shop' },
  startedAt: 0,
  size: () => null,
  command: '',
};
const demand = (term: object) => ({
  ...roleSchema.parse({ kind: 'role', name: 'careful', moderation: term }).moderation!,
  role: 'careful',
});
const person = (user: string, mode: ParticipantFacts['mode'], rest: Partial<ParticipantFacts> = {}): { facts: ParticipantFacts } => ({
  facts: { user, mode, source: '::1', roles: ['sre'], traits: { team: ['shop'] }, ...rest },
});

describe('the demands of roles', () => {
  it.each<[string, object, readonly { facts: ParticipantFacts }[], boolean]>([
    ['nobody there', {}, [], false],
    ['a moderator', {}, [person('bob', 'moderator')], true],
    ['an observer if a moderator is needed', {}, [person('bob', 'observer')], false],
    ['one of two modes', { modes: ['observer', 'peer'] }, [person('bob', 'peer')], true],
    ['the user of the session', {}, [person('alice', 'moderator')], false],
    ['one of two people', { count: 2 }, [person('bob', 'moderator')], false],
    ['one person twice', { count: 2 }, [person('bob', 'moderator'), person('bob', 'moderator')], false],
    ['two people', { count: 2 }, [person('bob', 'moderator'), person('carol', 'moderator')], true],
    ['a role', { where: "'sre' in user.roles" }, [person('bob', 'moderator')], true],
    ['another role', { where: "'sre' in user.roles" }, [person('bob', 'moderator', { roles: [] })], false],
    ['a trait like a label', { where: 'labels.team in user.traits.team' }, [person('bob', 'moderator')], true],
    ['a label that the node lacks', { where: "labels.zone == 'eu'" }, [person('bob', 'moderator')], false],
    ['about the session', { where: "session.login == 'root'" }, [person('bob', 'moderator')], true],
  ])('%s', (_what, term, people, met) => {
    expect(unmet([demand(term)], people, about)).toHaveLength(met ? 0 : 1);
  });

  it('are met only when those of every role are met', () => {
    const demands = [demand({}), demand({ modes: ['observer'], count: 2 })];
    const people = [person('bob', 'moderator'), person('carol', 'observer')];
    expect(unmet(demands, people, about).map(demandText)).toEqual(['2 observers']);
    expect(unmet(demands, [...people, person('dave', 'observer')], about)).toEqual([]);
  });

  it('are described in words', () => {
    expect(demandText(demand({}))).toBe('1 moderator');
    expect(demandText(demand({ count: 2, modes: ['peer', 'moderator'], where: "'sre' in user.roles" }))).toBe(
      "2 peers or moderators for whom 'sre' in user.roles",
    );
  });
});
