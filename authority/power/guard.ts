/**
 * The one guard of power: nobody gives anybody, themselves and machines included, what they do not have themselves.
 *
 * What a role lets somebody do to users, roles, bots, nodes or connectors is only half of the answer; each such change also
 * passes here, and moves.ts lists every route with the check it passes. What somebody has, when they hand out, is what
 * they hold for good: their roles and traits as they are stored now, which must be those of their certificate. What an
 * access request granted them lets them act, but not hand out, but for a granted role that administers everything: who
 * granted that granted all. The comparisons themselves are pure (schemas/policy/power/). Decision 0054. Tested in
 * takeover.test.ts, and as a property in worlds.test.ts.
 */
import { rolesOfGrant } from '#schemas/documents/access-request.js';
import type { Lock } from '#schemas/documents/lock.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import { administersEverything } from '#schemas/policy/administration.js';
import { lackingForRole } from '#schemas/policy/power/documents.js';
import { lackingForLabels } from '#schemas/policy/power/labels.js';
import type { Relabelling } from '#schemas/policy/power/labels.js';
import { lackingForPrincipal } from '#schemas/policy/power/principals.js';
import { readByExpressions } from '#schemas/policy/power/within.js';
import type { Subject } from '#schemas/policy/subject.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import type { Caller } from '../records/audit.js';
import type { Directory } from '../directory/directory.js';
import { endRequests } from '../records/end-requests.js';
import type { Principal } from '../http/server.js';
import { wasNameReleased } from '../records/names.js';
import type { Records, Tx } from '../records/records.js';
import { findUser, setHandlers } from '../records/users.js';
import type { UserRecord } from '../records/users.js';

/** Who acts, with what they may hand out. */
export interface Author extends Caller {
  /** With the roles that they hold for good; all they act by, for who administers everything. */
  readonly subject: Subject;
  readonly everything: boolean;
  /** Whoever could be behind this account: itself, and those who have held a way into it. */
  readonly hands: readonly string[];
}

export class PowerGuard {
  readonly #records: Records;
  readonly #directory: Directory;

  constructor({ records, directory }: { readonly records: Records; readonly directory: Directory }) {
    this.#records = records;
    this.#directory = directory;
  }

  /** Throws LOGIN_TOO_OLD when roles or traits are others than those of the certificate, ACCESS_DENIED for who is no user. */
  async author({ principal, caller }: { readonly principal: Principal; readonly caller: Caller }): Promise<Author> {
    if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED', 'this is for users');
    const { identity } = principal;
    const user = await this.#records.read((db) => findUser(db, identity.user));
    if (user === undefined || user.disabled_at !== null)
      throw new StenoError('ACCESS_DENIED', `there is no user ${identity.user}, or it is disabled`);
    if (canonical(user) !== canonical(identity))
      throw new StenoError('LOGIN_TOO_OLD', 'your roles or traits have changed since; run `steno login`');
    const everything = administersEverything(principal.roles);
    const roles = everything ? principal.roles : rolesNamed(user.roles, this.#directory.current().roles);
    const hands = everything ? [] : await this.#records.read((db) => handsOn(db, user));
    return { ...caller, subject: { user: user.name, traits: user.traits, roles }, everything, hands };
  }

  /** May the author make, or take into their hands, an account like this? Throws POWER_LACKING; ACCESS_DENIED for their own. */
  mayHand(author: Author, account: Pick<UserRecord, 'name' | 'roles' | 'traits'>): void {
    if (author.everything) return;
    if (account.name === author.subject.user) throw new StenoError('ACCESS_DENIED', 'you cannot manage yourself');
    const known = this.#directory.current().roles;
    const gone = account.roles.find((name) => !known.some((role) => role.name === name));
    if (gone !== undefined) throw new StenoError('POWER_LACKING', `the role ${gone}, which does not exist`);
    const subject: Subject = { user: account.name, traits: account.traits, roles: rolesNamed(account.roles, known) };
    refuse(lackingForPrincipal(author.subject, subject, known), account.name);
  }

  /** May the author write this role? `before`: the document it replaces. Throws POWER_LACKING. */
  mayWriteRole(author: Author, written: Role, before: Role | undefined): void {
    if (author.everything) return;
    const { subject } = author;
    const known = this.#directory.current().roles;
    if (subject.roles.some(({ name }) => name === written.name))
      throw new StenoError('POWER_LACKING', `role ${written.name}: you hold it yourself`);
    refuse(lackingForRole({ roles: subject.roles, person: subject }, written, before), `role ${written.name}`);
    // The name alone opens something to whoever comes to hold the role.
    const reader = before === undefined ? known.find(readsRoles) : undefined;
    if (reader !== undefined) throw new StenoError('POWER_LACKING', `role ${written.name}: role ${reader.name} decides by names of roles`);
  }

  /** May the author decide who, of any name and traits, holds these roles? Throws POWER_LACKING. */
  mayMapTo(author: Author, names: readonly string[]): void {
    if (author.everything) return;
    const { subject } = author;
    const known = this.#directory.current().roles;
    for (const name of new Set(names)) {
      const role = known.find((one) => one.name === name);
      if (role === undefined || !subject.roles.includes(role))
        throw new StenoError('POWER_LACKING', `the role ${name}, which you do not hold`);
      refuse(lackingForRole({ roles: subject.roles, person: subject }, role, undefined), `role ${name}`);
    }
  }

  /** What was granted for the node counts as roles do: it may be denied as the node is. Throws POWER_LACKING. */
  mayLabel(author: Author, change: Relabelling): void {
    if (author.everything) return;
    const { roles, grants } = this.#directory.current();
    // A node that is another machine from now on has none: they end (inventory/nodes/registry.ts).
    const standing = change.before === null ? [] : grants;
    const granted = standing.flatMap((grant) => rolesOfGrant({ items: grant.items.filter(({ kind }) => kind !== 'role') }, roles) ?? []);
    refuse(lackingForLabels(author.subject, [...roles, ...granted], change), `node ${change.after.name}`);
  }

  /** May the author say which machine is behind a node's name, or pass for it? Throws POWER_LACKING. */
  mayStandFor(author: Author, node: Pick<NodeRecord, 'name' | 'labels'>): void {
    this.mayLabel(author, { before: null, after: node, on: 'every node' });
  }

  /** May the author end this lock? Not one on an account that they have had in their hands. Throws POWER_LACKING. */
  async mayLift(tx: Tx, author: Author, { target_kind: kind, target }: Pick<Lock, 'target_kind' | 'target'>): Promise<void> {
    if (author.everything) return;
    const { user } = author.subject;
    const owner =
      kind === 'user'
        ? target
        : kind === 'request'
          ? (await tx.selectFrom('access_requests').select('user').where('id', '=', target).executeTakeFirst())?.user
          : kind === 'mfa-device'
            ? (await tx.selectFrom('mfa_devices').select('user').where('id', '=', target).executeTakeFirst())?.user
            : undefined;
    if (owner === undefined) return;
    const record = await findUser(tx, owner);
    if (owner === user || (record !== undefined && (await handsOn(tx, record)).some((name) => author.hands.includes(name))))
      throw new StenoError('POWER_LACKING', `lifting a lock on ${kind} ${target}, which you have had in your hands`);
  }

  /** Who has had an account in their hands that the author makes. */
  handlersOf({ everything, hands }: Author): readonly string[] {
    return everything ? [] : [...hands].sort();
  }

  /**
   * The author takes an account over, or gives somebody a way into it: what was granted to it ends, and who takes it over does
   * not take its past. `others`: whether those who had a way in keep it. Call `mayHand` first. Rows for the audit.
   */
  async takeOver(
    tx: Tx,
    author: Author,
    user: UserRecord,
    others: 'keep' | 'lose',
    why: string,
    now: number,
  ): Promise<readonly AuditRow[]> {
    const before = others === 'keep' ? user.handlers : [];
    const handlers = [...new Set([...before, ...this.handlersOf(author)])].sort();
    // In nobody's hands any more, it has its past back, but for that of another who bore its name.
    const own = !author.everything
      ? now
      : handlers.length > 0 || others === 'keep'
        ? user.own_since
        : (await wasNameReleased(tx, user.name))
          ? user.created_at
          : null;
    await setHandlers(tx, user.name, handlers, own);
    return endRequests(tx, user.name, why, author, now);
  }
}

/** Whether one person could be behind both accounts: then neither reviews what the other asks for. */
export async function inOneHand(db: Parameters<typeof findUser>[0], one: UserRecord, other: UserRecord): Promise<boolean> {
  const [these, those] = [await handsOn(db, one), await handsOn(db, other)];
  return these.some((name) => those.includes(name));
}

/** The account, those who have held a way into it, and those who have into theirs. */
async function handsOn(db: Parameters<typeof findUser>[0] | Tx, user: UserRecord): Promise<readonly string[]> {
  const found = new Set([user.name]);
  const open = [...user.handlers];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    open.push(...((await findUser(db, name))?.handlers ?? []));
  }
  return [...found];
}

function readsRoles(role: Role): boolean {
  return readByExpressions(role).has('user.roles');
}

function canonical({ roles, traits }: { readonly roles: readonly string[]; readonly traits: Traits }): string {
  const filled = Object.entries(traits)
    .filter(([, values]) => values.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([[...new Set(roles)].sort(), filled]);
}

function refuse(lacking: string | null, what: string): void {
  if (lacking !== null) throw new StenoError('POWER_LACKING', `${what}: ${lacking}`);
}
