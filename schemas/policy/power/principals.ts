/**
 * Compares two people: may one create, or get into, the account of the other? Only if the account can do nothing that the
 * giver could not do under their own name.
 *
 * Roles alone do not determine what somebody can do: a role that denies, or sets strict terms, does so only for its holders,
 * and names and traits become logins and open nodes. So the account must
 *
 *   1. hold only roles that the giver holds permanently;
 *   2. hold every role of the giver that denies something;
 *   3. lack no role of the giver that makes the terms of its sessions stricter or requires a watermark;
 *   4. have exactly the giver's values for traits that any role reads, and no values of other traits that the giver lacks;
 *   5. get no login, Kubernetes name or node by its name or its traits that the giver does not get by the same role; also
 *      by roles that it could request.
 *
 * If a role reads `user.name` in an expression, nothing can be decided, and the answer is no. Lifetime of certificates
 * (`max_ttl`) and number of concurrent sessions (`max_sessions`) are not power: a person with two accounts has twice as many.
 * Tested in principals.test.ts, and as a property in authority/power/worlds.test.ts.
 */
import { isLogin } from '../../base/identity.js';
import type { Traits } from '../../base/identity.js';
import type { Role } from '../role.js';
import { administersEverything } from '../administration.js';
import { parseTemplate } from '../login-template.js';
import type { Person } from '../login-template.js';
import { decideRequest } from '../request.js';
import type { Subject } from '../subject.js';
import { looserWatermark } from '../watermark.js';
import { looserTerm } from './terms.js';
import { asksForNodes, readByExpressions, readByTemplates, same } from './within.js';

/**
 * Describes something that the account could do and the giver cannot; null if there is nothing. `known`: all roles. A user who
 * administers everything lacks nothing.
 */
export function lackingForPrincipal(giver: Subject, account: Subject, known: readonly Role[]): string | null {
  if (administersEverything(giver.roles)) return null;
  const holds = (roles: readonly Role[], name: string): boolean => roles.some((role) => role.name === name);
  const more = account.roles.find(({ name }) => !holds(giver.roles, name));
  if (more !== undefined) return `the role ${more.name}, which you do not hold`;
  const left = giver.roles.filter(({ name }) => !holds(account.roles, name));
  const denying = left.find(denies);
  if (denying !== undefined) return `what your role ${denying.name} denies you: give that role as well`;
  const marked = left.find((held) => account.roles.every(({ watermark }) => looserWatermark(watermark, held.watermark)));
  if (marked !== undefined) return `to view recordings without the watermark of your role ${marked.name}: give that role as well`;
  return looser(account.roles, left) ?? traitsLacking(giver.traits, account.traits, known) ?? byPerson(giver, account, known);
}

function denies({ deny }: Role): boolean {
  return Object.values(deny).some((part) =>
    typeof part === 'object' ? Object.keys(part).length > 0 : part !== false && part !== undefined,
  );
}

function looser(kept: readonly Role[], left: readonly Role[]): string | null {
  const opening = ({ allow }: Role): boolean => allow.logins.length > 0 || allow.kubernetes.length > 0 || allow.request.length > 0;
  for (const held of left.filter(opening)) {
    for (const role of kept.filter(opening)) {
      const term = looserTerm(role, held);
      if (term !== null) return `sessions by role ${role.name} without ${term} of your role ${held.name}: give that role as well`;
    }
  }
  const asks = ({ allow }: Role): boolean => allow.request.some(asksForNodes);
  const [asking, hidden] = [left.find(asks), kept.find(asks)];
  if (asking !== undefined && hidden !== undefined)
    return `to ask for nodes by role ${hidden.name} where a rule of your role ${asking.name} counts: give that role as well`;
  return null;
}

function traitsLacking(giver: Traits, account: Traits, known: readonly Role[]): string | null {
  const asked = new Set(known.flatMap((role) => [...readByExpressions(role), ...readByTemplates(role)]));
  const valuesOf = (traits: Traits, key: string): readonly string[] => (Object.hasOwn(traits, key) ? traits[key]! : []);
  for (const key of new Set([...Object.keys(giver), ...Object.keys(account)])) {
    const [mine, theirs] = [valuesOf(giver, key), valuesOf(account, key)];
    if (asked.has(`user.traits.${key}`) ? !same([...mine].sort(), [...theirs].sort()) : theirs.some((value) => !mine.includes(value))) {
      return `the trait ${key} = ${theirs.join(', ') || '(none)'}, where yours is ${mine.join(', ') || '(none)'}`;
    }
  }
  return null;
}

function byPerson(giver: Subject, account: Subject, known: readonly Role[]): string | null {
  const named = (role: Role): boolean => account.roles.some(({ name }) => name === role.name);
  const possible = known.filter((role) => !named(role) && decideRequest(account, { roles: [role.name], nodes: [] }).allowed);
  const sameRoles = same(account.roles.map(({ name }) => name).sort(), giver.roles.map(({ name }) => name).sort());
  for (const role of [...account.roles, ...possible]) {
    const reads = readByExpressions(role);
    if (reads.has('user.name') && account.user !== giver.user) return `what role ${role.name} decides by the name of its holder`;
    // A rule may allow or deny by names of roles that the account lacks.
    if (reads.has('user.roles') && !sameRoles) return `what role ${role.name} decides by the other roles of its holder`;
    const login = loginsBy(role, account).find((one) => !loginsBy(role, giver).includes(one));
    if (login !== undefined && !role.allow.logins.includes('*')) return `login ${login} by role ${role.name}`;
    const asked = role.allow.request.flatMap(({ logins }) =>
      filled(logins, account).filter((one) => !logins.includes('*') && !filled(logins, giver).includes(one)),
    )[0];
    if (asked !== undefined) return `to ask for login ${asked} by role ${role.name}`;
    const kube = role.allow.kubernetes.flatMap(({ users, groups }) =>
      [users, groups].flatMap((names) => filled(names, account).filter((one) => !filled(names, giver).includes(one))),
    )[0];
    if (kube !== undefined) return `the Kubernetes name ${kube} by role ${role.name}`;
    const freed = [role.deny.logins, ...role.deny.kubernetes.flatMap(({ users, groups }) => [users, groups])].flatMap((names) =>
      filled(names, giver).filter((one) => !filled(names, account).includes(one)),
    )[0];
    if (freed !== undefined) return `${freed}, which role ${role.name} denies you`;
  }
  return null;
}

/** The logins that templates yield, never root. */
function loginsBy({ allow }: Role, person: Person): readonly string[] {
  return filled(allow.logins, person).filter((login) => login !== 'root' && isLogin(login));
}

function filled(texts: readonly string[], person: Person): readonly string[] {
  return texts.flatMap((text) => parseTemplate(text)?.expand?.(person) ?? []);
}
