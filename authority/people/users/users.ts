/**
 * Administration of users: add, edit, disable, enable, remove.
 *
 *     (none) ──add──► invited ──accepts──► active ──disable──► disabled ──enable──► active
 *                        ▲                   │  └──rm──► (none, the name locked while certificates live)
 *                        └──────reset────────┘          (the name: names.ts)
 *
 * Certificates outlive a row of this table, so a disabled or removed user is also locked, which reaches live sessions.
 * Changed roles apply to browsers at once and to certificates from the next login on. Users cannot disable or remove
 * themselves. Tested in users.test.ts.
 */
import type { Invitation, UserInfo } from '#schemas/api/people/users.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Directory } from '../../directory/directory.js';
import { endRequests } from '../../records/requests.js';
import { endInvitations } from '../../records/session-invitations.js';
import { hashOf, newToken } from '#runtime/tokens.js';
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
/** Maximum lifetime of a user certificate (`max_ttl` of roles). */
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

  /**
   * Throws USER_EXISTS, USER_NAME_USED, POWER_LACKING, LOCKED while certificates of a removed user of this name may be
   * valid, and BAD_REQUEST for unknown roles.
   */
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

  /**
   * Throws POWER_LACKING also for power that the user already has and the author lacks: editing an account means deciding
   * about it.
   */
  async edit(name: string, grants: Partial<Grants>, author: Author): Promise<UserInfo> {
    const { guard } = this.#parts;
    if (grants.roles !== undefined) this.#checkRoles(grants.roles);
    await this.#act(name, author, async (tx, user, now) => {
      if (user.kind === 'sso') throw new StenoError('USER_NOT_LOCAL', name);
      const next: Grants = { roles: grants.roles ?? user.roles, traits: grants.traits ?? user.traits };
      guard.mayHand(author, { name, ...next });
      if (name === author.actor && this.#administers(user.roles) && !this.#administers(next.roles)) {
        throw new StenoError('BAD_REQUEST', 'roles: you would remove your own right to administer');
      }
      await setGrants(tx, name, next, now);
      return [
        ...(await endInvitations(tx, name, 'the user has other roles or traits', author, now)),
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
      const ended = await endInvitations(tx, name, 'the user was disabled', author, now);
      return [...ended, auditRow(now, author, { event: 'user.disable', target: name, data: { reason } })];
    });
  }

  async enable(name: string, author: Author): Promise<void> {
    await this.#act(name, author, async (tx, _user, now) => {
      await setDisabled(tx, name, null);
      await liftLock(tx, name);
      return [auditRow(now, author, { event: 'user.enable', target: name })];
    });
  }

  /** Reserves the name (names.ts), and ends what was granted to the user. */
  async remove(name: string, author: Author): Promise<void> {
    await this.#act(name, author, async (tx, _user, now) => {
      notSelf(name, author, 'remove');
      const ended = await endRequests(tx, name, 'the user was removed', author, now);
      await deleteUser(tx, name, now);
      await lockOut(tx, name, 'removed', author.actor, now, now + LONGEST_CERTIFICATE_MS);
      return [...ended, auditRow(now, author, { event: 'user.delete', target: name })];
    });
  }

  /** Creates a new invitation; previous credentials and grants of the user become invalid. Throws USER_NOT_LOCAL. */
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

  /** Releases the name of a removed user. Throws NOT_FOUND, and BAD_REQUEST while something still names the earlier user. */
  async release(name: string, author: Author): Promise<void> {
    const now = this.#parts.clock();
    await this.#parts.records.act([auditRow(now, author, { event: 'user_name.release', target: name })], async (tx) => {
      const webhook = (await webhooksOf(tx)).find(({ users }) => Object.values(users).includes(name));
      if (webhook !== undefined)
        throw new StenoError('BAD_REQUEST', `the webhook ${webhook.name} maps somebody to ${name}: remove that from its users first`);
      if (!(await releaseName(tx, name, now))) throw new StenoError('NOT_FOUND', `no removed user is named ${name}`);
    });
  }

  keptNames(): ReturnType<typeof keptNames> {
    return this.#parts.records.read(keptNames);
  }

  /** Whether the author may create such a user. Throws BAD_REQUEST, POWER_LACKING, LOCKED. */
  checkNew(name: string, grants: Grants, author: Author): void {
    this.#checkRoles(grants.roles);
    this.#parts.guard.mayHand(author, { name, ...grants });
    this.#checkName(name);
  }

  /**
   * One transaction: reads the user, checks that the author may decide about them, and writes the change and its rows. Then
   * publishes.
   */
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
    if (unknown !== undefined) throw new StenoError('BAD_REQUEST', `roles: role ${unknown} does not exist`);
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

/** The lock that accompanies disabling, removal or a detected copy: it reaches live sessions. */
export async function lockOut(tx: Tx, name: string, reason: string, by: string, now: number, expiresAt: number | null): Promise<void> {
  await putLock(tx, { id: lockId(name), target_kind: 'user', target: name, reason, expires_at: expiresAt }, by, now);
}

export async function liftLock(tx: Tx, name: string): Promise<void> {
  await tx.deleteFrom('locks').where('id', '=', lockId(name)).execute();
}

/** Id of the lock for a disabled or removed user: at most 63 characters, like all ids. */
function lockId(name: string): string {
  return name.length <= 56 ? `user.${name}` : `user.${hashOf(name).slice(0, 32)}`;
}
