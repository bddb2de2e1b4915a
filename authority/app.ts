/**
 * The authority: CAs, users, roles, nodes, locks, sign-in links, and the audit of all of these.
 *
 * Order of a start: folder and socket's place, state, seal key, CAs, first administrator, socket, own service
 * certificate (through that socket, as every stage), TLS listener. Nothing answers before the CAs are open, and
 * without the seal key nothing starts. A second start finds everything and changes nothing. Tested in
 * app.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import type { AddressInfo, Server } from 'node:net';
import { join, resolve } from 'node:path';
import { clusterName } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName, isName } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import type { Snapshot } from '#schemas/api.js';
import { fipsMode } from '#runtime/fips.js';
import type { Log } from '#runtime/log.js';
import { RequestVerifier } from '#runtime/http/request-auth.js';
import type { Running } from '#runtime/service/process.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { signTrust } from '#runtime/service/joining.js';
import { openState } from '#stores/state/open.js';
import type { StateOptions } from '#stores/state/open.js';
import { watchState } from '#stores/state/watch.js';
import { underLease } from '#stores/leases/keeper.js';
import type { Alone } from '#stores/leases/keeper.js';
import { SqlLeases, fence, storeClock } from '#stores/leases/sql.js';
import { RefusalBudget } from './audit/refusal-budget.js';
import { auditRow } from './records/audit.js';
import { AuditSender } from './audit/sender.js';
import { LiveCa, makeKey } from './ca/ca.js';
import { caNames } from './ca/names.js';
import type { KeyPlaces } from './ca/ca.js';
import { caKeys, caState, insertCaKeys } from './ca/ca-records.js';
import { keyPlaces, sealedPlace } from './ca/places.js';
import { openToken } from './ca/pkcs11.js';
import { Rotations } from './ca/rotations.js';
import { SealStore } from './ca/seal-store.js';
import type { SignerConfig } from './ca/signer-config.js';
import { leaseRoutes } from './access/leases.js';
import { lockEffectRoutes } from './access/lock-effects.js';
import { sessionNoticeRoutes } from './access/session-notices.js';
import { Clusters } from './inventory/clusters/clusters.js';
import { kubeClusterRoutes } from './inventory/kube/routes.js';
import { Directory } from './directory/directory.js';
import { ownerServer, tlsServer } from './http/server.js';
import type { HttpParts, Route } from './http/server.js';
import { Links } from './web-sessions/web-sessions.js';
import { Presence } from './inventory/nodes/presence.js';
import { Records, ensureRole, ensureUser } from './records/records.js';
import { routeTable } from './routes.js';
import { purgeLogins } from './records/logins.js';
import { purgeRemovedServices } from './services/removed.js';
import { purgeGuesses } from './people/users/guesses.js';
import { peopleRoutes } from './people/people.js';
import { PowerGuard } from './power/guard.js';
import { Requests } from './access/requests.js';
import { requestRoutes } from './access/request-routes.js';
import { SsoConnectors, connectorRoutes } from './people/sso/connectors.js';
import { reviewRoutes } from './access/reviews.js';
import { SessionCertificates } from './certificates/sessions.js';
import { purgeClaims } from './certificates/user-proofs.js';
import { SessionPlaces, sessionPlaceRoutes } from './access/session-places.js';
import { refuseCaller } from './http/owner-caller.js';
import { listenPrivately, preparePrivateFolder } from './http/owner-socket.js';
import { Watch } from './watch.js';
import { webhookRoutes } from './webhooks/routes.js';
import { secretsIn } from './webhooks/secrets.js';
import { WebhookSender } from './webhooks/sender.js';

export interface AuthorityConfig {
  /** Holds `authority.sock` and `authority/` with state and seal key; made with mode 0700. */
  readonly dataDir: string;
  /** `host:port` of the TLS listener; port 0 picks a free one. */
  readonly listen: string;
  /** Of the Unix socket; `DIR/authority.sock` unless given. */
  readonly socket?: string;
  readonly name: string;
  /** What this Steno is called among clusters that trust each other; `main` unless given. */
  readonly cluster?: string;
  /** Where the state is; SQLite in the data directory unless given. Authorities that share PostgreSQL share the seal key. */
  readonly state?: StateOptions;
  /** File of the seal key; `DIR/authority/seal.key` unless given. */
  readonly sealKey?: string;
  /** `wss://host:port/uplink` of ingests, when they are known already; any of them will do. */
  readonly ingest?: readonly string[];
  /** Opens the seal of the CA keys, or makes it at the first start; else a key file does. */
  readonly sealPassphrase?: string;
  /** A token for the keys of CAs. */
  readonly caSigner?: SignerConfig;
  /** Base URL of the page as people type it: for links, for single sign-on, and the site that passkeys belong to. */
  readonly web?: string;
  /** `host:port` at which users reach a gateway's Kubernetes listener. */
  readonly kube?: string;
  /** Process id of `steno up`, whose children are the stages: what they start in turn is somebody's session. */
  readonly supervisor?: number;
}

export interface AuthorityContext {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Checks every answer against what its endpoint declares: for tests. */
  readonly checkAnswers?: boolean;
  /** Refusals a minute that are audited one by one; as many as RefusalBudget's own unless given. */
  readonly refusalBurst?: number;
}

export interface RunningAuthority extends Running {
  /** `tls`: `https://host:port`; `socket`: its path. */
  readonly addresses: { readonly tls: string; readonly socket: string };
  /** What it answers, and what its audit calls that. */
  readonly routes: readonly Pick<Route, 'method' | 'path' | 'admits' | 'event'>[];
  /** Where audit rows go from now on. */
  setIngest(urls: readonly string[]): void;
}

const PURGE_MS = 600_000;
const SWEEP_MS = 10_000;
/** Background work takes a fraction of it; an authority that dies holds others up for so long. */
const LEASE_MS = 20_000;
/** Where `steno up` serves the page unless told. */
const DEFAULT_WEB = 'http://localhost:8090';

export async function startAuthority(config: AuthorityConfig, context: AuthorityContext): Promise<RunningAuthority> {
  const { log, clock } = context;
  if (!isName(config.name)) throw new StenoError('USAGE', `${JSON.stringify(config.name)} is no name of a service`);
  const dataDir = resolve(config.dataDir);
  const socketPath = config.socket ?? join(dataDir, 'authority.sock');
  const folder = join(dataDir, 'authority');
  preparePrivateFolder(dataDir);
  preparePrivateFolder(folder);

  // Closed in reverse, also when a later step of the start fails.
  const owned: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const release of owned.splice(0).reverse()) await release();
  };
  try {
    const state: StateOptions = config.state ?? { kind: 'sqlite', file: join(folder, 'state.sqlite') };
    const records = new Records(await openState(state));
    owned.push(() => records.close());
    const shared = watchState(state);
    owned.push(() => shared.close());
    const seal = await SealStore.open(records, {
      file: config.sealKey ?? join(folder, 'seal.key'),
      passphrase: config.sealPassphrase,
      now: clock(),
    });
    const token = config.caSigner === undefined ? undefined : openToken(config.caSigner, { log });
    if (token !== undefined) owned.push(() => token.close());
    const places = keyPlaces(sealedPlace(seal.sealer), token);
    await createMissingCas(records, places, clock());
    const ca = await LiveCa.open(() => records.read(caState), places);
    const owner = ownerName();
    await createFirstAdministrator(records, owner, clock());
    const sessionPlaces = new SessionPlaces(records, clock);
    const presence = new Presence(records, clock);
    const leases = await records.read(async (db) => new SqlLeases(db, storeClock(state.kind, clock)));
    const holder = `authority/${config.name}/${randomBytes(8).toString('hex')}`;
    const alone: Alone = (name, work) => underLease(leases, name, { holder, ttlMs: LEASE_MS }, work);
    const purgeAll = async (): Promise<void> => {
      await records.purge(clock());
      await records.act([], (tx) => purgeClaims(tx, clock()));
      await sessionPlaces.purge();
      await presence.purge();
      await records.act([], (tx) => purgeRemovedServices(tx, clock()));
      await records.read((db) => purgeLogins(db, clock()));
      await records.read((db) => purgeGuesses(db, clock()));
    };
    await purgeAll();

    const directory = await Directory.open(records, ca, ownName(config.cluster ?? 'main'), clock);
    owned.push(() => directory.close());
    shared.onChange(
      () =>
        void directory.changed().catch((error: unknown) => log.warn({ err: error }, 'what another authority changed could not be read')),
    );
    const sessions = new SessionCertificates(ca, directory, records, clock);
    owned.push(() => sessions.close());
    const clusters = new Clusters({ ca, records, directory, clock, log });
    owned.push(() => clusters.close());
    const guard = new PowerGuard({ records, directory });
    const links = new Links(records, directory, clock);
    const budget = new RefusalBudget(context.refusalBurst);
    owned.push(() => records.audit(budget.rest(clock())));
    const parts: HttpParts = {
      log,
      checkAnswers: context.checkAnswers ?? false,
      removed: (socket) => own?.removed.refuses(socket) === true,
      verifier: new RequestVerifier(() => directory.current(), {
        clock,
        claim: state.kind === 'sqlite' ? undefined : (nonce, until) => records.claimNonce(nonce, until),
      }),
      refused: (caller, event, target, error) => records.audit(budget.rows(auditRow(clock(), caller, { event, target }, error))),
    };
    let sender: AuditSender | undefined;
    let ingest = config.ingest;
    const setIngest = (urls: readonly string[]): void => {
      ingest = urls;
      sender?.setIngest(urls);
    };
    let watch: Watch | undefined;
    let own: ServiceIdentity | undefined;
    const rotations = new Rotations({
      records,
      places,
      changed: () => directory.changed(),
      alone,
      connected: () => watch?.connected() ?? [],
      clock,
      log,
    });
    owned.push(() => rotations.close());
    preparePrivateFolder(join(folder, 'secrets'));
    const secrets = secretsIn(join(folder, 'secrets'));
    const webhooks = new WebhookSender({ records, secrets, log, clock });
    owned.push(() => webhooks.close());
    const requests = new Requests({ ca, records, directory, clock, onWebhook: () => webhooks.wake() });
    const sweepRequests = (): Promise<unknown> => alone('sweep', (lease) => requests.sweep((tx) => fence(tx, lease)));
    await sweepRequests();
    const web = config.web ?? DEFAULT_WEB;
    const connectors = new SsoConnectors({ records, sealer: seal.sealer, guard, clock, web });
    const more = [
      ...peopleRoutes({ ca, records, directory, links, sealer: seal.sealer, connectors, guard, clock, web }),
      ...connectorRoutes(connectors, guard),
      ...requestRoutes({ requests, links }),
      ...reviewRoutes({ records, directory, clock }),
      ...webhookRoutes({ records, requests, secrets, clock }),
      ...sessionPlaceRoutes(sessionPlaces),
      ...lockEffectRoutes({ records, clock }),
      ...sessionNoticeRoutes({ records, clock, changed: () => directory.changed() }),
      ...leaseRoutes(leases),
      ...kubeClusterRoutes({ records, directory, sealer: seal.sealer, clock, gateway: config.kube ?? null }),
    ];
    const routes = routeTable({
      ca,
      records,
      directory,
      clusters,
      links,
      sessions,
      clock,
      setIngest,
      rotations,
      seal,
      more,
      presence,
      guard,
      refused: parts.refused,
      signedTrust: async () => {
        const gateways = await presence.gateways();
        if (own === undefined) throw new StenoError('NOT_RUNNING', 'the authority has no certificate of its own yet');
        const { ssh_user_ca, service_ca, signing } = ca.trust;
        return signTrust(own.signer, String(own.tlsServerOptions().cert), {
          time: clock(),
          ssh_user_ca: [...ssh_user_ca],
          service_ca: [...service_ca],
          signing: { ssh_host: signing.ssh_host, service: signing.service },
          gateways: [...gateways],
        });
      },
    });

    const bySocket = await ownerServer(routes, owner, parts, (socket) =>
      refuseCaller(socket, { uid: process.getuid?.() ?? -1, supervisor: config.supervisor }),
    );
    await listenPrivately(bySocket.server, socketPath);
    owned.push(() => bySocket.app.close());
    owned.push(() => stop(bySocket.server));

    const identity = await openServiceIdentity({ kind: 'authority', name: config.name, socket: socketPath }, context);
    owned.push(() => identity.close());
    own = identity;
    sender = new AuditSender(records, identity, { log, leads: () => shared.leads() });
    const auditSender = sender;
    // An authority that does not lead leaves its rows to the one that does.
    shared.onLead(() => auditSender.poke());
    shared.onAudit(() => auditSender.poke());
    owned.push(identity.removed.onChange((kinds) => kinds.has('ingest') && auditSender.reconnect()));
    owned.push(() => auditSender.close());
    if (ingest !== undefined) sender.setIngest(ingest);
    const onTls = await tlsServer(routes, identity.tlsServerOptions(), parts);
    owned.push(identity.onRenewed(() => onTls.server.setSecureContext(identity.tlsServerOptions())) as () => void);
    // Its own certificate is that of a server to people, who learn of a new key later than services do.
    const follow = ({ service_ca, signing, removed_services }: Snapshot): void =>
      identity.follow({ service_ca, signing: { ...signing, service: signing.authority }, removed_services });
    follow(directory.current());
    owned.push(directory.onChange(follow) as () => void);
    identity.removed.guard(onTls.server);
    const watching = new Watch(directory, presence.hold(formatServiceName({ kind: 'authority', name: config.name }), log), parts.removed);
    watch = watching;
    onTls.server.on('upgrade', watching.onUpgrade);
    const tls = await listen(onTls.server, config.listen);
    owned.push(() => onTls.app.close());
    owned.push(() => stop(onTls.server));
    owned.push(() => watching.close());
    await rotations.start();

    const purge = setInterval(() => {
      alone('purge', purgeAll).catch((error: unknown) => log.warn({ err: error }, 'old rows could not be removed'));
    }, PURGE_MS);
    purge.unref();
    owned.push(() => clearInterval(purge));
    const sweep = setInterval(() => {
      sweepRequests().catch((error: unknown) => log.warn({ err: error }, 'requests whose time is over could not be settled'));
    }, SWEEP_MS);
    sweep.unref();
    owned.push(() => clearInterval(sweep));
    return { addresses: { tls, socket: socketPath }, routes, close, setIngest };
  } catch (error) {
    await close();
    throw error;
  }
}

/** New keys for CAs that have none: all of them at the very first start. */
async function createMissingCas(records: Records, places: KeyPlaces, now: number): Promise<void> {
  const known = new Set((await records.read(caKeys)).map(({ name }) => name));
  const missing = caNames.filter((name) => !known.has(name));
  if (missing.length === 0) return;
  const keys = await Promise.all(missing.map((name) => makeKey(places, name, 1, 'active', fipsMode() ? 'p256' : 'ed25519', now)));
  await records.act([auditRow(now, { actor: 'authority', source: '' }, { event: 'ca.create', data: { names: missing } })], (tx) =>
    insertCaKeys(tx, keys),
  );
}

function ownName(name: string): string {
  if (!clusterName.safeParse(name).success)
    throw new StenoError('USAGE', `${JSON.stringify(name)} is not the name of a cluster: lower-case letters, digits and dashes`);
  return name;
}

/** The role of the first administrator. Any login, root too, on every node. */
export const adminRole: Role = roleSchema.parse({
  kind: 'role',
  name: 'admin',
  allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
  view: 'all',
  administer: true,
});

async function createFirstAdministrator(records: Records, owner: string, now: number): Promise<void> {
  if ((await records.user(owner)) !== undefined) return;
  await records.act(
    [auditRow(now, { actor: 'authority', source: '' }, { event: 'user.create', target: owner, data: { roles: [adminRole.name] } })],
    async (tx) => {
      await ensureRole(tx, adminRole, now);
      await ensureUser(tx, owner, [adminRole.name], now);
    },
  );
}

/** The OS user that runs the authority, as a name of Steno: lower case, other characters as `-`. */
export function ownerName(osName: string = userInfo().username): string {
  const name = osName
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .replace(/\.{2,}/g, '.')
    .slice(0, 63);
  return isName(name) ? name : 'owner';
}

async function listen(server: Server, address: string): Promise<string> {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) throw new StenoError('USAGE', `${address} is not host:port`);
  await new Promise<void>((done, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new StenoError('PORT_TAKEN', address) : error),
    );
    server.listen({ host, port: Number(match?.[3]) }, done);
  });
  const { port } = server.address() as AddressInfo;
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Stops listening and ends what is connected: keep-alive connections of clients would hold a drain for minutes. */
function stop(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
    (server as Server & { closeIdleConnections?: () => void }).closeIdleConnections?.();
    setTimeout(() => (server as Server & { closeAllConnections?: () => void }).closeAllConnections?.(), 1_000).unref();
  });
}
