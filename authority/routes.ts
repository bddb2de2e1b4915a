/**
 * What the authority does, and for whom: one table. Paths and shapes are those of `schemas/api.ts`.
 *
 * Every name that comes in is checked before it becomes a row, a principal or a path. Tested in app.test.ts.
 */
import { z } from 'zod';
import type { LoginResult, SessionCertificateRequest } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import { isLogin, isName } from '#schemas/base/identity.js';
import { decideResource } from '#schemas/policy/administration.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { lockTargets } from '#runtime/http/request-auth.js';
import { auditRow } from './records/audit.js';
import { gatewayPrincipals, isHostName } from './ca/certificates.js';
import { clusterRoutes } from './inventory/clusters/routes.js';
import type { Clusters } from './inventory/clusters/clusters.js';
import { caRoutes } from './certificates/ca-routes.js';
import type { CaRouteParts } from './certificates/ca-routes.js';
import { noBody, route } from './http/server.js';
import type { Context, Route } from './http/server.js';
import { disclosureRoutes } from './audit/disclosures.js';
import {
  certifyService,
  enrolBody,
  enrolledHostNames,
  hostBody,
  hostCertificate,
  keepHostKeys,
  renewedHostNames,
  serviceOf,
} from './certificates/services.js';
import { issueUserCertificate } from './certificates/users.js';
import type { IssueParts } from './certificates/users.js';
import { tokenPattern } from './records/tokens.js';
import type { SignedTrust } from '#schemas/join.js';
import { nodeHostNames } from './inventory/nodes/joining.js';
import type { JoiningParts } from './inventory/nodes/joining.js';
import type { Presence } from './inventory/nodes/presence.js';
import { NodeRegistry } from './inventory/nodes/registry.js';
import { putNode } from './inventory/nodes/records.js';
import { nodeRoutes } from './inventory/nodes/routes.js';
import type { PowerGuard } from './power/guard.js';
import type { Links } from './web-sessions/web-sessions.js';
import { deleteLock, lockNamed, putLock } from './records/records.js';
import { roleRoutes } from './access/role-routes.js';
import { ServiceJoining } from './services/joining.js';
import { serviceRoutes } from './services/routes.js';
import type { SessionCertificates } from './certificates/sessions.js';

export interface RouteParts extends IssueParts, CaRouteParts {
  readonly clusters: Clusters;
  readonly links: Links;
  /** Tables of topics that have a folder of their own. */
  readonly more: readonly Route[];
  readonly sessions: SessionCertificates;
  readonly setIngest: (urls: readonly string[]) => void;
  readonly presence: Presence;
  readonly guard: PowerGuard;
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
  node_principals: z.boolean().optional(),
});
const selfBody = z.strictObject({ address, labels, host_keys: hostKeys, node_principals: z.boolean().default(false) });
const lockBody = z.strictObject({
  id: name,
  target_kind: z.enum(['user', 'role', 'login', 'node', 'session', 'session-input', 'request', 'mfa-device']),
  target: z.string().min(1).max(255),
  reason: z.string().max(1024),
  expires_at: z.number().int().positive().max(8_640_000_000_000_000).nullable(),
});
const base64 = (min: number, max: number): z.ZodString =>
  z
    .string()
    .min(min)
    .max(max)
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'is not base64');
const proofBody = z.strictObject({
  session_id: base64(44, 88),
  user_name: z.string().min(1).max(256),
  algorithm: z.string().min(1).max(64),
  signature: base64(16, 11_000),
  host_key: base64(16, 90_000).optional(),
});
const sessionBody = z.strictObject({
  user: name,
  login,
  node: name,
  public_key: keyLine,
  user_certificate: z.string().min(1).max(90_000),
  source_address: z.string().max(64),
  // Optional here so that an older gateway is refused with USER_PROOF_REFUSED, not BAD_REQUEST.
  proof: proofBody.optional(),
  confirmation: token.optional(),
});

export function routeTable(parts: RouteParts): readonly Route[] {
  const { records, directory, links, sessions, guard, clock } = parts;
  const registry = new NodeRegistry(parts);
  const joining = new ServiceJoining({
    records,
    clock,
    changed: () => directory.changed(),
    certify: (caller, event, request, more) =>
      certifyService(
        parts,
        caller,
        event,
        { kind: request.kind, name: request.name },
        request,
        request.kind === 'gateway' ? gatewayPrincipals(directory.current().cluster, request.host_names) : [],
        {
          data: more.data,
          also: async (tx) => {
            await more.also(tx);
            await keepHostKeys(tx, request);
          },
        },
      ),
  });
  const changed = async <T>(result: T): Promise<T> => {
    await directory.changed();
    return result;
  };
  return [
    ...clusterRoutes(parts),
    ...roleRoutes(parts),
    ...disclosureRoutes(parts),
    ...parts.more,
    ...serviceRoutes({ ...parts, changed: () => directory.changed() }, joining),
    route('POST /v1/login', ['owner'], 'user.login', z.strictObject({ public_key: keyLine, tls_key: pem.optional() }), (c) =>
      logIn(parts, c),
    ),
    route('POST /v1/enroll', ['owner'], 'service.enroll', enrolBody, ({ caller, body }) =>
      certifyService(parts, caller, 'service.enroll', { kind: body.kind, name: body.name }, body, enrolledHostNames(parts, body), {
        also: (tx) => keepHostKeys(tx, body),
      }),
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
        parts.setIngest([body.url]);
      },
    ),
    route(
      'POST /v1/sign-in-link',
      ['owner', 'user'],
      'sign_in_link.create',
      z.union([noBody, z.strictObject({})]),
      ({ caller, principal }) => links.create(caller.actor, caller, principal.kind === 'user' ? principal.identity : undefined),
    ),

    route('POST /v1/renew', ['service'], 'service.renew', renewBody, async ({ principal, caller, body }) => {
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
    route('PUT /v1/nodes/:name', ['node:create', 'node:update'], 'node.put', nodeBody, async (c) => {
      sameName(c.params['name'], c.body.name);
      const { last_seen_at: _, ...wish } = c.body;
      return registry.put(wish, await guard.author(c));
    }),
    route('DELETE /v1/nodes/:name', ['node:delete'], 'node.delete', noBody, async (c) =>
      registry.remove(pathName(c.params['name']), await guard.author(c)),
    ),
    route('GET /v1/locks', ['lock:list', 'gateway', 'viewer'], 'lock.list', noBody, () => records.locks(clock())),
    route('PUT /v1/locks/:name', ['lock:create', 'lock:update'], 'lock.put', lockBody, async (c) => {
      const { principal, caller, body, params } = c;
      const author = await guard.author(c);
      sameName(params['name'], body.id);
      // Who locks themselves out could not lift it either.
      const own =
        principal.kind === 'user' &&
        lockTargets(principal.identity).some(([kind, target]) => kind === body.target_kind && target === body.target);
      if (own) throw new StenoError('BAD_REQUEST', 'target: this lock would lock out whoever sets it');
      if (body.expires_at !== null && body.expires_at <= clock()) throw new StenoError('BAD_REQUEST', 'expires_at: is over already');
      await records.actOn(async (tx) => {
        // Another lock under the same id is the end of the one before.
        const before = await lockNamed(tx, body.id);
        const verdict = decideResource(author.subject, 'lock', before === undefined ? 'create' : 'update');
        if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
        if (before !== undefined) await guard.mayLift(tx, author, before);
        await putLock(tx, body, caller.actor, clock());
        return {
          result: undefined,
          rows: [auditRow(clock(), caller, { event: 'lock.put', target: body.id, data: { lock: body, before: before ?? null } })],
        };
      });
      return changed(body);
    }),
    route('DELETE /v1/locks/:name', ['lock:delete'], 'lock.delete', noBody, async (c) => {
      const id = pathName(c.params['name']);
      const author = await guard.author(c);
      await records.act([auditRow(clock(), author, { event: 'lock.delete', target: id })], async (tx) => {
        const before = await lockNamed(tx, id);
        if (before !== undefined) await guard.mayLift(tx, author, before);
        await deleteLock(tx, id);
      });
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
