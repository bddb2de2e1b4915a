/**
 * Second factors for single sessions: a role asks for one (`require_session_mfa`), the gateway holds the session, the
 * user confirms it in a browser.
 *
 *     waiting ──code or passkey of this very user──► approved ──session certificate──► taken
 *        └──denied──► denied                             └──a minute──► (gone)
 *
 * The address that the user opens contains a token that identifies the session and proves nothing: confirming requires a
 * browser signed in as the same user, and a fresh proof there. Users of single sign-on sign in again, after the session was
 * requested, with a provider that vouches for a second factor. An approval is valid for one certificate of this user, login,
 * node and address; without it the authority issues none, whatever the gateway decides. Tested in
 * session-confirmations.test.ts.
 */
import type { ConfirmationFacts, SessionConfirmation, SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { assertUnlocked, checkUserCertificate } from '#runtime/http/request-auth.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Directory } from '../../directory/directory.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import type { Records } from '../../records/records.js';
import type { AuthenticationResponseJSON } from '../users/passkeys.js';
import { devicesOf, findUser } from '../../records/users.js';
import type { LocalLogin } from './local-login.js';
import { confirmation, decideConfirmation, insertConfirmation, waitingConfirmations } from '../../records/logins.js';
import { KUBE_CONFIRMATION_MS, MAX_WAITING_PER_USER, placeOf } from './confirmation-terms.js';

const CONFIRMATION_MS = 60_000;

export interface ConfirmationParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly local: LocalLogin;
  readonly clock: () => number;
  /** Base URL of the page. */
  readonly web: string;
}

/** The proof with which the user confirms; empty if a fresh sign-in suffices. */
export interface Proof {
  readonly code?: string | undefined;
  readonly response?: AuthenticationResponseJSON | undefined;
}

export class SessionConfirmations {
  readonly #parts: ConfirmationParts;

  constructor(parts: ConfirmationParts) {
    this.#parts = parts;
  }

  async begin(gateway: ServiceName, request: SessionConfirmationRequest): Promise<SessionConfirmation> {
    const { records, directory, clock, web } = this.#parts;
    const now = clock();
    const blob = decodeBase64(request.user_certificate);
    if (blob === undefined) throw new StenoError('CERT_GARBLED', 'it is not base64');
    const snapshot = directory.current();
    const { identity } = checkUserCertificate(parseCertificate(blob), snapshot, {
      now,
      sourceAddress: request.source_address,
      clusters: snapshot,
    });
    if (identity.cluster !== null) throw new StenoError('CLUSTER_NO_MFA', identity.cluster);
    const token = newToken();
    const expires_at = now + CONFIRMATION_MS;
    const place = {
      user: identity.user,
      node: request.node,
      login: request.login,
      gateway: formatServiceName(gateway),
      source: request.source_address,
    };
    const row = auditRow(
      now,
      { actor: identity.user, source: request.source_address },
      { event: 'session_mfa.ask', target: request.node, node: request.node, login: request.login, data: { gateway: place.gateway } },
    );
    await records.act([row], async (tx) => {
      if ((await waitingConfirmations(tx, identity.user, now)) >= MAX_WAITING_PER_USER)
        throw new StenoError('TOO_MANY', `sessions of ${identity.user} that wait for a second factor`);
      await insertConfirmation(tx, { hash: hashOf(token), ...place, created_at: now, expires_at });
    });
    return { token, url: `${web}/confirm#${token}`, expires_at };
  }

  /** Polled by the gateway. `gone` if nobody decided in time. */
  async state(token: string): Promise<{ readonly state: 'waiting' | 'approved' | 'denied' | 'gone' }> {
    const row = await this.#parts.records.read((db) => confirmation(db, hashOf(token), this.#parts.clock()));
    return { state: row === undefined || row.state === 'taken' ? 'gone' : row.state };
  }

  /** Throws NOT_FOUND for users other than the session's own, too. */
  async facts(token: string, who: WebIdentity, caller: Caller): Promise<ConfirmationFacts> {
    const { records } = this.#parts;
    const row = await this.#waiting(token, who);
    const { kind, devices } = await records.read(async (db) => ({
      kind: (await findUser(db, who.user))?.kind,
      devices: await devicesOf(db, who.user),
    }));
    return {
      user: row.user,
      ...placeOf(row.node),
      login: row.login,
      source_address: row.source,
      browser_address: caller.source,
      expires_at: row.expires_at,
      by: kind === 'local' ? 'device' : 'sign-in',
      totp: devices.some((device) => device.kind === 'totp'),
      passkey: devices.some((device) => device.kind === 'passkey'),
      fresh: isSignInFor(who, row.created_at),
    };
  }

  /** Throws LOGIN_FAILED for a wrong proof, or LOGIN_TOO_OLD if a sign-in should be the proof and is not. */
  async decide(token: string, approve: boolean, proof: Proof, who: WebIdentity, caller: Caller): Promise<void> {
    const { records, directory, clock } = this.#parts;
    const row = await this.#waiting(token, who);
    const mfa = approve ? await this.#prove(row.created_at, proof, who, caller) : null;
    const now = clock();
    if (mfa !== null) assertUnlocked(directory.current().locks, [['mfa-device', mfa]], now);
    const { kind, node } = placeOf(row.node);
    const kubernetes = kind === 'kubernetes';
    const audit = auditRow(
      now,
      { actor: who.user, source: caller.source },
      {
        event: approve ? 'session_mfa.approve' : 'session_mfa.deny',
        target: node,
        ...(kubernetes ? {} : { node }),
        login: row.login,
        data: { mfa, requested_from: row.source, ...(kubernetes ? { kubernetes } : {}) },
      },
    );
    const decision = {
      state: approve ? 'approved' : 'denied',
      mfa,
      until: kubernetes && approve ? now + KUBE_CONFIRMATION_MS : undefined,
    } as const;
    await records.act([audit], async (tx) => {
      if (!(await decideConfirmation(tx, row.hash, who.user, decision, now)))
        throw new StenoError('NOT_FOUND', 'this session waits no longer');
    });
  }

  async #prove(askedAt: number, { code, response }: Proof, who: WebIdentity, caller: Caller): Promise<string> {
    const { local } = this.#parts;
    const user = await this.#parts.records.read((db) => findUser(db, who.user));
    if (user?.kind !== 'local') {
      if (!isSignInFor(who, askedAt))
        throw new StenoError('LOGIN_TOO_OLD', who.mfa === null ? 'the provider did not vouch for a second factor' : undefined);
      return who.mfa!;
    }
    const proven = response !== undefined ? await local.provePasskey(response) : await local.proveCode(who.user, code ?? '', caller.source);
    if (proven.user !== who.user) throw new StenoError('LOGIN_FAILED', `the passkey is that of ${proven.user}`);
    return proven.mfa;
  }

  async #waiting(token: string, who: WebIdentity) {
    const row = await this.#parts.records.read((db) => confirmation(db, hashOf(token), this.#parts.clock()));
    if (row === undefined || row.state !== 'waiting' || row.user !== who.user)
      throw new StenoError('NOT_FOUND', 'none of your sessions is waiting here');
    return row;
  }
}

/** Whether this is a sign-in after the session was requested, with a second factor vouched for by the provider. */
function isSignInFor(who: WebIdentity, askedAt: number): boolean {
  return who.via !== 'link' && who.mfa !== null && who.since >= askedAt;
}
