/**
 * Users as an administrator sees them: made, changed, put out, let in again, forgotten.
 *
 *     (none) ──add──► invited ──accepts──► active ──disable──► disabled ──enable──► active
 *                        ▲                   │  └──rm──► (none, the name locked while certificates live)
 *                        └──────reset────────┘          (the name: names.ts)
 *
 * Certificates outlive a row of this table, so whoever is disabled or removed is locked too: that reaches live sessions.
 * Changed roles count for browsers at once and for certificates from the next login on. Nobody can put themselves out.
 * Tested in users.test.ts.
 */
import type { Invitation, UserInfo } from '#schemas/api/people/users.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Directory } from '../../directory/directory.js';
import { endRequests } from '../../records/end-requests.js';
import { hashOf, newToken } from '../../records/tokens.js';
import { keptNames, releaseName } from '../../records/names.js';
import type { Author, PowerGuard } from '../../power/guard.js';
import { putLock } from '../../records/records.js';
import type { Records, Tx } from '../../records/records.js';
import {
  deleteUser,
  devicesOf,
  endSessions,
  findUser,
  insertInvitation,
  insertUser,
  listUsers,
  recoveryCodesLeft,
  setDisabled,
  setGrants,
  voidCredentials,
} from '../../records/users.js';
import type { UserRecord } from '../../records/users.js';
import { webhooksOf } from '../../records/webhooks.js';

export const INVITATION_MS = 24 * 3_600_000;
/** No certificate of a user lives longer (`max_ttl` of roles). */
const LONGEST_CERTIFICATE_MS = 108_000_000;

export interface UsersParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  readonly guard: PowerGuard;
  /** Base URL of the page, for links. */
  readonly web: string;
}

export interface Grants {
  readonly roles: readonly string[];
  readonly traits: Traits;
}

export class Users {
  readonly #parts: UsersParts;

  constructor(parts: UsersParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly UserInfo[]> {
    const users = await this.#parts.records.read(listUsers);
    return Promise.all(users.map((user) => this.#info(user)));
  }

  /** Throws USER_UNKNOWN. */
  async show(name: string): Promise<UserInfo> {
    return this.#info(await this.#known(name));
  }

  /** Throws USER_EXISTS, USER_NAME_USED, POWER_LACKING, LOCKED while certificates of a removed user of this name may live, BAD_REQUEST for unknown roles. */
  async add(name: string, grants: Grants, author: Author): Promise<Invitation> {
    const { guard } = this.#parts;
    this.checkNew(name, grants, author);
    const now = this.#parts.clock();
    const invitation = newInvitation(this.#parts.web, name, now);
    await this.#parts.records.act(
      [auditRow(now, author, { event: 'user.create', target: name, data: { ...grants, kind: 'local' } })],
      async (tx) => {
        const user = {
          name,
          kind: 'local',
          connector: null,
          created_by: author.actor,
          handlers: guard.handlersOf(author),
          ...grants,
        } as const;
        if (!(await insertUser(tx, user, now))) throw new StenoError('USER_EXISTS', name);
        await insertInvitation(tx, invitation.hash, name, author.actor, now, invitation.expires_at);
      },
    );
    await this.#parts.directory.changed();
    return invitation.shown;
  }

  /** Throws POWER_LACKING also for what the user has already and the author has not: whoever decides about it decides about them. */
  async edit(name: string, grants: Partial<Grants>, author: Author): Promise<UserInfo> {
    const { guard } = this.#parts;
    if (grants.roles !== undefined) this.#checkRoles(grants.roles);
    await this.#act(name, author, async (tx, user, now) => {
      if (user.kind === 'sso') throw new StenoError('USER_NOT_LOCAL', name);
      const next: Grants = { roles: grants.roles ?? user.roles, traits: grants.traits ?? user.traits };
      guard.mayHand(author, { name, ...next });
      if (name === author.actor && this.#administers(user.roles) && !this.#administers(next.roles)) {
        throw new StenoError('BAD_REQUEST', 'roles: you would take from yourself the right to administer');
      }
      await setGrants(tx, name, next, now);
      return [
        auditRow(now, author, {
          event: 'user.update',
          target: name,
          data: { ...next, before: { roles: user.roles, traits: user.traits } },
        }),
      ];
    });
    return this.show(name);
  }

  async disable(name: string, reason: string, author: Author): Promise<void> {
    await this.#act(name, author, async (tx, _user, now) => {
      notSelf(name, author, 'disable');
      await setDisabled(tx, name, now);
      await endSessions(tx, name);
      await lockOut(tx, name, `disabled${reason === '' ? '' : `: ${reason}`}`, author.actor, now, null);
      return [auditRow(now, author, { event: 'user.disable', target: name, data: { reason } })];
    });
  }

  async enable(name: string, author: Author): Promise<void> {
    await this.#act(name, author, async (tx, _user, now) => {
      await setDisabled(tx, name, null);
      await liftLock(tx, name);
      return [auditRow(now, author, { event: 'user.enable', target: name })];
    });
  }

  /** The name is kept from others (names.ts), and what was granted to the user ends. */
  async remove(name: string, author: Author): Promise<void> {
    await this.#act(name, author, async (tx, _user, now) => {
      notSelf(name, author, 'remove');
      const ended = await endRequests(tx, name, 'the user was removed', author, now);
      await deleteUser(tx, name, now);
      await lockOut(tx, name, 'removed', author.actor, now, now + LONGEST_CERTIFICATE_MS);
      return [...ended, auditRow(now, author, { event: 'user.delete', target: name })];
    });
  }

  /** A new invitation; what the user signed in with until now no longer counts, nor what was granted to them. Throws USER_NOT_LOCAL. */
  async reset(name: string, author: Author): Promise<Invitation> {
    const { guard } = this.#parts;
    const invitation = newInvitation(this.#parts.web, name, this.#parts.clock());
    await this.#act(name, author, async (tx, user, now) => {
      if (user.kind !== 'local') throw new StenoError('USER_NOT_LOCAL', name);
      const ended = await guard.takeOver(tx, author, user, 'lose', 'the account was reset', now);
      await voidCredentials(tx, name, now);
      await insertInvitation(tx, invitation.hash, name, author.actor, now, invitation.expires_at);
      return [...ended, auditRow(now, author, { event: 'user.reset', target: name })];
    });
    return invitation.shown;
  }

  /** Lets a name be used again whose user was removed. Throws NOT_FOUND, and BAD_REQUEST while something still names the earlier user. */
  async release(name: string, author: Author): Promise<void> {
    const now = this.#parts.clock();
    await this.#parts.records.act([auditRow(now, author, { event: 'user_name.release', target: name })], async (tx) => {
      const webhook = (await webhooksOf(tx)).find(({ users }) => Object.values(users).includes(name));
      if (webhook !== undefined)
        throw new StenoError(
          'BAD_REQUEST',
          `the webhook ${webhook.name} lets somebody answer as ${name}: take that out of its users first`,
        );
      if (!(await releaseName(tx, name, now))) throw new StenoError('NOT_FOUND', `a removed user of the name ${name}`);
    });
  }

  keptNames(): ReturnType<typeof keptNames> {
    return this.#parts.records.read(keptNames);
  }

  /** Whether the author may make a user like this. Throws BAD_REQUEST, POWER_LACKING, LOCKED. */
  checkNew(name: string, grants: Grants, author: Author): void {
    this.#checkRoles(grants.roles);
    this.#parts.guard.mayHand(author, { name, ...grants });
    this.#checkName(name);
  }

  /** One transaction: the user as they are in it, whether the author may decide about them, the change and its rows. Then the new state is told. */
  async #act(name: string, author: Author, change: (tx: Tx, user: UserRecord, now: number) => Promise<readonly AuditRow[]>): Promise<void> {
    const { records, directory, clock, guard } = this.#parts;
    await records.actOn(async (tx) => {
      const user = await findUser(tx, name);
      if (user === undefined) throw new StenoError('USER_UNKNOWN', name);
      guard.mayHand(author, user);
      return { result: undefined, rows: await change(tx, user, clock()) };
    });
    await directory.changed();
  }

  async #known(name: string): Promise<UserRecord> {
    const user = await this.#parts.records.read((db) => findUser(db, name));
    if (user === undefined) throw new StenoError('USER_UNKNOWN', name);
    return user;
  }

  #checkRoles(roles: readonly string[]): void {
    const known = this.#parts.directory.current().roles;
    const unknown = roles.find((role) => !known.some(({ name }) => name === role));
    if (unknown !== undefined) throw new StenoError('BAD_REQUEST', `roles: there is no role ${unknown}`);
  }

  #checkName(name: string): void {
    const lock = this.#parts.directory.current().locks.find(({ target_kind: kind, target }) => kind === 'user' && target === name);
    if (lock !== undefined)
      throw new StenoError('LOCKED', `the name ${name}: ${lock.reason}; certificates of an earlier ${name} may still be in use`);
  }

  #administers(roles: readonly string[]): boolean {
    return this.#parts.directory.current().roles.some((role) => role.administer && roles.includes(role.name));
  }

  async #info(user: UserRecord): Promise<UserInfo> {
    const { records, clock } = this.#parts;
    return records.read(async (db) => {
      const devices = await devicesOf(db, user.name);
      const invitation = await db
        .selectFrom('invitations')
        .select('expires_at')
        .where('user', '=', user.name)
        .where('used_at', 'is', null)
        .where('expires_at', '>', clock())
        .executeTakeFirst();
      const login = await db
        .selectFrom('certificates')
        .select((e) => e.fn.max('issued_at').as('at'))
        .where('user', '=', user.name)
        .where('kind', '=', 'user')
        .where('issued_at', '>=', user.created_at)
        .executeTakeFirst();
      const { name, kind, connector, roles, traits, created_at, created_by, disabled_at, handlers } = user;
      return {
        name,
        kind,
        connector,
        roles,
        traits,
        created_at,
        created_by,
        handlers,
        disabled_at,
        password: user.password_hash !== null,
        devices: devices.map((device) => ({
          id: device.id,
          kind: device.kind,
          label: device.label,
          created_at: device.created_at,
          last_used_at: device.last_used_at,
        })),
        recovery_codes_left: await recoveryCodesLeft(db, name),
        invited_until: invitation?.expires_at ?? null,
        last_login_at: login?.at ?? null,
      };
    });
  }
}

function newInvitation(
  web: string,
  user: string,
  now: number,
): { readonly hash: string; readonly expires_at: number; readonly shown: Invitation } {
  const token = newToken();
  const expires_at = now + INVITATION_MS;
  // In the fragment, which browsers do not send: the token appears in no log and no referrer.
  return { hash: hashOf(token), expires_at, shown: { user, link: `${web}/invitation#${token}`, expires_at } };
}

function notSelf(name: string, caller: Caller, verb: string): void {
  if (name === caller.actor) throw new StenoError('BAD_REQUEST', `you cannot ${verb} yourself`);
}

/** The lock that goes with being disabled, removed or found out: it reaches live sessions. */
export async function lockOut(tx: Tx, name: string, reason: string, by: string, now: number, expiresAt: number | null): Promise<void> {
  await putLock(tx, { id: lockId(name), target_kind: 'user', target: name, reason, expires_at: expiresAt }, by, now);
}

export async function liftLock(tx: Tx, name: string): Promise<void> {
  await tx.deleteFrom('locks').where('id', '=', lockId(name)).execute();
}

/** The lock that belongs to a user's being disabled or removed: at most 63 characters, as all ids. */
function lockId(name: string): string {
  return name.length <= 56 ? `user.${name}` : `user.${hashOf(name).slice(0, 32)}`;
}
