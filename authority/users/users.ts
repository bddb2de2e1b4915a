/**
 * Users as an administrator sees them: made, changed, put out, let in again, forgotten.
 *
 *     (none) ──add──► invited ──accepts──► active ──disable──► disabled ──enable──► active
 *                        ▲                   │  └──rm──► (none, the name locked while certificates live)
 *                        └──────reset────────┘
 *
 * Certificates outlive a row of this table, so whoever is disabled or removed is locked too: that reaches live sessions.
 * Changed roles count for browsers at once and for certificates from the next login on. Nobody can put themselves out.
 * Tested in users.test.ts.
 */
import type { Invitation, UserInfo } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { Traits } from '#schemas/identity.js';
import { administersEverything } from '#schemas/policy/administration.js';
import type { Role } from '#schemas/role.js';
import { auditRow } from '../audit.js';
import type { Caller } from '../audit.js';
import type { Directory } from '../directory.js';
import { hashOf, newToken } from '../links.js';
import { putLock } from '../records.js';
import type { Records, Tx } from '../records.js';
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
} from './records.js';
import type { UserRecord } from './records.js';

export const INVITATION_MS = 24 * 3_600_000;
/** No certificate of a user lives longer (`max_ttl` of roles). */
const LONGEST_CERTIFICATE_MS = 108_000_000;

export interface UsersParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  /** Base URL of the page, for links. */
  readonly web: string;
}

export interface Grants {
  readonly roles: readonly string[];
  readonly traits: Traits;
}

/** Who acts, and with which roles. */
export interface Administrator extends Caller {
  readonly roles: readonly Role[];
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

  /** Throws USER_EXISTS, LOCKED while certificates of a removed user of this name may live, BAD_REQUEST for unknown roles. */
  async add(name: string, grants: Grants, caller: Administrator): Promise<Invitation> {
    this.checkGrants(name, grants.roles, caller);
    mayGiveTraits(caller, name, grants.traits, {});
    const now = this.#parts.clock();
    const invitation = newInvitation(this.#parts.web, name, now);
    await this.#parts.records.act(
      [auditRow(now, caller, { event: 'user.create', target: name, data: { ...grants, kind: 'local' } })],
      async (tx) => {
        if (!(await insertUser(tx, { name, kind: 'local', connector: null, created_by: caller.actor, ...grants }, now)))
          throw new StenoError('USER_EXISTS', name);
        await insertInvitation(tx, invitation.hash, name, caller.actor, now, invitation.expires_at);
      },
    );
    return invitation.shown;
  }

  async edit(name: string, grants: Partial<Grants>, caller: Administrator): Promise<UserInfo> {
    const user = await this.#known(name);
    if (user.kind === 'sso') throw new StenoError('USER_NOT_LOCAL', name);
    const next: Grants = { roles: grants.roles ?? user.roles, traits: grants.traits ?? user.traits };
    this.#checkRoles(next.roles);
    mayHandle(caller, [...user.roles, ...next.roles]);
    mayGiveTraits(caller, name, next.traits, user.traits);
    if (name === caller.actor && this.#administers(user.roles) && !this.#administers(next.roles)) {
      throw new StenoError('BAD_REQUEST', 'roles: you would take from yourself the right to administer');
    }
    await this.#act(
      { event: 'user.update', target: name, data: { ...next, before: { roles: user.roles, traits: user.traits } } },
      caller,
      (tx) => setGrants(tx, name, next, this.#parts.clock()),
    );
    return this.show(name);
  }

  async disable(name: string, reason: string, caller: Administrator): Promise<void> {
    mayHandle(caller, (await this.#known(name)).roles);
    notSelf(name, caller, 'disable');
    await this.#act({ event: 'user.disable', target: name, data: { reason } }, caller, async (tx, now) => {
      await setDisabled(tx, name, now);
      await endSessions(tx, name);
      await lockOut(tx, name, `disabled${reason === '' ? '' : `: ${reason}`}`, caller.actor, now, null);
    });
  }

  async enable(name: string, caller: Administrator): Promise<void> {
    mayHandle(caller, (await this.#known(name)).roles);
    await this.#act({ event: 'user.enable', target: name }, caller, async (tx) => {
      await setDisabled(tx, name, null);
      await liftLock(tx, name);
    });
  }

  async remove(name: string, caller: Administrator): Promise<void> {
    mayHandle(caller, (await this.#known(name)).roles);
    notSelf(name, caller, 'remove');
    await this.#act({ event: 'user.delete', target: name }, caller, async (tx, now) => {
      await deleteUser(tx, name);
      await lockOut(tx, name, 'removed', caller.actor, now, now + LONGEST_CERTIFICATE_MS);
    });
  }

  /** A new invitation; what the user signed in with until now no longer counts. Throws USER_NOT_LOCAL. */
  async reset(name: string, caller: Administrator): Promise<Invitation> {
    const user = await this.#known(name);
    mayHandle(caller, user.roles);
    if (user.kind !== 'local') throw new StenoError('USER_NOT_LOCAL', name);
    const invitation = newInvitation(this.#parts.web, name, this.#parts.clock());
    await this.#act({ event: 'user.reset', target: name }, caller, async (tx, now) => {
      await voidCredentials(tx, name, now);
      await insertInvitation(tx, invitation.hash, name, caller.actor, now, invitation.expires_at);
    });
    return invitation.shown;
  }

  /** Whether the caller may give these roles to a new user of this name. Throws BAD_REQUEST, ACCESS_DENIED, LOCKED. */
  checkGrants(name: string, roles: readonly string[], caller: Administrator): void {
    this.#checkRoles(roles);
    mayHandle(caller, roles);
    this.#checkName(name);
  }

  /** Whether the caller may handle a user of these roles. Throws ACCESS_DENIED. */
  checkHandles(roles: readonly string[], caller: Administrator): void {
    mayHandle(caller, roles);
  }

  /** One transaction with its audit row, then the new state is told. */
  async #act(act: Parameters<typeof auditRow>[2], caller: Caller, change: (tx: Tx, now: number) => Promise<void>): Promise<void> {
    const { records, directory, clock } = this.#parts;
    const now = clock();
    await records.act([auditRow(now, caller, act)], (tx) => change(tx, now));
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
        .executeTakeFirst();
      const { name, kind, connector, roles, traits, created_at, created_by, disabled_at } = user;
      return {
        name,
        kind,
        connector,
        roles,
        traits,
        created_at,
        created_by,
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

/**
 * Whoever does not administer everything handles only users with no role but their own, and gives none but those: an
 * invitation is a way in, with all that its user may do. Throws ACCESS_DENIED.
 */
function mayHandle({ roles }: Administrator, handled: readonly string[]): void {
  if (administersEverything(roles)) return;
  const more = handled.find((name) => !roles.some((role) => role.name === name));
  if (more !== undefined) throw new StenoError('ACCESS_DENIED', `you do not hold the role ${more} yourself`);
}

/** Templates and expressions of roles turn traits into logins and nodes: a role that one holds may give more by them. Throws ACCESS_DENIED. */
function mayGiveTraits({ actor, roles }: Administrator, name: string, traits: Traits, before: Traits): void {
  if (administersEverything(roles)) return;
  if (name === actor) throw new StenoError('ACCESS_DENIED', 'you cannot manage yourself');
  if (JSON.stringify(traits) !== JSON.stringify(before))
    throw new StenoError('ACCESS_DENIED', 'traits are given by those who administer everything');
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
