/**
 * Logs in the command through a browser: the device authorization of RFC 8628, for certificates.
 *
 *     waiting ──approved by a user who has just signed in──► approved ──asked for by the command──► taken
 *        └──denied──► denied                 └──10 min──► (gone)
 *
 * The command names its public key at the start, and only that key is certified, so a stolen device code is useless. The
 * user code is short enough to type: it lasts ten minutes, works once, and lookups are limited. Phishing remains possible (a
 * stranger sends you their code): the page therefore shows where the request came from, and approval needs a sign-in within
 * the last ten minutes. A browser signed in by a link cannot approve, or a certificate could prolong itself forever. Tested
 * in login.test.ts.
 */
import { randomInt } from 'node:crypto';
import type { DeviceLogin, DeviceLoginAnswer, DeviceLoginFacts } from '#schemas/api/people/logins.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { loginsOf } from '#schemas/policy/node.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { certifiableKey } from '../../ca/certificates.js';
import { p256Key } from '../../ca/x509.js';
import { issueUserCertificate } from '../../certificates/users.js';
import type { IssueParts } from '../../certificates/users.js';
import { FRESH_MS, isFresh, requireFresh } from '../../web-sessions/fresh.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import { spendFreshness } from '../../records/records.js';
import { forgive } from '../users/guesses.js';
import type { Guesses } from '../users/guesses.js';
import { decideDeviceLogin, deviceLogin, deviceLoginByCode, insertDeviceLogin, takeDeviceLogin } from '../../records/logins.js';

const DEVICE_LOGIN_MS = 10 * 60_000;
const INTERVAL_S = 2;
/** Without vowels, so that no words appear, and without similar-looking letters (RFC 8628, 6.1). */
const alphabet = 'BCDFGHJKLMNPQRSTVWXZ';
const MAX_WAITING = 10_000;

export interface DeviceLoginParts extends IssueParts {
  readonly guesses: Guesses;
}

export class DeviceLogins {
  readonly #parts: DeviceLoginParts;

  constructor(parts: DeviceLoginParts) {
    this.#parts = parts;
  }

  async begin(
    given: {
      readonly public_key: string;
      readonly tls_key: string | undefined;
      readonly client: string;
      readonly user: string | undefined;
    },
    caller: Caller,
  ): Promise<DeviceLogin> {
    const { records, clock } = this.#parts;
    certifiableKey(given.public_key);
    if (given.tls_key !== undefined) p256Key(given.tls_key, 'tls_key');
    const now = clock();
    const [deviceCode, userCode] = [newToken(), newUserCode()];
    await records.actOn(async (tx) => {
      const { waiting } = await tx
        .selectFrom('device_logins')
        .select((e) => e.fn.countAll<number>().as('waiting'))
        .executeTakeFirstOrThrow();
      if (Number(waiting) >= MAX_WAITING) throw new StenoError('TOO_MANY', 'logins under way');
      await insertDeviceLogin(tx, {
        hash: hashOf(deviceCode),
        user_code: userCode,
        public_key: given.public_key,
        tls_key: given.tls_key ?? null,
        client: given.client,
        source: caller.source,
        wanted_user: given.user ?? null,
        created_at: now,
        expires_at: now + DEVICE_LOGIN_MS,
      });
      return {
        result: undefined,
        rows: [
          auditRow(now, caller, { event: 'device_login.begin', target: given.user ?? '', data: { code: userCode, client: given.client } }),
        ],
      };
    });
    return { device_code: deviceCode, user_code: userCode, expires_in: DEVICE_LOGIN_MS / 1000, interval: INTERVAL_S };
  }

  /**
   * The facts shown to a signed-in user for approval. Throws LOGIN_CODE_UNKNOWN, or LOGIN_BLOCKED after too many wrong
   * codes.
   */
  async facts(userCode: string, who: WebIdentity, caller: Caller): Promise<DeviceLoginFacts> {
    const { records, guesses, clock } = this.#parts;
    const key = `code:${who.user}` as const;
    await guesses.take([key]);
    const login = await records.read((db) => deviceLoginByCode(db, normalCode(userCode), clock()));
    if (login === undefined) throw new StenoError('LOGIN_CODE_UNKNOWN');
    await records.actOn(async (tx) => ({ result: await forgive(tx, [key]), rows: [] }));
    return {
      user_code: login.user_code,
      client: login.client,
      source_address: login.source,
      wanted_user: login.wanted_user,
      created_at: login.created_at,
      expires_at: login.expires_at,
      user: who.user,
      roles: who.roles.map(({ name }) => name),
      logins: loginsOf({ user: who.user, traits: (await records.user(who.user))?.traits ?? {}, roles: who.roles }),
      max_ttl: Math.min(...who.roles.map(({ max_ttl: ttl }) => ttl)),
      browser_address: caller.source,
      fresh: isFresh(who, clock()),
    };
  }

  /** Throws LOGIN_TOO_OLD if the approving sign-in is not fresh, or has approved a login before. */
  async decide(userCode: string, approve: boolean, who: WebIdentity, caller: Caller): Promise<void> {
    const { records, clock } = this.#parts;
    const now = clock();
    const code = normalCode(userCode);
    const login = await records.read((db) => deviceLoginByCode(db, code, now));
    if (login === undefined) throw new StenoError('LOGIN_CODE_UNKNOWN');
    if (approve) requireFresh(who, now);
    if (approve && login.wanted_user !== null && login.wanted_user !== who.user)
      throw new StenoError('ACCESS_DENIED', `this login is for ${login.wanted_user}`);
    const row = auditRow(
      now,
      { actor: who.user, source: caller.source },
      {
        event: approve ? 'device_login.approve' : 'device_login.deny',
        target: code,
        data: { requested_from: login.source, client: login.client, via: who.via, mfa: who.mfa },
      },
    );
    await records.act([row], async (tx) => {
      // One sign-in approves one login: a stolen cookie yields no second certificate, nor a first one unnoticed.
      if (approve && !(await spendFreshness(tx, hashOf(who.token), now - FRESH_MS)))
        throw new StenoError('LOGIN_TOO_OLD', 'this sign-in has already approved a login');
      if (
        !(await decideDeviceLogin(
          tx,
          code,
          approve ? { state: 'approved', user: who.user, mfa: who.mfa } : { state: 'denied', user: null, mfa: null },
          now,
        ))
      )
        throw new StenoError('LOGIN_CODE_UNKNOWN');
    });
  }

  /** Polled by the command. Throws LOGIN_ATTEMPT_OVER, LOGIN_DENIED, or the reason why no certificate is issued. */
  async poll(deviceCode: string, caller: Caller): Promise<DeviceLoginAnswer> {
    const { records, clock } = this.#parts;
    const hash = hashOf(deviceCode);
    const now = clock();
    const login = await records.read((db) => deviceLogin(db, hash, now));
    if (login === undefined || login.state === 'taken') throw new StenoError('LOGIN_ATTEMPT_OVER');
    if (login.state === 'denied') throw new StenoError('LOGIN_DENIED');
    if (login.state === 'waiting') return { state: 'waiting', interval: INTERVAL_S };
    const taken = await records.actOn(async (tx) => ({ result: await takeDeviceLogin(tx, hash, now), rows: [] }));
    if (taken === undefined || taken.user === null) throw new StenoError('LOGIN_ATTEMPT_OVER');
    return {
      state: 'approved',
      login: await issueUserCertificate(
        this.#parts,
        { actor: taken.user, source: caller.source },
        { user: taken.user, mfa: taken.mfa, requests: [] },
        taken.public_key,
        taken.tls_key ?? undefined,
      ),
    };
  }
}

function newUserCode(): string {
  const letters = Array.from({ length: 8 }, () => alphabet[randomInt(alphabet.length)]).join('');
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}

/** As people type it. */
function normalCode(text: string): string {
  const letters = text.toUpperCase().replace(/[^A-Z]/g, '');
  return `${letters.slice(0, 4)}-${letters.slice(4, 8)}`;
}
