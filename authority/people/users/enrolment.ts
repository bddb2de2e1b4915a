/**
 * Enrolment: an invited user sets a password and a second factor, and a signed-in user adds more.
 *
 * Rule: a local user can sign in with a passkey, or with a password and an authenticator app. Changes that would leave
 * neither are refused. Setting up a way to sign in also issues recovery codes, in case it is lost (recovery-codes.ts). An
 * invitation is consumed at the end: until then its holder may start over, and of two concurrent completions one succeeds.
 * Secrets and recovery codes are shown once. Tested in users.test.ts.
 */
import { randomBytes } from 'node:crypto';
import type { InvitationFacts, NewDevice, TotpEnrolment } from '#schemas/api/people/account.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import type { Tx } from '../../records/records.js';
import type { Sealer } from '../../ca/seal.js';
import { checkStrength } from './password-strength.js';
import type { Passwords } from './passwords.js';
import { CEREMONY_MS, challengeOf, registrationOptions, verifyRegistration } from './passkeys.js';
import type { PublicKeyCredentialCreationOptionsJSON, Site } from './passkeys.js';
import {
  deleteDevice,
  devicesOf,
  endSessions,
  findCeremony,
  findInvitation,
  findUser,
  insertCeremony,
  insertDevice,
  recoveryCodesLeft,
  replaceRecoveryCodes,
  setPassword,
  takeCeremony,
  takeInvitation,
} from '../../records/users.js';
import type { Device, UserRecord } from '../../records/users.js';
import { newRecoveryCodes, recoveryCodeHash } from './recovery-codes.js';
import { newTotpSecret, totpEnrolment, totpStep } from './totp.js';
import type { UsersParts } from './users.js';

export interface EnrolmentParts extends UsersParts {
  readonly links: Links;
  readonly sealer: Sealer;
  readonly passwords: Passwords;
  readonly site: Site;
}

const MAX_DEVICES = 20;

export class Enrolment {
  readonly #parts: EnrolmentParts;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  allowsPasskeys(): boolean {
    return allowsPasskeys(this.#parts.site);
  }

  /** Throws INVITATION_OVER. */
  async facts(token: string): Promise<InvitationFacts> {
    const { user, expiresAt } = await this.#invited(token);
    return { user: user.name, roles: user.roles, expires_at: expiresAt, passkeys: allowsPasskeys(this.#parts.site) };
  }

  /** Whether the password may be chosen; called before the user continues. Throws PASSWORD_WEAK. */
  async checkPassword(token: string, password: string): Promise<void> {
    checkStrength(password, (await this.#invited(token)).user.name);
  }

  async beginTotp(who: Enrolling): Promise<TotpEnrolment> {
    const user = await this.#who(who);
    const { records, sealer, clock, site } = this.#parts;
    const [secret, ceremony] = [newTotpSecret(), newToken()];
    await records.actOn(async (tx) => {
      await insertCeremony(tx, {
        hash: hashOf(ceremony),
        kind: 'totp',
        user: user.name,
        secret_sealed: sealer.seal('ceremony/totp', secret),
        expires_at: clock() + 2 * CEREMONY_MS,
      });
      return { result: undefined, rows: [] };
    });
    return { ceremony, ...totpEnrolment(secret, user.name, site.name) };
  }

  async beginPasskey(who: Enrolling): Promise<PublicKeyCredentialCreationOptionsJSON> {
    const user = await this.#who(who);
    const { records, sealer, clock, site } = this.#parts;
    if (!allowsPasskeys(site)) throw new StenoError('PASSKEY_REFUSED', `passkeys do not work at ${site.origin}`);
    const options = await registrationOptions(
      site,
      { name: user.name, createdAt: user.created_at },
      await records.read((db) => devicesOf(db, user.name)),
    );
    await records.actOn(async (tx) => {
      await insertCeremony(tx, {
        hash: hashOf(options.challenge),
        kind: 'passkey',
        user: user.name,
        secret_sealed: sealer.seal('ceremony/passkey', Buffer.from(options.challenge)),
        expires_at: clock() + CEREMONY_MS,
      });
      return { result: undefined, rows: [] };
    });
    return options;
  }

  /** Consumes the invitation; the user can sign in and is signed in. */
  async accept(
    token: string,
    given: { readonly password?: string | undefined; readonly device: NewDevice },
    caller: Caller,
  ): Promise<{ readonly identity: WebIdentity; readonly recovery_codes: readonly string[] }> {
    const { records, links, passwords, clock } = this.#parts;
    const { user } = await this.#invited(token);
    if (given.password !== undefined) checkStrength(given.password, user.name);
    if (given.password === undefined && given.device.kind !== 'passkey')
      throw new StenoError('SECOND_FACTOR_REQUIRED', 'a password is missing');
    const device = await this.#verifyDevice(user, given.device);
    const hash = given.password === undefined ? null : await passwords.hash(given.password);
    const codes = newRecoveryCodes();
    const now = clock();
    const begun = await records.actOn(async (tx) => {
      if ((await takeInvitation(tx, hashOf(token), now)) === undefined) throw new StenoError('INVITATION_OVER');
      await this.#takeDevice(tx, device, now);
      if (hash !== null) await setPassword(tx, user.name, hash, now);
      await replaceRecoveryCodes(
        tx,
        user.name,
        codes.map((code) => recoveryCodeHash(code)!),
      );
      const who = { actor: user.name, source: caller.source };
      return {
        result: await links.begin(tx, user.name, { via: 'local', mfa: device.row.id }),
        rows: [
          auditRow(now, who, {
            event: 'invitation.accept',
            target: user.name,
            data: { password: hash !== null, device: device.row.id, kind: device.row.kind },
          }),
          codesCreated(now, who, user.name),
          auditRow(now, who, { event: 'user.login', target: user.name, data: { via: 'invitation', mfa: device.row.id } }),
        ],
      };
    });
    return { identity: await links.identity(begun.token, begun.session), recovery_codes: codes };
  }

  async addDevice(user: string, given: NewDevice, caller: Caller): Promise<{ readonly recovery_codes: readonly string[] }> {
    const { records, clock } = this.#parts;
    const record = await this.#local(user);
    const device = await this.#verifyDevice(record, given);
    const now = clock();
    return records.actOn(async (tx) => {
      if ((await devicesOf(tx, user)).length >= MAX_DEVICES) throw new StenoError('TOO_MANY', `devices of ${user}`);
      await this.#takeDevice(tx, device, now);
      const codes = (await recoveryCodesLeft(tx, user)) > 0 ? [] : newRecoveryCodes();
      if (codes.length > 0)
        await replaceRecoveryCodes(
          tx,
          user,
          codes.map((code) => recoveryCodeHash(code)!),
        );
      const who = { ...caller, actor: user };
      const row = auditRow(now, who, {
        event: 'mfa_device.add',
        target: device.row.id,
        data: { user, kind: device.row.kind, label: device.row.label },
      });
      return { result: { recovery_codes: codes }, rows: codes.length === 0 ? [row] : [row, codesCreated(now, who, user)] };
    });
  }

  /** Signs out other browsers. Throws DEVICE_UNKNOWN, SECOND_FACTOR_REQUIRED. */
  async removeDevice(user: string, id: string, session: string, caller: Caller): Promise<void> {
    const { records, clock } = this.#parts;
    const record = await this.#local(user);
    await records.act(
      [auditRow(clock(), { ...caller, actor: user }, { event: 'mfa_device.remove', target: id, data: { user } })],
      async (tx) => {
        if (!(await deleteDevice(tx, user, id))) throw new StenoError('DEVICE_UNKNOWN', id);
        const left = await devicesOf(tx, user);
        if (!canSignIn(record.password_hash !== null, left)) throw new StenoError('SECOND_FACTOR_REQUIRED');
        await endSessions(tx, user, hashOf(session));
      },
    );
  }

  async setPassword(user: string, password: string, session: string, caller: Caller): Promise<void> {
    const { records, passwords, clock } = this.#parts;
    const record = await this.#local(user);
    checkStrength(password, user);
    const hash = await passwords.hash(password);
    await records.act(
      [
        auditRow(
          clock(),
          { ...caller, actor: user },
          { event: 'user.password', target: user, data: { first: record.password_hash === null } },
        ),
      ],
      async (tx) => {
        await setPassword(tx, user, hash, clock());
        await endSessions(tx, user, hashOf(session));
      },
    );
  }

  async newRecoveryCodes(user: string, caller: Caller): Promise<{ readonly recovery_codes: readonly string[] }> {
    const { records, clock } = this.#parts;
    await this.#local(user);
    const codes = newRecoveryCodes();
    await records.act([codesCreated(clock(), { ...caller, actor: user }, user)], (tx) =>
      replaceRecoveryCodes(
        tx,
        user,
        codes.map((code) => recoveryCodeHash(code)!),
      ),
    );
    return { recovery_codes: codes };
  }

  async #verifyDevice(user: UserRecord, given: NewDevice): Promise<VerifiedDevice> {
    const { records, sealer, site, clock } = this.#parts;
    const now = clock();
    const base = { id: `mfa-${randomBytes(8).toString('hex')}`, user: user.name, label: given.label, created_at: now };
    if (given.kind === 'totp') {
      const hash = hashOf(given.ceremony);
      const ceremony = await records.read((db) => findCeremony(db, hash, 'totp', now));
      if (ceremony?.user !== user.name) throw new StenoError('LOGIN_ATTEMPT_OVER', 'the code of the authenticator app');
      const secret = sealer.open('ceremony/totp', ceremony.secret_sealed);
      const step = totpStep(secret, given.code, now);
      if (step === null) throw new StenoError('CODE_WRONG');
      // The time step of this code is consumed: it must not also sign in.
      const row: VerifiedDevice['row'] = {
        ...base,
        kind: 'totp',
        secret_sealed: sealer.seal(`totp/${base.id}`, secret),
        credential_id: null,
        public_key: null,
        counter: step,
        transports: '[]',
      };
      return { row, ceremony: { hash, kind: 'totp' } };
    }
    const challenge = challengeOf(given.response);
    const hash = hashOf(challenge ?? '');
    const ceremony = await records.read((db) => findCeremony(db, hash, 'passkey', now));
    if (challenge === null || ceremony?.user !== user.name) throw new StenoError('LOGIN_ATTEMPT_OVER', 'the passkey');
    const verified = await verifyRegistration(site, given.response, challenge).catch((cause: unknown) => {
      throw new StenoError('PASSKEY_REFUSED', undefined, { cause });
    });
    return { row: { ...base, kind: 'passkey', secret_sealed: null, ...verified }, ceremony: { hash, kind: 'passkey' } };
  }

  async #takeDevice(tx: Tx, { row, ceremony }: VerifiedDevice, now: number): Promise<void> {
    if ((await takeCeremony(tx, ceremony.hash, ceremony.kind, now)) === undefined) throw new StenoError('LOGIN_ATTEMPT_OVER');
    if (
      row.credential_id !== null &&
      (await tx.selectFrom('mfa_devices').select('id').where('credential_id', '=', row.credential_id).executeTakeFirst()) !== undefined
    ) {
      throw new StenoError('PASSKEY_REFUSED', 'it is already registered');
    }
    await insertDevice(tx, row);
  }

  async #who(who: Enrolling): Promise<UserRecord> {
    return who.kind === 'invited' ? (await this.#invited(who.token)).user : this.#local(who.user);
  }

  async #invited(token: string): Promise<{ readonly user: UserRecord; readonly expiresAt: number }> {
    const { records, clock } = this.#parts;
    return records.read(async (db) => {
      const invitation = await findInvitation(db, hashOf(token), clock());
      const user = invitation === undefined ? undefined : await findUser(db, invitation.user);
      if (invitation === undefined || user === undefined || user.disabled_at !== null) throw new StenoError('INVITATION_OVER');
      return { user, expiresAt: invitation.expires_at };
    });
  }

  async #local(name: string): Promise<UserRecord> {
    const user = await this.#parts.records.read((db) => findUser(db, name));
    if (user === undefined || user.kind !== 'local') throw new StenoError('USER_NOT_LOCAL', name);
    return user;
  }
}

/** Who enrols: the holder of an invitation, or a signed-in user. */
export type Enrolling = { readonly kind: 'invited'; readonly token: string } | { readonly kind: 'user'; readonly user: string };

interface VerifiedDevice {
  readonly row: Omit<Device, 'last_used_at'>;
  readonly ceremony: { readonly hash: string; readonly kind: 'totp' | 'passkey' };
}

/** Each list replaces the previous one. */
function codesCreated(now: number, who: Caller, user: string): ReturnType<typeof auditRow> {
  return auditRow(now, who, { event: 'recovery_codes.create', target: user });
}

function canSignIn(password: boolean, devices: readonly Pick<Device, 'kind'>[]): boolean {
  return devices.some(({ kind }) => kind === 'passkey') || (password && devices.some(({ kind }) => kind === 'totp'));
}

/** Browsers support passkeys for host names only, and without TLS only on this machine. */
export function allowsPasskeys({ origin }: Site): boolean {
  const { protocol, hostname } = new URL(origin);
  const isName = !/^[\d.]+$|^\[/.test(hostname);
  return isName && (protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost'));
}
