/**
 * Support shared by the tests of users and logins: an authority with its own clock, an administrator, and a relaying viewer.
 */
import { Secret, TOTP } from 'otpauth';
import type { InvitationFacts, TotpEnrolment } from '#schemas/api/people/account.js';
import type { DeviceLogin, DeviceLoginAnswer } from '#schemas/api/people/logins.js';
import type { Invitation } from '#schemas/api/people/users.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openState } from '#stores/state/open.js';
import { join } from 'node:path';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { administrator, authorityIn, clientOf, signer, temporaryFolder } from './authority.js';
import type { Administrator, Cleanup, Signer } from './authority.js';
import type { AuthorityConfig, RunningAuthority } from '../app.js';

export const WEB = 'http://localhost:8090';
export const PASSWORD = 'turnip gravel osprey lantern';

export interface People {
  /** The authority's data directory. */
  readonly folder: string;
  readonly authority: RunningAuthority;
  readonly admin: Administrator;
  /** Advances the authority's clock. */
  pass(ms: number): void;
  now(): number;
  /** As relayed by a viewer, from a client's address. */
  relay<T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    target: string,
    body?: unknown,
    more?: { readonly session?: string; readonly client?: string },
  ): Promise<T>;
  invite(name: string, roles?: readonly string[]): Promise<string>;
  /** An invited user with password and app. */
  enrol(name: string, roles?: readonly string[]): Promise<Enrolled>;
  /** Gets a certificate through a browser of the user that is signed in with `session`. */
  certify(session: string): Promise<Signer>;
  audit(): Promise<readonly AuditRow[]>;
}

export interface Enrolled {
  readonly user: string;
  readonly session: string;
  readonly recovery: readonly string[];
  /** The app's code, `steps` of 30 s from now. */
  code(steps?: number): string;
  login(change?: {
    readonly user?: string;
    readonly password?: string;
    readonly code?: string;
    readonly client?: string;
  }): Promise<WebIdentity>;
}

export async function people(cleanup: Cleanup, more: Partial<AuthorityConfig> = {}): Promise<People> {
  const folder = temporaryFolder(cleanup);
  let offset = 0;
  const now = (): number => Date.now() + offset;
  const authority = await authorityIn(folder, cleanup, { web: WEB, ...more }, now);
  const admin = await administrator(authority, cleanup);
  const viewer = await clientOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
  const relay: People['relay'] = async (method, target, body, { session, client = '192.0.2.7' } = {}) =>
    (await viewer.relaying({ session, client })(method, target, body)) as never;
  const invite: People['invite'] = async (name, roles = ['admin']) => {
    const { link } = (await admin.call('POST', '/v1/users', { name, roles, traits: {} })) as Invitation;
    return link.slice(link.indexOf('#') + 1);
  };
  return {
    folder,
    authority,
    admin,
    now,
    relay,
    invite,
    pass: (ms) => {
      offset += ms;
    },
    async enrol(user, roles) {
      const token = await invite(user, roles);
      await relay<InvitationFacts>('POST', '/v1/invitation', { token });
      const { ceremony, secret } = await relay<TotpEnrolment>('POST', '/v1/invitation/totp', { token });
      const totp = new TOTP({ secret: Secret.fromBase32(secret) });
      const code = (steps = 0): string => totp.generate({ timestamp: now() + steps * 30_000 });
      const { identity, recovery_codes } = await relay<{ identity: WebIdentity; recovery_codes: string[] }>(
        'POST',
        '/v1/invitation/accept',
        {
          token,
          password: PASSWORD,
          device: { kind: 'totp', ceremony, code: code(), label: 'app' },
        },
      );
      return {
        user,
        session: identity.token,
        recovery: recovery_codes,
        code,
        login: ({ client, ...change } = {}) =>
          relay('POST', '/v1/login/local', { user, password: PASSWORD, code: code(1), ...change }, client === undefined ? {} : { client }),
      };
    },
    async certify(session) {
      const key = generateKey();
      const { device_code, user_code } = await relay<DeviceLogin>('POST', '/v1/login/device', {
        public_key: formatPublicLine(key.publicBlob),
        client: 'test',
      });
      await relay('POST', '/v1/login/device/decision', { user_code, approve: true }, { session });
      const answer = await relay<DeviceLoginAnswer>('POST', '/v1/login/device/token', { device_code });
      if (answer.state !== 'approved') throw new Error(answer.state);
      return signer(authority, key, parseAuthorizedLine(answer.login.certificate).blob, answer.login.service_ca_pem, cleanup);
    },
    async audit() {
      const db = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
      try {
        const rows = await db.selectFrom('audit_outbox').selectAll().orderBy('created_at').execute();
        return rows.map(({ row }) => JSON.parse(row) as AuditRow);
      } finally {
        await db.destroy();
      }
    },
  };
}
