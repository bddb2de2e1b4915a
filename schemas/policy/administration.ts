/**
 * The policy on administration: which kinds of resources roles let a user list, read, create, update or delete.
 *
 * `administer: true` is short for every verb on every kind. The folder power/ limits what users who do not administer
 * everything may hand out. Tested in administration.test.ts.
 */
import type { ResourceKind, ResourceVerb, Role } from './role.js';
import type { Clause, Subject, Verdict } from './subject.js';

export function decideResource(subject: Pick<Subject, 'user' | 'roles'>, kind: ResourceKind, verb: ResourceVerb): Verdict {
  const denial = ruleOf(subject.roles, 'deny', kind, verb);
  if (denial !== undefined)
    return { allowed: false, reason: `${subject.user} may not ${verb} ${kind}: role ${denial.role} denies it`, because: denial };
  const grant = ruleOf(subject.roles, 'allow', kind, verb);
  if (grant !== undefined) return { allowed: true, because: grant };
  return { allowed: false, reason: `${subject.user} may not ${verb} ${kind}: none of their roles permits it`, because: null };
}

export function mayAdminister(roles: readonly Role[], kind: ResourceKind, verb: ResourceVerb): boolean {
  return decideResource({ user: '', roles }, kind, verb).allowed;
}

/** Whether these roles allow all administration without exception. */
export function administersEverything(roles: readonly Role[]): boolean {
  return (
    roles.some(
      ({ administer, allow }) => administer || allow.rules.some(({ resources, verbs }) => resources.includes('*') && verbs.includes('*')),
    ) && !roles.some(({ deny }) => deny.rules.length > 0)
  );
}

function ruleOf(roles: readonly Role[], effect: 'allow' | 'deny', kind: ResourceKind, verb: ResourceVerb): Clause | undefined {
  let found: Clause | undefined;
  for (const role of roles) {
    if (found !== undefined && found.role < role.name) continue;
    const at = role[effect].rules.findIndex(({ resources, verbs }) => includes(resources, kind) && includes(verbs, verb));
    if (at >= 0) found = { role: role.name, path: [effect, 'rules', at] };
    else if (effect === 'allow' && role.administer) found = { role: role.name, path: ['administer'] };
  }
  return found;
}

function includes<T extends string>(list: readonly (T | '*')[], wanted: T): boolean {
  return list.includes(wanted) || list.includes('*');
}
