import { expect, test } from 'vitest';
import { roleSchema } from '../role.js';
import type { Role } from '../role.js';
import { lackingForPrincipal } from './principals.js';

const role = (name: string, more: object = {}): Role => roleSchema.parse({ kind: 'role', name, ...more });
const dev = role('dev', { allow: { nodes: { env: 'dev' }, logins: ['www'] } });
const own = role('own', { allow: { nodes: { env: 'dev' }, logins: ['{user}'] } });
const any = role('any', { allow: { nodes: { env: 'dev' }, logins: ['*', '{user}'] } });
const traits = role('traits', { allow: { nodes: { env: 'dev' }, logins: ['{traits.logins}'] } });
const team = role('team', { allow: { node_expression: 'labels.team in user.traits.team', logins: ['www'] } });
const named = role('named', { allow: { node_expression: "user.name == 'ann'", logins: ['www'] } });
const kept = role('kept', { deny: { nodes: { env: 'prod' } } });
const confirmed = role('confirmed', { allow: { nodes: { env: 'dev' }, logins: ['www'] }, require_session_mfa: true });
const marked = role('marked', { watermark: true });
const asking = role('asking', { allow: { request: [{ roles: ['own'] }] } });
const senior = role('senior', { allow: { node_expression: "'senior' in user.roles", logins: ['www'] } });
const admin = role('admin', { administer: true });
const known = [dev, own, any, traits, team, named, kept, confirmed, marked, asking, senior, admin];

test.each<[string, Role[], Role[], Record<string, string[]>, RegExp | null]>([
  ['a role of theirs', [dev], [dev], {}, null],
  ['a role that they lack', [dev], [admin], {}, /the role admin, which you do not hold/],
  ['fewer roles', [dev, any], [dev], {}, null],
  ['everything', [admin], [own, traits], { logins: ['root'] }, null],
  ['their role, without the one that denies', [dev, kept], [dev], {}, /role kept denies/],
  ['both', [dev, kept], [dev, kept], {}, null],
  ['their role, without the one with the strict term', [dev, confirmed], [dev], {}, /require_session_mfa of your role confirmed/],
  ['their role, without the one with a watermark', [dev, marked], [dev], {}, /watermark of your role marked/],
  ['only the one with a watermark', [dev, marked], [marked], {}, null],
  ['only the strict one', [dev, confirmed], [confirmed], {}, null],
  ['a name that becomes a login', [own], [own], {}, /login postgres by role own/],
  ['the same if they have any login', [any], [any], {}, null],
  ['a name that becomes a login after an approval', [asking], [asking], {}, /login postgres by role own/],
  ['a trait that becomes a login', [traits], [traits], { logins: ['ops', 'mysql'] }, /the trait logins = ops, mysql, where yours is ops/],
  ['the trait that they have', [traits], [traits], { logins: ['ops'] }, null],
  ['a trait that opens nodes', [team], [team], { team: ['x'], logins: ['ops'] }, /the trait team = x, where yours is \(none\)/],
  ['a trait that some other role may read', [dev], [dev], { team: ['x'], logins: ['ops'] }, /the trait team/],
  ['a trait that no role reads', [dev], [dev], { logins: ['ops'], colour: ['red'] }, /the trait colour = red/],
  ['a role that decides by the name', [named], [named], { logins: ['ops'] }, /by the name of its holder/],
  ['a role that decides by other roles', [senior, dev], [senior], { logins: ['ops'] }, /by the other roles of its holder/],
])('an account with %s', (_claim, held, given, more, refusal) => {
  const mine = { logins: ['ops'] };
  const answer = lackingForPrincipal(
    { user: 'ann', traits: mine, roles: held },
    { user: 'postgres', traits: Object.keys(more).length === 0 ? mine : more, roles: given },
    known,
  );
  if (refusal === null) expect(answer).toBeNull();
  else expect(answer).toMatch(refusal);
});
