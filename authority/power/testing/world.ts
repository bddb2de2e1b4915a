/**
 * Small worlds for worlds.test.ts: a state store with a few roles, users and nodes, on which the authority's own classes act
 * as somebody; what accounts can reach is determined by querying the policies.
 */
import { join } from 'node:path';
import { rolesOfGrant } from '#schemas/documents/access-request.js';
import { connectorSchema } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import { permittedAddresses, refuseListening } from '#schemas/policy/forwarding.js';
import { decide, loginsOf } from '#schemas/policy/node.js';
import { decideRequest, decideReview } from '#schemas/policy/request.js';
import { decideSession } from '#schemas/policy/session.js';
import type { Subject } from '#schemas/policy/subject.js';
import { joinModes, resourceKinds, resourceVerbs, roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import { openState } from '#stores/state/open.js';
import { Bots } from '../../people/bots/bots.js';
import type { LiveCa } from '../../ca/ca.js';
import { createSealer } from '../../ca/seal.js';
import { Directory } from '../../directory/directory.js';
import { Links } from '../../web-sessions/web-sessions.js';
import { SingleSignOn } from '../../people/login/single-sign-on.js';
import { NodeRegistry } from '../../inventory/nodes/registry.js';
import { Presence } from '../../inventory/nodes/presence.js';
import { Tokens } from '../../inventory/nodes/tokens.js';
import { putNode } from '../../inventory/nodes/records.js';
import { Records, ensureRole } from '../../records/records.js';
import { Requests } from '../../access/requests.js';
import { Roles, sourceOf } from '../../access/roles.js';
import { findConnector } from '../../records/connectors.js';
import { SsoConnectors } from '../../people/sso/connectors.js';
import { findUser, insertUser, listUsers } from '../../records/users.js';
import { Users } from '../../people/users/users.js';
import { PowerGuard } from '../guard.js';
import type { Author } from '../guard.js';

export interface WorldPlan {
  readonly roles: readonly object[];
  readonly users: readonly { readonly name: string; readonly roles: readonly string[]; readonly traits: Traits }[];
}

/** Candidate logins. */
const logins = ['www', 'root', 'postgres', 'ann', 'mallory', 'dev-postgres'] as const;
export const machines: readonly NodeRecord[] = (
  [
    ['web', { env: 'dev', team: 'x' }],
    ['db', { env: 'prod', team: 'y' }],
    ['lab', { team: 'x' }],
    ['old', { env: 'prod', frozen: 'yes' }],
  ] as const
).map(([name, labels]) => ({ name, kind: 'openssh', address: `${name}.internal:22`, labels, host_keys: [], last_seen_at: null }));

/** The node itself, a metadata service, a neighbour, and an external host. */
const destinations = ['127.0.0.1', '169.254.169.254', '10.1.2.3', '192.0.2.1'] as const;

/** The machine that joins with a token; also its address. */
export const JOINED = 'joined';

/** Prefix of permissions to request: not a gain for a holder of the permission itself. */
export const ASKING = 'ask for ';

/** Lists of roles in a trie, by first role, second, and so on. */
class Lists extends Map<Role, Lists> {
  list: readonly Role[] | undefined;
}

export class World {
  readonly records: Records;
  readonly directory: Directory;
  readonly users: Users;
  readonly bots: Bots;
  readonly roles: Roles;
  readonly requests: Requests;
  readonly registry: NodeRegistry;
  readonly tokens: Tokens;
  readonly connectors: SsoConnectors;
  readonly #sso: SingleSignOn;
  readonly #guard: PowerGuard;
  /** The connector provider's next statement. */
  #outcome: { readonly user: string; readonly roles: readonly string[]; readonly traits: Traits; readonly mfa: null } | undefined;
  #state = '';
  #planned: ReadonlySet<string> = new Set();
  #lists = new Lists();

  /** `folder`: for the state store. */
  static async open(folder: string): Promise<World> {
    const records = new Records(await openState({ kind: 'sqlite', file: join(folder, 'state.db') }));
    const ca = { trust: { service_ca: [] }, refresh: async () => undefined } as unknown as LiveCa;
    return new World(records, await Directory.open(records, ca, 'main', Date.now), ca);
  }

  private constructor(records: Records, directory: Directory, ca: LiveCa) {
    this.records = records;
    this.directory = directory;
    this.#guard = new PowerGuard({ records, directory });
    const parts = { records, directory, ca, clock: Date.now, guard: this.#guard, web: 'http://localhost:1' };
    this.users = new Users(parts);
    this.bots = new Bots({ ...parts, users: this.users });
    this.roles = new Roles(parts);
    this.requests = new Requests({ ...parts, onWebhook: () => undefined });
    this.registry = new NodeRegistry(parts);
    this.tokens = new Tokens(records, new Presence(records, Date.now), () => '', this.#guard, Date.now);
    const sealer = createSealer(Buffer.alloc(32, 1));
    this.connectors = new SsoConnectors({ ...parts, sealer });
    this.#sso = new SingleSignOn({
      ...parts,
      sealer,
      links: new Links(records, directory, Date.now),
      connectors: {
        list: async () => [],
        find: async (name) => {
          const stored = await records.read((db) => findConnector(db, name));
          return stored === undefined
            ? undefined
            : {
                name,
                label: name,
                kind: 'oidc',
                handlers: stored.handlers,
                begin: async ({ state }) => {
                  this.#state = state;
                  return { url: '', kept: {} };
                },
                finish: async () => this.#outcome!,
              };
        },
      },
    });
  }

  /** Empties the store and fills it as planned. */
  async begin({ roles, users }: WorldPlan): Promise<void> {
    this.#lists = new Lists();
    this.#planned = new Set(roles.map((role) => (role as { readonly name: string }).name));
    await this.records.act([], async (tx) => {
      for (const table of [
        'users',
        'roles',
        'nodes',
        'locks',
        'access_requests',
        'access_request_reviews',
        'connectors',
        'user_names',
        'join_tokens',
        'audit_outbox',
        'role_holdings',
        'sso_subjects',
        'login_attempts',
      ] as const) {
        await tx.deleteFrom(table).execute();
      }
      for (const role of roles) await ensureRole(tx, roleSchema.parse(role), 1);
      for (const { name, ...user } of users)
        await insertUser(tx, { name, kind: 'local', connector: null, created_by: 'adm', handlers: [], ...user }, 1);
      for (const node of machines) await putNode(tx, node, 1);
    });
    await this.directory.changed();
  }

  /** With certificates that carry all grants. */
  async author(name: string): Promise<Author> {
    const user = await this.records.read((db) => findUser(db, name));
    if (user === undefined) throw new StenoError('USER_UNKNOWN', name);
    const { roles: known, grants } = this.directory.current();
    const granted = grants.filter((grant) => grant.user === name).flatMap((grant) => rolesOfGrant(grant, known) ?? []);
    const identity = {
      user: name,
      roles: user.roles,
      traits: user.traits,
      mfa: null,
      requests: [],
      cluster: null,
      serial: '',
      keyId: '',
      validBefore: 0,
    };
    return this.#guard.author({
      principal: { kind: 'user', identity, roles: [...rolesNamed(user.roles, known), ...granted] },
      caller: { actor: name, source: '' },
    });
  }

  /** Throws POWER_LACKING. */
  async token(author: Author, labels: Readonly<Record<string, string>>): Promise<void> {
    await this.tokens.create(author, { ttl_ms: 60_000, uses: 1, labels, node_labels: [] });
  }

  /** The machine that joined with a token with these labels. */
  async join(labels: Readonly<Record<string, string>>): Promise<void> {
    const node: NodeRecord = { name: JOINED, kind: 'openssh', address: `${JOINED}.internal:22`, labels, host_keys: [], last_seen_at: null };
    await this.records.act([], (tx) => putNode(tx, node, 1));
    await this.directory.changed();
  }

  async writeRole(author: Author, document: object): Promise<void> {
    await this.roles.apply([{ source: sourceOf(roleSchema.parse(document)) }], false, author);
  }

  /** A connector that gives the roles to the users its provider names. */
  async connect(author: Author, roles: readonly string[]): Promise<void> {
    if (roles.length === 0) throw new StenoError('BAD_REQUEST', 'roles');
    await this.connectors.put(
      connectorSchema.parse({
        kind: 'oidc',
        name: 'corp',
        issuer: 'https://idp.example.com',
        client_id: 'x',
        client_auth: 'none',
        claims_to_roles: [{ claim: 'g', value: '*', roles }],
      }),
      author,
    );
  }

  /** Logs in through the connector, as its provider states. */
  async comeIn(user: string, traits: Traits): Promise<void> {
    const stored = await this.records.read((db) => findConnector(db, 'corp'));
    if (stored === undefined) throw new StenoError('NOT_FOUND', 'corp');
    this.#outcome = { user, traits, roles: stored.document.claims_to_roles.flatMap(({ roles }) => roles), mfa: null };
    const { binding } = await this.#sso.begin('corp', '/');
    await this.#sso.finish('corp', { state: this.#state, binding, query: {} }, { actor: 'viewer', source: '' });
    await this.directory.changed();
  }

  async names(): Promise<readonly string[]> {
    return (await this.records.read(listUsers)).map(({ name }) => name);
  }

  async connectorOf(name: string): Promise<string | null> {
    return (await this.records.read((db) => findUser(db, name)))?.connector ?? null;
  }

  /**
   * Everything the account can do, by itself and with each of its grants. `terms`: include session conditions, and
   * visibility of its own sessions.
   */
  async reach(name: string, terms: boolean): Promise<ReadonlySet<string>> {
    const user = await this.records.read((db) => findUser(db, name));
    const found = new Set<string>();
    if (user === undefined) return found;
    const { roles: known, grants } = this.directory.current();
    const own = user.roles.flatMap((role) => known.find((one) => one.name === role) ?? []);
    const lists = [
      this.#listed(own),
      ...grants.filter((grant) => grant.user === name).map((grant) => [...own, ...(rolesOfGrant(grant, known) ?? [])]),
    ];
    for (const roles of lists) this.#atoms({ user: name, traits: user.traits, roles }, known, terms, found);
    return found;
  }

  /** The identical list for identical roles, so that compiled policies are cached. */
  #listed(roles: readonly Role[]): readonly Role[] {
    let at = this.#lists;
    for (const role of roles) at = at.get(role) ?? at.set(role, new Lists()).get(role)!;
    return (at.list ??= roles);
  }

  #atoms(person: Subject, known: readonly Role[], terms: boolean, found: Set<string>): void {
    const { nodes, own_since: since } = this.directory.current();
    const subject = Object.hasOwn(since, person.user) ? { ...person, since: since[person.user]! } : person;
    for (const node of nodes) {
      for (const login of logins) {
        const decision = decide(subject, node, login);
        if (!decision.allowed) continue;
        // The machine counts, not its name.
        found.add(`${login} on ${node.address}`);
        if (terms && !decision.sessionMfa) found.add(`${login} on ${node.address} unconfirmed`);
        if (terms && decision.recording.streams === 'limited') found.add(`${login} on ${node.address} with streams cut`);
        if (terms && decision.recording.unechoed !== 'full') found.add(`${login} on ${node.address} with input left out`);
        for (const host of destinations) {
          if (permittedAddresses(decision.forwarding, { host, port: 80 }, [host]).length > 0)
            found.add(`${login} on ${node.address} forwards to ${host}`);
        }
        if (refuseListening(decision.forwarding, false) === null) found.add(`${login} on ${node.address} listens`);
        if (decision.agentForwarding) found.add(`${login} on ${node.address} forwards an agent`);
        if (terms && decision.limits.idleTimeout === null) found.add(`${login} on ${node.address} idle`);
        if (terms && !decision.limits.disconnectExpiredCert) found.add(`${login} on ${node.address} beyond the certificate`);
      }
      // Seeing more of one's own sessions is no gain for an account nobody has taken over. Recordings exist for the initial
      // nodes.
      const planned = machines.find(({ name }) => name === node.name) ?? machines.find(({ address }) => address === node.address);
      const recorded = planned?.name ?? node.address;
      const session = { user: 'bob', node: node.name, login: 'www', kind: 'shell', started_at: 1 };
      if (terms || person.user !== 'bob') {
        for (const action of ['list', 'view', 'export'] as const)
          if (decideSession(subject, action, session, node.labels).allowed) found.add(`${action} sessions of ${recorded}`);
        for (const mode of joinModes)
          if (decideSession(subject, 'join', session, node.labels, mode).allowed) found.add(`join sessions of ${recorded} as ${mode}`);
      }
      for (const requester of ['somebody', 'x'])
        if (decideReview(subject, requester, { roles: [], nodes: [node] }).allowed) found.add(`approve ${node.address} for ${requester}`);
      const asking = decideRequest(subject, { roles: [], nodes: [node] });
      if (asking.allowed) {
        const { role } = asking.because[0]!;
        const named =
          asking.logins.length > 0 ? asking.logins : loginsOf({ ...subject, roles: subject.roles.filter((one) => one.name === role) });
        const worth = rolesOfGrant({ items: [{ kind: 'nodes', role, nodes: [node.name], logins: named }] }, known) ?? [];
        for (const login of logins)
          if (decide({ ...subject, roles: [...subject.roles, ...worth] }, node, login).allowed)
            found.add(`${ASKING}${login} on ${node.address}`);
      }
    }
    // A new role's power counts where it is held; permission to give it counts as that power.
    for (const role of known.filter(({ name }) => this.#planned.has(name))) {
      if (decideReview(subject, 'somebody', { roles: [role.name], nodes: [] }).allowed) found.add(`approve role ${role.name}`);
      const asking = decideRequest(subject, { roles: [role.name], nodes: [] });
      if (asking.allowed)
        for (let votes = asking.thresholds.approve; votes <= 3; votes += 1) found.add(`ask for role ${role.name} with ${votes}`);
    }
    for (const kind of resourceKinds)
      for (const verb of resourceVerbs) if (mayAdminister(subject.roles, kind, verb)) found.add(`${verb} ${kind}`);
  }
}
