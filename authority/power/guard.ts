/**
 * Guards against privilege escalation: nobody can give anybody, including themselves and machines, power that they do not
 * have.
 *
 * A role's verbs on users, roles, bots, nodes or connectors are only half of the decision; each such change is also checked
 * here, and moves.ts lists every route with its check. The power that users can hand out is what they hold permanently:
 * their stored roles and traits, which must match their certificate. Power granted by an access request lets them act but
 * not hand out, except for a granted role that administers everything. The comparisons themselves are pure
 * (schemas/policy/power/). Decision 0054. Tested in takeover.test.ts, and as a property in worlds.test.ts.
 */
import { rolesOfGrant } from '#schemas/documents/access-request.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { InvitedMode } from '#schemas/documents/session-invitation.js';
import type { Lock } from '#schemas/documents/lock.js';
import { KUBE_LABEL, KUBE_NODE_LABEL } from '#schemas/kube/kube-cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import { administersEverything } from '#schemas/policy/administration.js';
import { lackingForRole } from '#schemas/policy/power/documents.js';
import { lackingForLabels } from '#schemas/policy/power/labels.js';
import type { Relabelling } from '#schemas/policy/power/labels.js';
import { lackingForPrincipal } from '#schemas/policy/power/principals.js';
import { readByExpressions } from '#schemas/policy/power/within.js';
import { decideSession } from '#schemas/policy/session.js';
import type { Subject } from '#schemas/policy/subject.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import type { Caller } from '../records/audit.js';
import type { Directory } from '../directory/directory.js';
import { endRequests } from '../records/requests.js';
import type { Principal } from '../http/server.js';
import { wasNameReleased } from '../records/names.js';
import type { Records, Tx } from '../records/records.js';
import { findUser, setHandlers } from '../records/users.js';
import type { UserRecord } from '../records/users.js';

/** The acting user, with the power they can hand out. */
export interface Author extends Caller {
  /** With permanently held roles; for users who administer everything, all roles they act by. */
  readonly subject: Subject;
  readonly everything: boolean;
  /** Everybody who could control this account: itself, and those who have had a way into it. */
  readonly hands: readonly string[];
}

export class PowerGuard {
  readonly #records: Records;
  readonly #directory: Directory;

  constructor({ records, directory }: { readonly records: Records; readonly directory: Directory }) {
    this.#records = records;
    this.#directory = directory;
  }

  /**
   * Throws LOGIN_TOO_OLD if roles or traits differ from those of the certificate, and ACCESS_DENIED for a caller that is not
   * a user.
   */
  async author({ principal, caller }: { readonly principal: Principal; readonly caller: Caller }): Promise<Author> {
    if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED', 'this route is for users');
    const { identity } = principal;
    const user = await this.#records.read((db) => findUser(db, identity.user));
    if (user === undefined || user.disabled_at !== null)
      throw new StenoError('ACCESS_DENIED', `user ${identity.user} does not exist or is disabled`);
    if (canonical(user) !== canonical(identity))
      throw new StenoError('LOGIN_TOO_OLD', 'your roles or traits have changed since; run `steno login`');
    const everything = administersEverything(principal.roles);
    const roles = everything ? principal.roles : rolesNamed(user.roles, this.#directory.current().roles);
    return this.#authorOf(caller, user, roles, everything);
  }

  /**
   * The same for the user of a web session (web-sessions/person.ts), who acts with their current permanent roles. Throws ACCESS_DENIED
   * if the user no longer exists.
   */
  async authorOnPage({ user: name, caller }: { readonly user: string; readonly caller: Caller }): Promise<Author> {
    const user = await this.#records.read((db) => findUser(db, name));
    if (user === undefined || user.disabled_at !== null)
      throw new StenoError('ACCESS_DENIED', `user ${name} does not exist or is disabled`);
    const roles = rolesNamed(user.roles, this.#directory.current().roles);
    return this.#authorOf(caller, user, roles, administersEverything(roles));
  }

  async #authorOf(caller: Caller, user: UserRecord, roles: readonly Role[], everything: boolean): Promise<Author> {
    const hands = everything ? [] : await this.#records.read((db) => handsOn(db, user));
    return { ...caller, subject: { user: user.name, traits: user.traits, roles }, everything, hands };
  }

  /**
   * Whether the author may create, or take control of, such an account. Throws POWER_LACKING; ACCESS_DENIED for their own.
   */
  mayHand(author: Author, account: Pick<UserRecord, 'name' | 'roles' | 'traits'>): void {
    if (author.everything) return;
    if (account.name === author.subject.user) throw new StenoError('ACCESS_DENIED', 'you cannot manage yourself');
    const known = this.#directory.current().roles;
    const gone = account.roles.find((name) => !known.some((role) => role.name === name));
    if (gone !== undefined) throw new StenoError('POWER_LACKING', `the role ${gone}, which does not exist`);
    const subject: Subject = { user: account.name, traits: account.traits, roles: rolesNamed(account.roles, known) };
    refuse(lackingForPrincipal(author.subject, subject, known), account.name);
  }

  /** Whether the author may write this role. `before`: the document it replaces. Throws POWER_LACKING. */
  mayWriteRole(author: Author, written: Role, before: Role | undefined): void {
    if (author.everything) return;
    const { subject } = author;
    const known = this.#directory.current().roles;
    if (subject.roles.some(({ name }) => name === written.name))
      throw new StenoError('POWER_LACKING', `role ${written.name}: you hold it yourself`);
    refuse(lackingForRole({ roles: subject.roles, person: subject }, written, before), `role ${written.name}`);
    // Some role decides by role names, so the name alone would open something to its holders.
    const reader = before === undefined ? known.find(readsRoles) : undefined;
    if (reader !== undefined) throw new StenoError('POWER_LACKING', `role ${written.name}: role ${reader.name} decides by role names`);
  }

  /** Whether the author may decide who, of any name and traits, holds these roles. Throws POWER_LACKING. */
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

  /** Grants for the node count like roles: it may be denied in the same way. Throws POWER_LACKING. */
  mayLabel(author: Author, change: Relabelling): void {
    if (author.everything) return;
    // Requests to the cluster would go through their machine.
    if (change.after.labels[KUBE_LABEL] !== change.before?.labels[KUBE_LABEL])
      throw new StenoError('POWER_LACKING', `the label ${KUBE_LABEL}, which makes a machine the way into a Kubernetes cluster`);
    // The node's reports about commands in pods are trusted.
    if (change.after.labels[KUBE_NODE_LABEL] !== change.before?.labels[KUBE_NODE_LABEL])
      throw new StenoError('POWER_LACKING', `the label ${KUBE_NODE_LABEL}, which makes a machine the node of a Kubernetes cluster`);
    const { roles, grants } = this.#directory.current();
    // A node that becomes another machine has no grants: they end (inventory/nodes/registry.ts).
    const standing = change.before === null ? [] : grants;
    const granted = standing.flatMap((grant) => rolesOfGrant({ items: grant.items.filter(({ kind }) => kind !== 'role') }, roles) ?? []);
    refuse(lackingForLabels(author.subject, [...roles, ...granted], change), `node ${change.after.name}`);
  }

  /** Whether the author may decide which machine is behind a node's name, or impersonate it. Throws POWER_LACKING. */
  mayStandFor(author: Author, node: Pick<NodeRecord, 'name' | 'labels'>): void {
    this.mayLabel(author, { before: null, after: node, on: 'every node' });
  }

  /** Whether the author may lift this lock: not one on an account that they have controlled. Throws POWER_LACKING. */
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
      throw new StenoError('POWER_LACKING', `lifting a lock on ${kind} ${target}, which you have controlled`);
  }

  /**
   * Whether the author may invite others into this session, in this mode. `about`: the gateway's description of the session; undefined:
   * nothing is known. Throws SESSION_NOT_LIVE for authors who may not know of the session, and ACCESS_DENIED.
   */
  mayInvite({ subject }: Author, about: LiveSessionDetails | undefined, mode: InvitedMode): void {
    if (about === undefined) throw new StenoError('SESSION_NOT_LIVE');
    const { own_since: names } = this.#directory.current();
    const person = Object.hasOwn(names, subject.user) ? { ...subject, since: names[subject.user]! } : subject;
    const verdict = decideSession(person, 'invite', about, about.labels, mode);
    if (verdict.allowed) return;
    const known = decideSession(person, 'list', about, about.labels).allowed;
    throw known ? new StenoError('ACCESS_DENIED', verdict.reason) : new StenoError('SESSION_NOT_LIVE');
  }

  /** The handlers of an account that the author creates. */
  handlersOf({ everything, hands }: Author): readonly string[] {
    return everything ? [] : [...hands].sort();
  }

  /**
   * The author takes over an account, or gives somebody a way into it: its grants end, and its past stays hidden from the
   * new controller. `others`: whether existing handlers keep their way in. Call `mayHand` first. Returns rows for the audit.
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
    // Once nobody controls the account any more, its past is visible again, except that of another user who had its name.
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

/** Whether one person could control both accounts: then neither may review the other's requests. */
export async function inOneHand(db: Parameters<typeof findUser>[0], one: UserRecord, other: UserRecord): Promise<boolean> {
  const [these, those] = [await handsOn(db, one), await handsOn(db, other)];
  return these.some((name) => those.includes(name));
}

/** The account, those who have had a way into it, and those who have had a way into theirs. */
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
