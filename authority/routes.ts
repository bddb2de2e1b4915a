/**
 * What the authority does, and for whom: one table. Paths and shapes are those of `schemas/api.ts`.
 *
 * Every name that comes in is checked before it becomes a row, a principal or a path. Tested in authority.test.ts.
 */
import { X509Certificate, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import type { Enrolment, LoginResult, SessionCertificateRequest } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { isLogin, isName, serviceKinds } from '#schemas/identity.js';
import type { ServiceName } from '#schemas/identity.js';
import { roleSchema } from '#schemas/role.js';
import type { NodeRecord } from '#schemas/role.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { rolesNamed } from '#runtime/request-auth.js';
import { verify } from '#runtime/ssh/keys.js';
import { auditRow } from './audit.js';
import type { Caller } from './audit.js';
import type { Ca, SshCaName } from './ca.js';
import {
  SERVICE_TTL_MS, certifiableKey, gatewayLoopbackNames, hostKeyId, hostPrincipals, hostShape, isHostName, loginsOf, recordingShape, userShape,
} from './certificates.js';
import type { CertificateShape } from './certificates.js';
import type { Directory } from './directory.js';
import { noBody, route } from './http.js';
import type { Context, Route } from './http.js';
import { tokenPattern } from './links.js';
import type { Links } from './links.js';
import { deleteLock, deleteNode, insertCertificates, putLock, putNode, putRole } from './records.js';
import type { IssuedCertificate, Records } from './records.js';
import type { SessionCertificates } from './session-certificates.js';

export interface RouteParts {
  readonly ca: Ca;
  readonly records: Records;
  readonly directory: Directory;
  readonly links: Links;
  readonly sessions: SessionCertificates;
  readonly clock: () => number;
  readonly setIngest: (url: string) => void;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const login = z.string().max(32).refine(isLogin, 'is not a valid login');
const keyLine = z.string().min(1).max(16_384);
const pem = z.string().min(1).max(4096);
const address = z.string().max(300).refine(isAddress, 'is not host:port');
const token = z.string().regex(tokenPattern, 'is not a token');
const labels = z.record(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/), z.string().max(255)).refine((map) => Object.keys(map).length <= 64, 'are too many');
const hostKeys = z.array(z.string().max(4096).refine(isPlainKey, 'is not `type base64` of a public key')).max(16);

const enrolBody = z.strictObject({
  kind: z.enum(serviceKinds), name, service_key: pem, host_key: keyLine.optional(), recording_key: keyLine.optional(),
  host_names: z.array(z.string().refine(isHostName, 'is not a host name')).max(32).optional(),
});
const renewBody = z.strictObject({ service_key: pem, host_key: keyLine.optional(), host_certificate: keyLine.optional(), recording_key: keyLine.optional() });
const nodeBody = z.strictObject({
  name, kind: z.enum(['openssh', 'agent']), address, labels, host_keys: hostKeys, last_seen_at: z.number().int().nullable().optional(),
});
const selfBody = z.strictObject({ address, labels, host_keys: hostKeys });
const lockBody = z.strictObject({
  id: name, target_kind: z.enum(['user', 'role', 'login', 'node', 'session']), target: z.string().min(1).max(255), reason: z.string().max(1024),
  expires_at: z.number().int().positive().max(8_640_000_000_000_000).nullable(),
});
const sessionBody = z.strictObject({
  user: name, login, node: name, public_key: keyLine, user_certificate: z.string().min(1).max(90_000), source_address: z.string().max(64),
});

export function routeTable(parts: RouteParts): readonly Route[] {
  const { records, directory, links, sessions, clock } = parts;
  const changed = async <T>(result: T): Promise<T> => {
    await directory.changed();
    return result;
  };
  return [
    route('POST /v1/login', ['owner'], 'user.login', z.strictObject({ public_key: keyLine }), (c) => logIn(parts, c)),
    route('POST /v1/enroll', ['owner'], 'service.enroll', enrolBody, ({ caller, body }) =>
      certifyService(parts, caller, 'service.enroll', { kind: body.kind, name: body.name }, body, enrolledHostNames(body))),
    route('PUT /v1/ingest', ['owner'], 'ingest.set', z.strictObject({ url: z.string().max(300).regex(/^wss:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/) }), async ({ body }) => parts.setIngest(body.url)),
    route('POST /v1/sign-in-link', ['owner', 'user'], 'sign_in_link.create', z.union([noBody, z.strictObject({})]), ({ caller }) => links.create(caller.actor, caller)),

    route('POST /v1/renew', ['service'], 'service.renew', renewBody, ({ principal, caller, body }) => {
      const service = serviceOf(principal);
      return certifyService(parts, caller, 'service.renew', service, body, renewedHostNames(parts, service, body.host_certificate));
    }),
    route('POST /v1/session-certificate', ['gateway'], 'session_certificate.issue', sessionBody, ({ principal, caller, body }) =>
      sessions.issue(serviceOf(principal), caller, body satisfies SessionCertificateRequest)),
    route('POST /v1/host-certificate', ['gateway', 'agent', 'administer'], 'host_certificate.issue', z.strictObject({ public_key: keyLine, name }), (c) => hostCertificate(parts, c)),
    route('POST /v1/sign-in', ['viewer'], 'web_session.start', z.strictObject({ token }), ({ caller, body }) => links.signIn(body.token, caller)),
    route('GET /v1/web-session', ['viewer'], 'web_session.use', noBody, ({ headers }) => links.introspect(headers['x-steno-web-session'] ?? '')),
    route('DELETE /v1/web-session', ['viewer'], 'web_session.end', noBody, ({ headers, caller }) => links.signOut(headers['x-steno-web-session'] ?? '', caller)),

    route('GET /v1/nodes', ['user', 'service'], 'node.list', noBody, () => records.nodes()),
    route('PUT /v1/nodes/self', ['agent'], 'node.register', selfBody, async ({ principal, caller, body }) => {
      const node: NodeRecord = { name: serviceOf(principal).name, kind: 'agent', ...body, last_seen_at: clock() };
      await records.act([auditRow(clock(), caller, { event: 'node.register', target: node.name, node: node.name, data: { address: node.address } })], (tx) => putNode(tx, node));
      return changed(node);
    }),
    route('PUT /v1/nodes/:name', ['administer'], 'node.put', nodeBody, async ({ caller, body, params }) => {
      sameName(params['name'], body.name);
      const node: NodeRecord = { ...body, last_seen_at: directory.node(body.name)?.last_seen_at ?? null };
      await records.act([auditRow(clock(), caller, { event: 'node.put', target: node.name, node: node.name, data: { address: node.address } })], (tx) => putNode(tx, node));
      return changed(node);
    }),
    route('DELETE /v1/nodes/:name', ['administer'], 'node.delete', noBody, async ({ caller, params }) => {
      const node = pathName(params['name']);
      await records.act([auditRow(clock(), caller, { event: 'node.delete', target: node, node })], (tx) => deleteNode(tx, node));
      return changed(undefined);
    }),
    route('GET /v1/roles', ['user', 'service'], 'role.list', noBody, () => records.roles()),
    route('PUT /v1/roles/:name', ['administer'], 'role.put', roleSchema, async ({ caller, body, params }) => {
      sameName(params['name'], body.name);
      if (!isName(body.name)) throw new StenoError('BAD_REQUEST', 'name: is not a valid name');
      await records.act([auditRow(clock(), caller, { event: 'role.put', target: body.name, data: { role: body } })], (tx) => putRole(tx, body, clock()));
      return changed(body);
    }),
    route('GET /v1/locks', ['administer', 'service'], 'lock.list', noBody, () => records.locks(clock())),
    route('PUT /v1/locks/:name', ['administer'], 'lock.put', lockBody, async ({ caller, body, params }) => {
      sameName(params['name'], body.id);
      if (body.expires_at !== null && body.expires_at <= clock()) throw new StenoError('BAD_REQUEST', 'expires_at: is over already');
      await records.act([auditRow(clock(), caller, { event: 'lock.put', target: body.id, data: { lock: body } })], (tx) => putLock(tx, body, clock()));
      return changed(body);
    }),
    route('DELETE /v1/locks/:name', ['administer'], 'lock.delete', noBody, async ({ caller, params }) => {
      const id = pathName(params['name']);
      await records.act([auditRow(clock(), caller, { event: 'lock.delete', target: id })], (tx) => deleteLock(tx, id));
      return changed(undefined);
    }),
  ];
}

async function logIn({ ca, records, directory, clock }: RouteParts, { caller, body }: Context<{ readonly public_key: string }>): Promise<LoginResult> {
  const now = clock();
  const user = caller.actor;
  const key = certifiableKey(body.public_key);
  const record = await records.user(user);
  if (record === undefined) throw new StenoError('ACCESS_DENIED', `there is no user ${user}`);
  const roles = rolesNamed(record.roles, directory.current().roles);
  const shape = userShape(user, roles, key, now);
  const certificate = await ca.issueSsh('ssh-user', shape);
  await records.act([auditRow(now, caller, { event: 'user.login', target: user, data: { serial: shape.serial.toString() } })], (tx) =>
    insertCertificates(tx, [issued('user', user, shape)], now));
  return {
    user, roles: record.roles, logins: loginsOf(user, roles), certificate: formatPublicLine(certificate, user), valid_before: Number(shape.validBefore) * 1000,
    ssh_host_ca: [ca.sshHost], ssh_user_ca: [ca.sshUser], recording_ca: [ca.recording], service_ca_pem: ca.servicePem,
  };
}

/** Order: sign all, then commit their rows, then answer; a crash before the commit means that nobody has any of them. */
async function certifyService(
  { ca, records, clock }: RouteParts, caller: Caller, event: string, service: ServiceName,
  keys: { readonly service_key: string; readonly host_key?: string | undefined; readonly recording_key?: string | undefined }, hostNames: readonly string[],
): Promise<Enrolment> {
  const now = clock();
  const rows: IssuedCertificate[] = [];
  const sign = async (authority: SshCaName, kind: IssuedCertificate['kind'], shape: CertificateShape): Promise<string> => {
    rows.push(issued(kind, service.name, shape));
    return formatPublicLine(await ca.issueSsh(authority, shape), service.name);
  };
  const until = now + SERVICE_TTL_MS;
  const certificate = await ca.issueService(service, serviceKey(keys.service_key), { from: now - 60_000, until });
  const { serialNumber } = new X509Certificate(certificate);
  rows.push({ serial: BigInt(`0x${serialNumber}`), kind: 'service', keyId: `${service.kind}/${service.name}`, subject: service.name, validBefore: BigInt(Math.floor(until / 1000)) });
  if (keys.recording_key !== undefined && service.kind !== 'gateway') throw new StenoError('BAD_REQUEST', 'only gateways sign recordings');
  const host = keys.host_key === undefined ? undefined
    : await sign('ssh-host', 'host', { ...hostShape(service.name, hostNames, certifiableKey(keys.host_key), now), keyId: hostKeyId(service) });
  const recording = keys.recording_key === undefined ? undefined : await sign('recording', 'recording', recordingShape(service.name, certifiableKey(keys.recording_key), now));
  await records.act(
    [auditRow(now, caller, { event, target: `${service.kind}/${service.name}`, data: { serials: rows.map(({ serial }) => serial.toString()) } })],
    (tx) => insertCertificates(tx, rows, now),
  );
  return {
    service_certificate: certificate, service_ca: ca.servicePem,
    ...(host === undefined ? {} : { host_certificate: host }), ...(recording === undefined ? {} : { recording_certificate: recording }),
  };
}

/** For the inner SSH of `ssh -J` a gateway gets certificates of known nodes; a node gets its own; administrators get any. */
async function hostCertificate(
  { ca, records, directory, clock }: RouteParts, { principal, caller, body }: Context<{ readonly public_key: string; readonly name: string }>,
): Promise<{ readonly certificate: string }> {
  const now = clock();
  if (principal.kind === 'service' && principal.service.name !== body.name) {
    if (principal.service.kind !== 'gateway') throw new StenoError('ACCESS_DENIED', `${body.name} is not the name of this node`);
    if (directory.node(body.name) === undefined) throw new StenoError('NODE_UNKNOWN', body.name);
  }
  const shape = hostShape(body.name, hostPrincipals(body), certifiableKey(body.public_key), now);
  const certificate = await ca.issueSsh('ssh-host', shape);
  await records.act([auditRow(now, caller, { event: 'host_certificate.issue', target: body.name, node: body.name, data: { serial: shape.serial.toString() } })], (tx) =>
    insertCertificates(tx, [issued('host', body.name, shape)], now));
  return { certificate: formatPublicLine(certificate, body.name) };
}

function enrolledHostNames(body: z.output<typeof enrolBody>): readonly string[] {
  return hostPrincipals(body, [...(body.kind === 'gateway' ? gatewayLoopbackNames : []), ...(body.host_names ?? [])]);
}

/** Those of the host certificate at hand, which must be ours, in force, and given to this very service. */
function renewedHostNames({ directory, clock }: RouteParts, service: ServiceName, line: string | undefined): readonly string[] {
  if (line === undefined) return hostPrincipals(service);
  const certificate = parseCertificate(parseAuthorizedLine(line).blob);
  const principal = certificate.principals[0];
  const admission = checkCertificate(certificate, {
    kind: 'host', now: Math.floor(clock() / 1000), trusted: directory.current().ssh_host_ca.map((ca) => parseAuthorizedLine(ca).blob),
    ...(principal === undefined ? {} : { principal }), verify,
  });
  if (!admission.ok) throw new StenoError(admission.code, admission.detail);
  if (certificate.keyId !== hostKeyId(service)) throw new StenoError('ACCESS_DENIED', 'this host certificate was given to another service');
  return certificate.principals;
}

function issued(kind: IssuedCertificate['kind'], subject: string, shape: CertificateShape): IssuedCertificate {
  return { serial: shape.serial, kind, keyId: shape.keyId, subject, validBefore: shape.validBefore };
}

function serviceOf(principal: Context<unknown>['principal']): ServiceName {
  if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
  return principal.service;
}

/** Canonical SPKI of an ECDSA P-256 key, the only kind stages make. */
function serviceKey(text: string): string {
  let key;
  try {
    key = createPublicKey({ key: text, format: 'pem', type: 'spki' });
  } catch {
    throw new StenoError('KEY_GARBLED', 'service_key is not SPKI in PEM');
  }
  if (text.includes('PRIVATE')) throw new StenoError('KEY_GARBLED', 'service_key is a private key');
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new StenoError('KEY_GARBLED', 'service_key is not ECDSA P-256');
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

function pathName(text: string | undefined): string {
  if (text === undefined || !isName(text)) throw new StenoError('BAD_REQUEST', 'name: is not a valid name');
  return text;
}

function sameName(inPath: string | undefined, inBody: string): void {
  if (pathName(inPath) !== inBody) throw new StenoError('BAD_REQUEST', 'path and body name different things');
}

/** `host:port` or `[IPv6]:port`; a host that could be read as an option of a program is none. */
function isAddress(text: string): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && isHostName(host) && port >= 1 && port <= 65_535;
}

function isPlainKey(text: string): boolean {
  try {
    const { blob, comment } = parseAuthorizedLine(text);
    parsePublicKey(blob);
    return comment === '';
  } catch {
    return false;
  }
}
