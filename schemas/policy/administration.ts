/**
 * The policy on what is administered: which kinds of things roles let somebody list, read, create, update, delete.
 *
 * `administer: true` is short for every verb on every kind. Who does not administer everything may not hand out more
 * than they hold (`refuseEscalation`). Tested in administration.test.ts.
 */
import type { ResourceKind, ResourceVerb, Role } from '../role.js';
import { resourceKinds, resourceVerbs } from '../role.js';
import type { Clause, Subject, Verdict } from './subject.js';

export function decideResource(subject: Pick<Subject, 'user' | 'roles'>, kind: ResourceKind, verb: ResourceVerb): Verdict {
  const denial = ruleOf(subject.roles, 'deny', kind, verb);
  if (denial !== undefined) return { allowed: false, reason: `role ${denial.role} denies to ${verb} ${kind}`, because: denial };
  const grant = ruleOf(subject.roles, 'allow', kind, verb);
  if (grant !== undefined) return { allowed: true, because: grant };
  return { allowed: false, reason: `no role of ${subject.user} allows to ${verb} ${kind}`, because: null };
}

export function mayAdminister(roles: readonly Role[], kind: ResourceKind, verb: ResourceVerb): boolean {
  return decideResource({ user: '', roles }, kind, verb).allowed;
}

/** Whether nothing at all is kept from these roles. */
export function administersEverything(roles: readonly Role[]): boolean {
  return (
    roles.some(
      ({ administer, allow }) => administer || allow.rules.some(({ resources, verbs }) => resources.includes('*') && verbs.includes('*')),
    ) && !roles.some(({ deny }) => deny.rules.length > 0)
  );
}

/**
 * Why a role may not be written by somebody who does not administer everything, or null:
 * a role they hold themselves, or one that gives power over Steno which they do not have.
 */
export function refuseEscalation(author: Pick<Subject, 'user' | 'roles'>, written: Role, held: Role | undefined): string | null {
  if (administersEverything(author.roles)) return null;
  if (author.roles.some(({ name }) => name === written.name)) return `you hold the role ${written.name} yourself`;
  const more = powersOf(written).find(({ kind, verb }) => !mayAdminister(author.roles, kind, verb));
  if (more !== undefined) return `it lets its holders ${more.verb} ${more.kind}, which you may not`;
  // Taking a denial away gives power too.
  if (held !== undefined && held.deny.rules.length > 0 && JSON.stringify(held.deny.rules) !== JSON.stringify(written.deny.rules))
    return 'it changes what the role denies to administer';
  if (written.allow.approve.length > 0 && !author.roles.some(({ allow }) => allow.approve.length > 0))
    return 'it lets its holders approve requests, which you may not';
  return null;
}

function powersOf({ administer, allow }: Role): readonly { readonly kind: ResourceKind; readonly verb: ResourceVerb }[] {
  const all = [{ resources: administer ? (['*'] as const) : [], verbs: ['*'] as const }, ...allow.rules];
  return all.flatMap(({ resources, verbs }) =>
    resourceKinds
      .filter((kind) => includes(resources, kind))
      .flatMap((kind) => resourceVerbs.filter((verb) => includes(verbs, verb)).map((verb) => ({ kind, verb }))),
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
