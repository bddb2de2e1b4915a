/**
 * Issues user certificates: the rows written before signing, and the common last step of every way of logging in.
 *
 * Tested in ../app.test.ts.
 */
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { loginsOf } from '#schemas/policy/node.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { assertCounts, rolesNamed } from '#runtime/http/request-auth.js';
import { auditRow } from '../records/audit.js';
import type { Act, Caller } from '../records/audit.js';
import type { Ca } from '../ca/ca.js';
import { certifiableKey, userShape } from '../ca/certificates.js';
import type { UserGrant } from '../ca/certificates.js';
import { trustReport } from './trust.js';
import { p256Key } from '../ca/x509.js';
import type { Directory } from '../directory/directory.js';
import { insertCertificates } from '../records/records.js';
import type { NewCertificate, Records, Tx } from '../records/records.js';

export interface IssueParts {
  readonly ca: Ca;
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

/**
 * The last step of every way of logging in. Refuses users that are unknown, disabled or locked, whatever was granted to
 * them.
 */
export async function issueUserCertificate(
  parts: IssueParts,
  caller: Caller,
  login: Pick<UserGrant, 'user' | 'mfa' | 'requests' | 'notAfter'>,
  publicKey: string,
  tlsKey?: string,
): Promise<LoginResult> {
  const { ca, records, directory, clock } = parts;
  const now = clock();
  const { user } = login;
  const key = certifiableKey(publicKey);
  const record = await records.user(user);
  if (record === undefined || record.disabled) throw new StenoError('ACCESS_DENIED', `user ${user} does not exist or is disabled`);
  const snapshot = directory.current();
  const all = assertCounts({ ...login, roles: record.roles }, snapshot, now);
  const roles = rolesNamed(record.roles, snapshot.roles);
  const grant: UserGrant = { ...login, traits: record.traits, roles, granted: all.slice(roles.length) };
  const shape = userShape(grant, key, now);
  const spki = tlsKey === undefined ? undefined : p256Key(tlsKey, 'tls_key');
  const [serial, x509Serial] = await register(
    parts,
    caller,
    { event: 'user.login', target: user, ...(login.requests.length === 0 ? {} : { data: { requests: login.requests } }) },
    [
      { ...shape, kind: 'user', subject: user },
      ...(spki === undefined ? [] : [{ ...shape, kind: 'x509-user', subject: user, principals: [] } as const]),
    ],
  );
  const certificate = await ca.issueSsh('ssh-user', { ...shape, serial: serial! });
  const validity = { from: Number(shape.validAfter) * 1000, until: Number(shape.validBefore) * 1000 };
  return {
    user,
    roles: record.roles,
    logins: loginsOf({ ...grant, roles: all }),
    requests: login.requests,
    certificate: formatPublicLine(certificate, user),
    valid_before: Number(shape.validBefore) * 1000,
    ...trustReport(ca.trust, snapshot.cluster),
    ...(spki === undefined
      ? {}
      : {
          x509_certificate: await ca.issueX509User(
            { user, roles: record.roles, traits: record.traits, mfa: login.mfa, requests: login.requests },
            spki,
            { ...validity, serial: x509Serial! },
          ),
        }),
  };
}

/**
 * Writes the rows of certificates about to be signed, with their audit row. A crash before signing leaves rows of
 * certificates that nobody has: the audit may list too much, never too little.
 */
export async function register(
  { records, clock }: Pick<IssueParts, 'records' | 'clock'>,
  caller: Caller,
  act: Act,
  certificates: readonly NewCertificate[],
  more: (tx: Tx) => Promise<void> = async () => undefined,
): Promise<readonly bigint[]> {
  return records.actOn(async (tx) => {
    const serials = await insertCertificates(tx, certificates, caller.source, clock());
    await more(tx);
    return { result: serials, rows: [auditRow(clock(), caller, { ...act, data: { ...act.data, serials: serials.map(String) } })] };
  });
}
