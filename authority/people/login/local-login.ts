/**
 * Signing in with credentials known to the authority itself: password and code, or a passkey.
 *
 *     counted (guesses.ts) ──► user, password, code, all of them checked ──► one answer: web session, or LOGIN_FAILED
 *
 * Name, password and code arrive in one call, so that no answer tells which of them was right; an unknown name takes as long
 * as a known one. A user with passkeys and no password may leave it empty and give a recovery code: that is one factor, and
 * the session says so. The audit says which was used. Codes, recovery codes and passkey challenges each work once. Tested in
 * authority/people/users/users.test.ts.
 */
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { hashOf } from '#runtime/tokens.js';
import type { Tx } from '../../records/records.js';
import type { EnrolmentParts } from '../users/enrolment.js';
import { forgive, sourceKey } from '../users/guesses.js';
import type { GuessKey, Guesses } from '../users/guesses.js';
import { CEREMONY_MS, authenticationOptions, challengeOf, verifyAssertion } from '../users/passkeys.js';
import type { AuthenticationResponseJSON, PublicKeyCredentialRequestOptionsJSON } from '../users/passkeys.js';
import {
  deviceByCredential,
  devicesOf,
  findUser,
  insertCeremony,
  recoveryCodesLeft,
  setPassword,
  takeCeremony,
  takeCount,
  takeRecoveryCode,
  takeStep,
} from '../../records/users.js';
import { recoveryCodeHash } from '../users/recovery-codes.js';
import { totpStep } from '../users/totp.js';

export interface LocalLoginParts extends EnrolmentParts {
  readonly guesses: Guesses;
}

/** The user that a proof identified, and the device used. */
export interface Proven {
  readonly user: string;
  readonly mfa: string;
}

/** Used in place of a device's id for a recovery code. */
const RECOVERY_CODE = 'recovery-code';

export class LocalLogin {
  readonly #parts: LocalLoginParts;

  constructor(parts: LocalLoginParts) {
    this.#parts = parts;
  }

  async passkeyOptions(): Promise<PublicKeyCredentialRequestOptionsJSON> {
    const { records, sealer, site, clock } = this.#parts;
    const options = await authenticationOptions(site);
    await records.actOn(async (tx) => {
      await insertCeremony(tx, {
        hash: hashOf(options.challenge),
        kind: 'passkey-login',
        user: null,
        secret_sealed: sealer.seal('ceremony/passkey-login', Buffer.from(options.challenge)),
        expires_at: clock() + CEREMONY_MS,
      });
      return { result: undefined, rows: [] };
    });
    return options;
  }

  async withPassword(
    given: { readonly user: string; readonly password: string; readonly code: string },
    caller: Caller,
  ): Promise<WebIdentity> {
    const { records, passwords, guesses, sealer, clock } = this.#parts;
    const keys: readonly GuessKey[] = [sourceKey(caller.source), `user:${given.user}`];
    await guesses.take(keys);
    const { user, devices } = await records.read(async (db) => ({
      user: await findUser(db, given.user),
      devices: await devicesOf(db, given.user),
    }));
    const right = await passwords.verify(user?.password_hash ?? null, given.password);
    const now = clock();
    const step = devices
      .flatMap((device) =>
        device.kind === 'totp' && device.secret_sealed !== null
          ? [{ device, step: totpStep(sealer.open(`totp/${device.id}`, device.secret_sealed), given.code, now) }]
          : [],
      )
      .find((match) => match.step !== null);
    const recovery = recoveryCodeHash(given.code);
    if (user === undefined) throw failed('unknown user');
    if (user.kind !== 'local') throw failed('not a local user');
    // An authenticator app's code has six digits: without a password it could be guessed.
    const alone = user.password_hash === null && given.password === '' && recovery !== null;
    if (!right && !alone) throw failed('password');
    if (user.disabled_at !== null) throw failed('disabled');
    if (step === undefined && recovery === null) throw failed('code');
    const renewed = user.password_hash !== null && passwords.isOld(user.password_hash) ? await passwords.hash(given.password) : null;
    return this.#begin(caller, keys, async (tx) => {
      if (renewed !== null) await setPassword(tx, user.name, renewed, user.password_changed_at ?? now);
      if (step !== undefined && !alone) {
        if (!(await takeStep(tx, step.device.id, step.step!, now))) throw failed('the code was used before');
        return { user: user.name, mfa: step.device.id };
      }
      if (!(await takeRecoveryCode(tx, user.name, recovery!, now))) throw failed('recovery code');
      return { user: user.name, mfa: alone ? null : RECOVERY_CODE, recovery: true };
    });
  }

  async withPasskey(response: AuthenticationResponseJSON, caller: Caller): Promise<WebIdentity> {
    const keys = [sourceKey(caller.source)];
    await this.#parts.guesses.take(keys);
    const proven = await this.provePasskey(response);
    return this.#begin(caller, keys, async () => proven);
  }

  /** Finds the owner of the passkey that answered our challenge; its counter has advanced. Throws LOGIN_FAILED. */
  async provePasskey(response: AuthenticationResponseJSON): Promise<Proven> {
    const { records, site, clock } = this.#parts;
    const challenge = challengeOf(response);
    const now = clock();
    if (challenge === null) throw failed('passkey: no challenge');
    // Consume the challenge before checking the answer: it allows one try.
    const ceremony = await records.actOn(async (tx) => ({
      result: await takeCeremony(tx, hashOf(challenge), 'passkey-login', now),
      rows: [],
    }));
    if (ceremony === undefined) throw failed('passkey: the challenge is unknown, used or expired');
    const device = await records.read((db) => deviceByCredential(db, response.id));
    if (device === undefined) throw failed('passkey: unknown');
    const user = await records.read((db) => findUser(db, device.user));
    if (user === undefined || user.kind !== 'local' || user.disabled_at !== null) throw failed(`passkey: ${device.user} is disabled`);
    const counter = await verifyAssertion(site, response, challenge, device);
    await records.actOn(async (tx) => {
      if (!(await takeCount(tx, device.id, device.counter, counter, now))) throw failed('passkey: used twice at once');
      return { result: undefined, rows: [] };
    });
    return { user: user.name, mfa: device.id };
  }

  /** Checks a code of a user who is already signed in. Throws LOGIN_FAILED. */
  async proveCode(name: string, code: string, source: string): Promise<Proven> {
    const { records, guesses, sealer, clock } = this.#parts;
    const keys: readonly GuessKey[] = [sourceKey(source), `user:${name}`];
    await guesses.take(keys);
    const now = clock();
    for (const device of await records.read((db) => devicesOf(db, name))) {
      if (device.kind !== 'totp' || device.secret_sealed === null) continue;
      const step = totpStep(sealer.open(`totp/${device.id}`, device.secret_sealed), code, now);
      if (step === null) continue;
      return records.actOn(async (tx) => {
        if (!(await takeStep(tx, device.id, step, now))) throw failed('the code was used before');
        await forgive(tx, keys);
        return { result: { user: name, mfa: device.id }, rows: [] };
      });
    }
    throw failed('code');
  }

  async #begin(
    caller: Caller,
    keys: readonly GuessKey[],
    prove: (tx: Tx) => Promise<{ readonly user: string; readonly mfa: string | null; readonly recovery?: true }>,
  ): Promise<WebIdentity> {
    const { records, links, clock } = this.#parts;
    const { token, session } = await records.actOn(async (tx) => {
      const { user, mfa, recovery } = await prove(tx);
      await forgive(tx, keys);
      const left = recovery === true ? { recovery_codes_left: await recoveryCodesLeft(tx, user) } : {};
      return {
        result: await links.begin(tx, user, { via: 'local', mfa }),
        rows: [
          auditRow(
            clock(),
            { actor: user, source: caller.source },
            { event: 'user.login', target: user, data: { via: 'local', mfa, ...left } },
          ),
        ],
      };
    });
    return links.identity(token, session);
  }
}

/** The detail goes to the audit only (server.ts). */
function failed(detail: string): StenoError {
  return new StenoError('LOGIN_FAILED', detail);
}
