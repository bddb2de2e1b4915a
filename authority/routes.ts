/**
 * What the authority does, and for whom: one table. Paths and shapes are those of `schemas/api.ts`.
 *
 * Every name that comes in is checked before it becomes a row, a principal or a path. Tested in authority.test.ts.
 */
import { z } from 'zod';
import type { Enrolment, LoginResult, SessionCertificateRequest } from '#schemas/api.js';
import { remoteNode } from '#schemas/cluster.js';
import { StenoError } from '#schemas/errors.js';
import { formatServiceName, isLogin, isName, serviceKinds } from '#schemas/identity.js';
import type { ServiceName } from '#schemas/identity.js';
import { administersEverything } from '#schemas/policy/administration.js';
import type { NodeRecord } from '#schemas/role.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { lockTargets } from '#runtime/request-auth.js';
import { verify } from '#runtime/ssh/keys.js';
import { auditRow } from './audit.js';
import type { Caller } from './audit.js';
import type { SshCaName } from './ca/names.js';
import {
  SERVICE_TTL_MS,
  certifiableKey,
  gatewayLoopbackNames,
  hostKeyId,
  hostPrincipals,
  hostShape,
  isHostName,
  recordingShape,
} from './ca/certificates.js';
import type { CertificateShape } from './ca/certificates.js';
import { clusterRoutes } from './clusters/cluster-routes.js';
import { FarNodes } from './clusters/far-nodes.js';
import type { Clusters } from './clusters/clusters.js';
import { caRoutes } from './ca/ca-routes.js';
import type { CaRouteParts } from './ca/ca-routes.js';
import { p256Key } from './ca/x509.js';
import { noBody, route } from './http.js';
import type { Context, Route } from './http.js';
import { disclosureRoutes } from './disclosures.js';
import { issueUserCertificate, register } from './issue.js';
import type { IssueParts } from './issue.js';
import { tokenPattern } from './links.js';
import type { SignedTrust } from '#schemas/join.js';
import { nodeHostNames } from './nodes/joining.js';
import type { JoiningParts } from './nodes/joining.js';
import type { Presence } from './nodes/presence.js';
import { nodeRoutes } from './nodes/routes.js';
import type { Links } from './links.js';
import { deleteLock, deleteNode, gatewaySince, putGateway, putLock, putNode } from './records.js';
import type { Tx } from './records.js';
import { roleRoutes } from './roles/routes.js';
import type { SessionCertificates } from './session-certificates.js';

export interface RouteParts extends IssueParts, CaRouteParts {
  readonly clusters: Clusters;
  readonly links: Links;
  /** Tables of topics that have a folder of their own. */
  readonly more: readonly Route[];
  readonly sessions: SessionCertificates;
  readonly setIngest: (url: string) => void;
  readonly presence: Presence;
  readonly refused: JoiningParts['refused'];
  readonly signedTrust: () => Promise<SignedTrust>;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const login = z.string().max(32).refine(isLogin, 'is not a valid login');
const keyLine = z.string().min(1).max(16_384);
const pem = z.string().min(1).max(4096);
const address = z.string().max(300).refine(isAddress, 'is not host:port');
const token = z.string().regex(tokenPattern, 'is not a token');
const labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/), z.string().max(255))
  .refine((map) => Object.keys(map).length <= 64, 'are too many');
const hostKeys = z.array(z.string().max(4096).refine(isPlainKey, 'is not `type base64` of a public key')).max(16);

const enrolBody = z.strictObject({
  kind: z.enum(serviceKinds),
  name,
  service_key: pem,
  host_key: keyLine.optional(),
  recording_key: keyLine.optional(),
  host_names: z.array(z.string().refine(isHostName, 'is not a host name')).max(32).optional(),
});
const renewBody = z.strictObject({
  service_key: pem,
  host_key: keyLine.optional(),
  host_certificate: keyLine.optional(),
  recording_key: keyLine.optional(),
});
const nodeBody = z.strictObject({
  name,
  kind: z.enum(['openssh', 'agent']),
  address,
  labels,
  host_keys: hostKeys,
  last_seen_at: z.number().int().nullable().optional(),
});
const selfBody = z.strictObject({ address, labels, host_keys: hostKeys });
/** Seconds: nobody renews these certificates but who asks for them. */
const hostBody = z.strictObject({
  public_key: keyLine,
  name,
  ttl: z
    .number()
    .int()
    .min(3_600)
    .max(366 * 86_400)
    .optional(),
});
/** Without administering everything. */
const LONGEST_DELEGATED_S = 30 * 86_400;
const lockBody = z.strictObject({
  id: name,
  target_kind: z.enum(['user', 'role', 'login', 'node', 'session', 'request', 'mfa-device']),
  target: z.string().min(1).max(255),
  reason: z.string().max(1024),
  expires_at: z.number().int().positive().max(8_640_000_000_000_000).nullable(),
});
const sessionBody = z.strictObject({
  user: name,
  login,
  node: name,
  public_key: keyLine,
  user_certificate: z.string().min(1).max(90_000),
  source_address: z.string().max(64),
  confirmation: token.optional(),
});

export function routeTable(parts: RouteParts): readonly Route[] {
  const { records, directory, links, sessions, clock } = parts;
  const changed = async <T>(result: T): Promise<T> => {
    await directory.changed();
    return result;
  };
  return [
    ...clusterRoutes(parts.clusters, directory, new FarNodes(parts)),
    ...roleRoutes(parts),
    ...disclosureRoutes(parts),
    ...parts.more,
    route('POST /v1/login', ['owner'], 'user.login', z.strictObject({ public_key: keyLine, tls_key: pem.optional() }), (c) =>
      logIn(parts, c),
    ),
    route('POST /v1/enroll', ['owner'], 'service.enroll', enrolBody, ({ caller, body }) =>
      certifyService(parts, caller, 'service.enroll', { kind: body.kind, name: body.name }, body, enrolledHostNames(body)),
    ),
    route(
      'PUT /v1/ingest',
      ['owner'],
      'ingest.set',
      z.strictObject({
        url: z
          .string()
          .max(300)
          .regex(/^wss:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/),
      }),
      async ({ caller, body }) => {
        await records.audit([auditRow(clock(), caller, { event: 'ingest.set', target: body.url })]);
        parts.setIngest(body.url);
      },
    ),
    route(
      'POST /v1/sign-in-link',
      ['owner', 'user'],
      'sign_in_link.create',
      z.union([noBody, z.strictObject({})]),
      ({ caller, principal }) => links.create(caller.actor, caller, principal.kind === 'user' ? principal.identity : undefined),
    ),

    route('POST /v1/renew', ['service'], 'service.renew', renewBody, ({ principal, caller, body }) => {
      const service = serviceOf(principal);
      // Whoever joined by token renews over its tunnel, where its key counts and not its name.
      if (service.kind === 'agent' && directory.node(service.name)?.tunnel_key !== undefined)
        throw new StenoError('ACCESS_DENIED', 'this node joined by token');
      return certifyService(parts, caller, 'service.renew', service, body, renewedHostNames(parts, service, body.host_certificate));
    }),
    route('POST /v1/session-certificate', ['gateway'], 'session_certificate.issue', sessionBody, ({ principal, caller, body }) =>
      sessions.issue(serviceOf(principal), caller, body as SessionCertificateRequest),
    ),
    route(
      'POST /v1/host-certificate',
      ['gateway', 'agent', 'administer', 'node:update'],
      'host_certificate.issue',
      hostBody,
      (c) => hostCertificate(parts, c),
      (body) => body.name,
    ),
    route('POST /v1/sign-in', ['viewer'], 'web_session.start', z.strictObject({ token }), ({ caller, body }) =>
      links.signIn(body.token, caller),
    ),
    route('GET /v1/web-session', ['viewer'], 'web_session.use', noBody, ({ headers }) =>
      links.introspect(headers['x-steno-web-session'] ?? ''),
    ),
    route('DELETE /v1/web-session', ['viewer'], 'web_session.end', noBody, ({ headers, caller }) =>
      links.signOut(headers['x-steno-web-session'] ?? '', caller),
    ),

    ...nodeRoutes({
      ...parts,
      certify: (caller, { event, node, service_key, host_key, data, also }) =>
        certifyService(parts, caller, event, { kind: 'agent', name: node }, { service_key, host_key }, nodeHostNames(node), { data, also }),
    }),
    route('PUT /v1/nodes/self', ['agent'], 'node.register', selfBody, async ({ principal, caller, body }) => {
      // Labels decide access: a node that joined by token says what it may say over its tunnel.
      if (directory.node(serviceOf(principal).name)?.tunnel_key !== undefined)
        throw new StenoError('ACCESS_DENIED', 'this node joined by token');
      const node: NodeRecord = { name: serviceOf(principal).name, kind: 'agent', ...body, last_seen_at: clock() };
      await records.act(
        [auditRow(clock(), caller, { event: 'node.register', target: node.name, node: node.name, data: { address: node.address } })],
        (tx) => putNode(tx, node, clock()),
      );
      return changed(node);
    }),
    route('PUT /v1/nodes/:name', ['node:create', 'node:update'], 'node.put', nodeBody, async ({ caller, body, params }) => {
      sameName(params['name'], body.name);
      const node: NodeRecord = { ...body, last_seen_at: directory.node(body.name)?.last_seen_at ?? null };
      await records.act(
        [auditRow(clock(), caller, { event: 'node.put', target: node.name, node: node.name, data: { address: node.address } })],
        (tx) => putNode(tx, node, clock()),
      );
      return changed(node);
    }),
    route('DELETE /v1/nodes/:name', ['node:delete'], 'node.delete', noBody, async ({ caller, params }) => {
      const node = pathName(params['name']);
      await records.act([auditRow(clock(), caller, { event: 'node.delete', target: node, node })], (tx) => deleteNode(tx, node));
      return changed(undefined);
    }),
    route('GET /v1/locks', ['lock:list', 'gateway', 'viewer'], 'lock.list', noBody, () => records.locks(clock())),
    route('PUT /v1/locks/:name', ['lock:create'], 'lock.put', lockBody, async ({ principal, caller, body, params }) => {
      sameName(params['name'], body.id);
      // Who locks themselves out could not lift it either.
      const own =
        principal.kind === 'user' &&
        lockTargets(principal.identity).some(([kind, target]) => kind === body.target_kind && target === body.target);
      if (own) throw new StenoError('BAD_REQUEST', 'target: this lock would lock out whoever sets it');
      if (body.expires_at !== null && body.expires_at <= clock()) throw new StenoError('BAD_REQUEST', 'expires_at: is over already');
      await records.act([auditRow(clock(), caller, { event: 'lock.put', target: body.id, data: { lock: body } })], (tx) =>
        putLock(tx, body, caller.actor, clock()),
      );
      return changed(body);
    }),
    route('DELETE /v1/locks/:name', ['lock:delete'], 'lock.delete', noBody, async ({ caller, params }) => {
      const id = pathName(params['name']);
      await records.act([auditRow(clock(), caller, { event: 'lock.delete', target: id })], (tx) => deleteLock(tx, id));
      return changed(undefined);
    }),
    ...caRoutes(parts),
  ];
}

async function logIn(
  parts: RouteParts,
  { caller, body }: Context<{ readonly public_key: string; readonly tls_key?: string | undefined }>,
): Promise<LoginResult> {
  return issueUserCertificate(parts, caller, { user: caller.actor, mfa: null, requests: [] }, body.public_key, body.tls_key);
}

async function certifyService(
  parts: RouteParts,
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
 * Who may change nodes gets those of OpenSSH servers that are registered: they could say of these where they are and
 * which key they show as well.
 */
async function hostCertificate(
  parts: RouteParts,
  { principal, caller, body }: Context<z.output<typeof hostBody>>,
): Promise<{ readonly certificate: string }> {
  const { ca, directory, clock } = parts;
  if (principal.kind === 'service' && principal.service.kind === 'agent' && directory.node(body.name)?.tunnel_key !== undefined)
    throw new StenoError('ACCESS_DENIED', 'this node joined by token');
  if (principal.kind === 'service' && principal.service.name !== body.name) {
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
      throw new StenoError('ACCESS_DENIED', 'more than 30 days are for those who administer everything');
  }
  const shape = hostShape(body.name, hostPrincipals(body), certifiableKey(body.public_key), clock(), body.ttl);
  const [serial] = await register(
    parts,
    caller,
    { event: 'host_certificate.issue', target: body.name, node: body.name, data: { valid_before: Number(shape.validBefore) * 1000 } },
    [{ ...shape, subject: body.name }],
  );
  return { certificate: formatPublicLine(await ca.issueSsh('ssh-host', { ...shape, serial: serial! }), body.name) };
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
    kind: 'host',
    now: Math.floor(clock() / 1000),
    trusted: directory.current().ssh_host_ca.map((ca) => parseAuthorizedLine(ca).blob),
    ...(principal === undefined ? {} : { principal }),
    verify,
  });
  if (!admission.ok) throw new StenoError(admission.code, admission.detail);
  if (certificate.keyId !== hostKeyId(service)) throw new StenoError('ACCESS_DENIED', 'this host certificate was given to another service');
  return certificate.principals;
}

function serviceOf(principal: Context<unknown>['principal']): ServiceName {
  if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
  return principal.service;
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
