/**
 * The authority: CAs, users, roles, nodes, locks, sign-in links, and the audit of all these.
 *
 * Start order: folder and socket path, state, seal key, CAs, first administrator, socket, own service certificate (through
 * that socket, like every stage), TLS listener. Nothing is served before the CAs are open, and without the seal key the
 * authority does not start. A second start finds everything in place and changes nothing. Tested in app.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { clusterName } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName, isName } from '#schemas/base/identity.js';
import type { Snapshot } from '#schemas/snapshot.js';
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
import { SqlLeases, storeClock } from '#stores/leases/sql.js';
import { SessionPlaces } from './access/session-places.js';
import { RefusalBudget } from './audit/refusal-budget.js';
import { AuditSender } from './audit/sender.js';
import { openCas } from './ca/open.js';
import type { SignerConfig } from './ca/signer-config.js';
import { createFirstAdministrator, ownerName } from './first-administrator.js';
import { keepHouse, purgeAll, sweepRequests } from './housekeeping.js';
import { openOwnerSocket, openTlsListener } from './http/listeners.js';
import { preparePrivateFolder } from './http/owner-socket.js';
import type { HttpParts, Route } from './http/server.js';
import { Presence } from './inventory/nodes/presence.js';
import { openParts } from './parts.js';
import { auditRow } from './records/audit.js';
import type { ResponsePolicy } from '#schemas/documents/response-policy.js';
import { Records } from './records/records.js';
import { routeTable } from './routes.js';
import { Watch } from './watch.js';

export interface AuthorityConfig {
  /** Holds `authority.sock` and `authority/` with state and seal key; created with mode 0700. */
  readonly dataDir: string;
  /** `host:port` of the TLS listener; port 0 picks a free one. */
  readonly listen: string;
  /** Path of the Unix socket; `DIR/authority.sock` by default. */
  readonly socket?: string;
  readonly name: string;
  /** Name of this Steno among clusters that trust each other; `main` by default. */
  readonly cluster?: string;
  /** The state store; SQLite in the data directory by default. Authorities that share PostgreSQL share the seal key. */
  readonly state?: StateOptions;
  /** File of the seal key; `DIR/authority/seal.key` by default. */
  readonly sealKey?: string;
  /** `wss://host:port/uplink` of the ingests, if known already; any of them may be used. */
  readonly ingest?: readonly string[];
  /** Passphrase that seals the CA keys, set at the first start; otherwise a key file is used. */
  readonly sealPassphrase?: string;
  /** A token for the keys of CAs. */
  readonly caSigner?: SignerConfig;
  /** Automatic responses to findings; none by default. */
  readonly responses?: ResponsePolicy;
  /** Base URL of the page as users type it: for links, for single sign-on, and as the site of passkeys. */
  readonly web?: string;
  /** `host:port` at which users reach a gateway's Kubernetes listener. */
  readonly kube?: string;
  /** Process id of `steno up`, whose children are the stages: processes started by those belong to sessions. */
  readonly supervisor?: number;
}

export interface AuthorityContext {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Checks every answer against its endpoint's declaration; for tests. */
  readonly checkAnswers?: boolean;
  /** Refusals per minute audited one by one; RefusalBudget's default if omitted. */
  readonly refusalBurst?: number;
}

export interface RunningAuthority extends Running {
  /** `tls`: `https://host:port`; `socket`: its path. */
  readonly addresses: { readonly tls: string; readonly socket: string };
  /** The routes served, with the names of their audit events. */
  readonly routes: readonly Pick<Route, 'method' | 'path' | 'admits' | 'event'>[];
  /** Changes where audit rows are sent. */
  setIngest(urls: readonly string[]): void;
}

/** Background work takes a fraction of this; an authority that dies delays the others for this long. */
const LEASE_MS = 20_000;
/** Default address of the page in `steno up`. */
const DEFAULT_WEB = 'http://localhost:8090';

export async function startAuthority(config: AuthorityConfig, context: AuthorityContext): Promise<RunningAuthority> {
  const { log, clock } = context;
  if (!isName(config.name)) throw new StenoError('USAGE', `${JSON.stringify(config.name)} is not a valid service name`);
  const dataDir = resolve(config.dataDir);
  const socketPath = config.socket ?? join(dataDir, 'authority.sock');
  const folder = join(dataDir, 'authority');
  const secretsFolder = join(folder, 'secrets');
  for (const each of [dataDir, folder, secretsFolder]) preparePrivateFolder(each);

  // Closed in reverse order, also when a later step of the start fails.
  const owned: (() => Promise<void> | void)[] = [];
  const own = (release: () => Promise<void> | void): void => void owned.push(release);
  const close = async (): Promise<void> => {
    for (const release of owned.splice(0).reverse()) await release();
  };
  try {
    const state: StateOptions = config.state ?? { kind: 'sqlite', file: join(folder, 'state.sqlite') };
    const records = new Records(await openState(state));
    own(() => records.close());
    const shared = watchState(state);
    own(() => shared.close());
    const cas = await openCas(
      records,
      { sealKey: config.sealKey ?? join(folder, 'seal.key'), sealPassphrase: config.sealPassphrase, signer: config.caSigner },
      context,
    );
    own(() => cas.close());
    const owner = ownerName();
    await createFirstAdministrator(records, owner, clock());
    const sessionPlaces = new SessionPlaces(records, clock);
    const presence = new Presence(records, clock);
    await purgeAll({ records, sessionPlaces, presence, clock });

    const leases = await records.read(async (db) => new SqlLeases(db, storeClock(state.kind, clock)));
    const holder = `authority/${config.name}/${randomBytes(8).toString('hex')}`;
    const alone: Alone = (name, work) => underLease(leases, name, { holder, ttlMs: LEASE_MS }, work);
    let watch: Watch | undefined;
    const parts = await openParts(
      {
        ...{ records, cas, sessionPlaces, presence, alone, secretsFolder, log, clock },
        cluster: ownName(config.cluster ?? 'main'),
        web: config.web ?? DEFAULT_WEB,
        connected: () => watch?.connected() ?? [],
      },
      own,
    );
    const { directory, requests, rotations } = parts;
    shared.onChange(
      () =>
        void directory.changed().catch((error: unknown) => log.warn({ err: error }, 'failed to read changes made by another authority')),
    );
    await sweepRequests({ requests, alone });
    const budget = new RefusalBudget(context.refusalBurst);
    own(() => records.audit(budget.rest(clock())));
    let identity: ServiceIdentity | undefined;
    const http: HttpParts = {
      log,
      checkAnswers: context.checkAnswers ?? false,
      removed: (socket) => identity?.removed.refuses(socket) === true,
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
    const routes = routeTable({
      ...parts,
      kube: config.kube ?? null,
      responses: config.responses ?? null,
      leases,
      setIngest,
      refused: http.refused,
      signedTrust: async () => {
        if (identity === undefined) throw new StenoError('NOT_RUNNING', 'the authority does not have its own certificate yet');
        const { ssh_user_ca, service_ca, signing } = cas.ca.trust;
        return signTrust(identity.signer, String(identity.tlsServerOptions().cert), {
          time: clock(),
          ssh_user_ca: [...ssh_user_ca],
          service_ca: [...service_ca],
          signing: { ssh_host: signing.ssh_host, service: signing.service },
          gateways: [...(await presence.gateways())],
        });
      },
    });

    own(await openOwnerSocket(routes, { path: socketPath, owner, supervisor: config.supervisor }, http));
    const certified = await openServiceIdentity({ kind: 'authority', name: config.name, socket: socketPath }, context);
    own(() => certified.close());
    identity = certified;
    const auditSender = new AuditSender(records, certified, { log, leads: () => shared.leads() });
    sender = auditSender;
    // An authority that does not lead leaves its rows to the leader.
    shared.onLead(() => auditSender.poke());
    shared.onAudit(() => auditSender.poke());
    own(certified.removed.onChange((kinds) => kinds.has('ingest') && auditSender.reconnect()));
    own(() => auditSender.close());
    if (ingest !== undefined) auditSender.setIngest(ingest);
    // Its certificate identifies a server to users, who learn of a new key later than services do.
    const follow = ({ service_ca, signing, removed_services }: Snapshot): void =>
      certified.follow({ service_ca, signing: { ...signing, service: signing.authority }, removed_services });
    follow(directory.current());
    own(directory.onChange(follow) as () => void);
    const watching = new Watch(directory, presence.hold(formatServiceName({ kind: 'authority', name: config.name }), log), http.removed);
    watch = watching;
    const tls = await openTlsListener(routes, certified, { listen: config.listen, onUpgrade: watching.onUpgrade }, http);
    own(() => tls.close());
    own(() => watching.close());
    await rotations.start();
    own(keepHouse({ records, sessionPlaces, presence, requests, alone, clock, log }));
    return { addresses: { tls: tls.url, socket: socketPath }, routes, close, setIngest };
  } catch (error) {
    await close();
    throw error;
  }
}

function ownName(name: string): string {
  if (!clusterName.safeParse(name).success)
    throw new StenoError('USAGE', `${JSON.stringify(name)} is not the name of a cluster: lower-case letters, digits and dashes`);
  return name;
}
