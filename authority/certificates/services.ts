/**
 * Certificates of services and hosts: what a service receives when it enrols or renews, and who may request which host
 * certificate. Tested in service-identity.test.ts and ../inventory/nodes/host-names.test.ts.
 */
import type { z } from 'zod';
import type { enrolOwnService, Enrolment, issueHostCertificate } from '#schemas/api/services/certificates.js';
import { remoteNode } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { administersEverything } from '#schemas/policy/administration.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { verify } from '#runtime/ssh/keys.js';
import {
  SERVICE_TTL_MS,
  certifiableKey,
  gatewayPrincipals,
  hostKeyId,
  hostPrincipals,
  hostShape,
  recordingShape,
} from '../ca/certificates.js';
import type { CertificateShape } from '../ca/certificates.js';
import type { SshCaName } from '../ca/names.js';
import { p256Key } from '../ca/x509.js';
import { serviceOf } from '../http/server.js';
import type { Context } from '../http/server.js';
import { assertNodeNames, claimGatewayNames } from '../inventory/nodes/host-names.js';
import { putHostKeys } from '../inventory/nodes/records.js';
import type { Caller } from '../records/audit.js';
import { gatewaySince, putGateway } from '../records/records.js';
import type { Tx } from '../records/records.js';
import { register } from './users.js';
import type { IssueParts } from './users.js';

type EnrolBody = z.output<typeof enrolOwnService.body>;
type HostBody = z.output<typeof issueHostCertificate.body>;

/** Maximum lifetime for users who do not administer everything. */
const LONGEST_DELEGATED_S = 30 * 86_400;

export async function certifyService(
  parts: IssueParts,
  caller: Caller,
  event: string,
  service: ServiceName,
  keys: { readonly service_key: string; readonly host_key?: string | undefined; readonly recording_key?: string | undefined },
  hostNames: readonly string[],
  more: { readonly data?: Readonly<Record<string, unknown>> | undefined; readonly also?: (tx: Tx) => Promise<void> } = {},
): Promise<Enrolment> {
  const { ca, clock, records } = parts;
  const now = clock();
  const { name } = service;
  const [from, until] = [now - 60_000, now + SERVICE_TTL_MS];
  const spki = p256Key(keys.service_key, 'service_key');
  const recordingKey = keys.recording_key === undefined ? undefined : certifiableKey(keys.recording_key, () => true);
  // A viewer or ingest may have the same name as a node.
  if (keys.host_key !== undefined && service.kind !== 'gateway' && service.kind !== 'agent')
    throw new StenoError('BAD_REQUEST', 'only gateways and agents have host keys');
  if (recordingKey !== undefined && service.kind !== 'gateway') throw new StenoError('BAD_REQUEST', 'only gateways sign recordings');
  const host =
    keys.host_key === undefined
      ? undefined
      : { ...hostShape(name, hostNames, certifiableKey(keys.host_key), now), keyId: hostKeyId(service) };
  const recording =
    recordingKey === undefined
      ? undefined
      : recordingShape(name, recordingKey, now, await records.read((db) => gatewaySince(db, name, formatPublicLine(recordingKey))));
  const serials = await register(
    parts,
    caller,
    { event, target: formatServiceName(service), ...(service.kind === 'agent' ? { node: name } : {}), data: more.data ?? {} },
    [
      {
        kind: 'x509-service',
        keyId: formatServiceName(service),
        subject: name,
        principals: [],
        validAfter: BigInt(Math.floor(from / 1000)),
        validBefore: BigInt(Math.floor(until / 1000)),
      },
      ...(host === undefined ? [] : [{ ...host, subject: name }]),
      ...(recording === undefined ? [] : [{ ...recording, kind: 'recording', subject: name } as const]),
    ],
    async (tx) => {
      if (host !== undefined)
        await (service.kind === 'gateway' ? claimGatewayNames(tx, name, hostNames, now) : assertNodeNames(tx, name, now, hostNames));
      if (recordingKey !== undefined) await putGateway(tx, name, formatPublicLine(recordingKey), now);
      await more.also?.(tx);
    },
  );
  const sign = async (by: SshCaName, shape: CertificateShape, serial: bigint): Promise<string> =>
    formatPublicLine(await ca.issueSsh(by, { ...shape, serial }), name);
  return {
    service_certificate: await ca.issueService(service, spki, { from, until, serial: serials[0]! }),
    service_ca: ca.trust.service_ca.join(''),
    ...(host === undefined ? {} : { host_certificate: await sign('ssh-host', host, serials[1]!) }),
    ...(recording === undefined ? {} : { recording_certificate: await sign('recording', recording, serials.at(-1)!) }),
  };
}

/**
 * For the inner SSH of `ssh -J` a gateway gets certificates of known nodes; a node gets its own; administrators get any.
 * Users who may change nodes get those of registered OpenSSH servers, since `update` on `node` includes vouching for their
 * keys (decision 0055).
 */
export async function hostCertificate(
  parts: IssueParts,
  { principal, caller, body }: Context<HostBody>,
): Promise<{ readonly certificate: string }> {
  const { ca, directory, clock } = parts;
  if (principal.kind === 'service' && principal.service.kind === 'agent' && directory.node(body.name)?.tunnel_key !== undefined)
    throw new StenoError('ACCESS_DENIED', 'this node joined by token');
  if (
    principal.kind === 'service' &&
    body.host_certificate === undefined &&
    !(principal.service.kind === 'agent' && principal.service.name === body.name)
  ) {
    if (principal.service.kind !== 'gateway') throw new StenoError('ACCESS_DENIED', `${body.name} is not the name of this node`);
    if (directory.node(body.name) === undefined && remoteNode(directory.current().clusters, body.name) === undefined)
      throw new StenoError('NODE_UNKNOWN', body.name);
  }
  if (principal.kind === 'service' && body.ttl !== undefined) throw new StenoError('BAD_REQUEST', 'ttl: services renew theirs');
  if (principal.kind === 'user' && !administersEverything(principal.roles)) {
    const node = directory.node(body.name);
    if (node?.kind !== 'openssh' || node.tunnel_key !== undefined)
      throw new StenoError('ACCESS_DENIED', `${body.name} is not registered as an OpenSSH server`);
    if ((body.ttl ?? 0) > LONGEST_DELEGATED_S)
      throw new StenoError('ACCESS_DENIED', 'more than 30 days require the right to administer everything');
  }
  if (body.host_certificate !== undefined && (principal.kind !== 'service' || principal.service.name !== body.name))
    throw new StenoError('BAD_REQUEST', 'host_certificate: is for a service about itself');
  // A gateway and a node may share a name; a gateway that means itself presents its own certificate.
  const own = body.host_certificate === undefined ? undefined : serviceOf(principal);
  const principals = own === undefined ? hostPrincipals(body) : renewedHostNames(parts, own, body.host_certificate);
  const shape = hostShape(body.name, principals, certifiableKey(body.public_key), clock(), body.ttl);
  const [serial] = await register(
    parts,
    caller,
    { event: 'host_certificate.issue', target: body.name, node: body.name, data: { valid_before: Number(shape.validBefore) * 1000 } },
    [{ ...shape, subject: body.name }],
    (tx) =>
      own?.kind === 'gateway' ? claimGatewayNames(tx, body.name, principals, clock()) : assertNodeNames(tx, body.name, clock(), principals),
  );
  return { certificate: formatPublicLine(await ca.issueSsh('ssh-host', { ...shape, serial: serial! }), body.name) };
}

export function enrolledHostNames({ directory }: IssueParts, body: EnrolBody): readonly string[] {
  const more = body.host_names ?? [];
  return body.kind === 'gateway' ? gatewayPrincipals(directory.current().cluster, more) : hostPrincipals(body, more);
}

/** The host keys that user proofs may name: set at enrolment by the machine's owner, never by a renewal. */
export async function keepHostKeys(
  tx: Tx,
  body: ServiceName & { readonly host_key?: string | undefined; readonly more_host_keys?: readonly string[] | undefined },
): Promise<void> {
  if (body.kind !== 'gateway') return;
  const keys = [...(body.host_key === undefined ? [] : [body.host_key]), ...(body.more_host_keys ?? [])].map((line) =>
    certifiableKey(line),
  );
  await putHostKeys(tx, body.name, keys);
}

/** Names in the present host certificate, which must be ours, valid, and issued to this very service. */
export function renewedHostNames({ directory, clock }: IssueParts, service: ServiceName, line: string | undefined): readonly string[] {
  const { cluster } = directory.current();
  if (line === undefined) return service.kind === 'gateway' ? gatewayPrincipals(cluster) : hostPrincipals(service);
  const certificate = parseCertificate(parseAuthorizedLine(line).blob);
  const principal = certificate.principals[0];
  const admission = checkCertificate(certificate, {
    kind: 'host',
    now: Math.floor(clock() / 1000),
    trusted: directory.current().ssh_host_ca.map((ca) => parseAuthorizedLine(ca).blob),
    ...(principal === undefined ? {} : { principal }),
    verify,
  });
  if (!admission.ok) throw new StenoError(admission.code, admission.detail);
  if (certificate.keyId !== hostKeyId(service)) throw new StenoError('ACCESS_DENIED', 'this host certificate was given to another service');
  if (service.kind !== 'gateway') return certificate.principals;
  // Certificates of older versions begin with the service's name, with and without Steno's domain.
  return gatewayPrincipals(cluster, certificate.principals.slice(principal === service.name ? 2 : 0));
}
