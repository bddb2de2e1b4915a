/**
 * Access requests: from the request to a certificate that carries the grant. States: schemas/documents/access-request.ts.
 *
 * Order of a review, which decides:
 *   1. check the reviewer with current roles: not the requester, not a bot, permitted by a role of their own (granted
 *      roles do not count, so that no grant leads to another), and controlled by another person than the requester's
 *      account (power/guard.ts);
 *   2. one transaction: lock the row of the request if it is still pending, compare its roles with those requested, write
 *      the review, count all reviews, settle, queue webhook messages, audit;
 *   3. publish the new grants;
 *   4. answer.
 * Concurrent reviews wait for the row lock of 2 and then see
 *      the settled state: exactly one approval completes a request, and a denied request is never approved. Crash before the
 *      commit of 2: nothing happened. Crash after it: the grant is valid although nobody was told, since a start reads the
 *      state. Tested in requests.test.ts.
 */
import { newId } from '#runtime/ids.js';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import { changedRoles, scopeOfItems, standing, stateAt } from '#schemas/documents/access-request.js';
import type {
  AccessRequest,
  GrantItem,
  NewAccessRequest,
  RequestOptions,
  RequestReview,
  RequestView,
} from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import { administersEverything, mayAdminister } from '#schemas/policy/administration.js';
import { loginsOf } from '#schemas/policy/node.js';
import { decideRequest, decideReview } from '#schemas/policy/request.js';
import type { Wanted } from '#schemas/policy/request.js';
import type { Subject } from '#schemas/policy/subject.js';
import { assertUnlocked, lockTargets, rolesNamed } from '#runtime/http/request-auth.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import { issueUserCertificate } from '../certificates/users.js';
import type { IssueParts } from '../certificates/users.js';
import type { Tx } from '../records/records.js';
import { inOneHand } from '../power/guard.js';
import { storedRoles } from '../records/roles.js';
import { findUser } from '../records/users.js';
import { enqueue } from '../records/webhooks.js';
import {
  holdRequest,
  insertRequest,
  insertReview,
  pendingCount,
  requestById,
  requestsOf,
  reviewsOf,
  settleByTime,
  settleRequest,
  shown,
} from '../records/requests.js';
import type { Pins, StoredRequest } from '../records/requests.js';

/** An undecided request expires after this many ms. */
const PENDING_MS = 24 * 3_600_000;
const USUAL_MS = 3_600_000;
const MAX_PENDING = 20;
const MAX_LISTED = 500;

export interface RequestsParts extends IssueParts {
  /** Called when webhook messages were queued. */
  readonly onWebhook: () => void;
}

interface Leave {
  readonly items: readonly GrantItem[];
  /** In ms. */
  readonly maxDuration: number;
  readonly thresholds: AccessRequest['thresholds'];
}

export class Requests {
  readonly #parts: RequestsParts;

  constructor(parts: RequestsParts) {
    this.#parts = parts;
  }

  async create(
    user: string,
    wanted: NewAccessRequest | (Omit<NewAccessRequest, 'duration'> & { readonly duration: null }),
    caller: Caller,
  ): Promise<AccessRequest> {
    const { records, clock } = this.#parts;
    const now = clock();
    const subject = await this.#subject(user);
    const leave = this.#leave(subject, wanted);
    const duration = wanted.duration ?? Math.min(USUAL_MS, leave.maxDuration);
    if (duration > leave.maxDuration)
      throw new StenoError('ACCESS_DENIED', `at most ${leave.maxDuration / 60_000} minutes may be requested`);
    const asked = {
      id: newId('r', 8),
      user,
      state: 'pending',
      reason: wanted.reason,
      items: leave.items,
      thresholds: leave.thresholds,
      created_at: now,
      expires_at: now + PENDING_MS,
      duration,
      decided_at: null,
      ends_at: null,
    } as const;
    const request = await records.actOn(async (tx) => {
      const request: StoredRequest = { ...asked, pins: await pinsOf(tx, asked.items) };
      if ((await pendingCount(tx, user, now)) >= MAX_PENDING) throw new StenoError('TOO_MANY', 'open access requests');
      await insertRequest(tx, request);
      const dropped = await enqueue(tx, 'request.create', request.id, now);
      const { reviews: _, revisions, items, reason } = shown(request, [], now, []);
      return {
        result: request,
        rows: [
          ...dropped,
          auditRow(now, caller, { event: 'request.create', target: request.id, data: { items, revisions, duration, reason } }),
        ],
      };
    });
    this.#parts.onWebhook();
    return shown(request, [], now, this.#parts.directory.current().roles);
  }

  async review(
    user: string,
    id: string,
    { decision, reason, via }: Pick<RequestReview, 'decision' | 'reason' | 'via'>,
    caller: Caller,
  ): Promise<RequestView> {
    const { records, directory, clock } = this.#parts;
    const now = clock();
    const subject = await this.#reviewer(user);
    const before = await this.#visible(subject, id);
    if (before.user === user) throw new StenoError('SELF_REVIEW', id);
    if (decision === 'approve') await this.#assertOtherHand(subject, before.user);
    const leave = decideReview(subject, before.user, this.#wanted(before.items));
    if (!leave.allowed) throw new StenoError('ACCESS_DENIED', leave.reason);
    await records.actOn(async (tx) => {
      const held = await holdRequest(tx, id, 'pending');
      if (held === undefined || stateAt(held, now) !== 'pending') throw new StenoError('REQUEST_DECIDED', id);
      // Compare with the roles in this transaction: reviewers agree to exactly what was requested.
      const changed = changedRoles(
        held.pins,
        held.items,
        (await storedRoles(tx)).map(({ role }) => role),
      );
      if (decision === 'approve' && changed.length > 0) throw new StenoError('REQUEST_STALE', `${id}: role ${changed.join(', ')}`);
      if (!(await insertReview(tx, id, { reviewer: user, decision, reason, at: now, via }))) throw new StenoError('REVIEWED_ALREADY', id);
      const state = standing(await reviewsOf(tx, id), held.thresholds);
      const endsAt = state === 'approved' ? now + held.duration : null;
      const dropped = state === 'pending' ? [] : await enqueue(tx, `request.${state}`, id, now);
      if (state !== 'pending') await settleRequest(tx, id, { state, decided_at: now, ends_at: endsAt });
      const data = { request_user: held.user, state, via, reason, ...(endsAt === null ? {} : { ends_at: endsAt }) };
      return {
        result: undefined,
        rows: [...dropped, auditRow(now, caller, { event: decision === 'approve' ? 'request.approve' : 'request.deny', target: id, data })],
      };
    });
    await directory.changed();
    this.#parts.onWebhook();
    return this.show(user, id);
  }

  /** Cancelled by the requester, or by a user who may end others' requests: its grant ends at once. */
  async cancel(user: string, id: string, reason: string, caller: Caller): Promise<RequestView> {
    const { records, directory, clock } = this.#parts;
    const now = clock();
    const subject = await this.#subject(user);
    const before = await this.#visible(subject, id);
    if (before.user !== user && !mayAdminister(subject.roles, 'request', 'delete'))
      throw new StenoError('ACCESS_DENIED', 'this request belongs to another user');
    await records.actOn(async (tx) => {
      const held = (await holdRequest(tx, id, 'pending')) ?? (await holdRequest(tx, id, 'approved'));
      if (held === undefined || !['pending', 'approved'].includes(stateAt(held, now))) throw new StenoError('REQUEST_DECIDED', id);
      await settleRequest(tx, id, { state: 'cancelled', decided_at: now, ends_at: null });
      const dropped = await enqueue(tx, 'request.cancelled', id, now);
      return {
        result: undefined,
        rows: [
          ...dropped,
          auditRow(now, caller, { event: 'request.cancel', target: id, data: { request_user: held.user, was: held.state, reason } }),
        ],
      };
    });
    await directory.changed();
    this.#parts.onWebhook();
    return this.show(user, id);
  }

  /** The user's own requests, and those that the user may review or administers; newest first. */
  async list(user: string): Promise<readonly RequestView[]> {
    const { records, clock } = this.#parts;
    const subject = await this.#subject(user);
    const all = await records.read((db) => requestsOf(db, { limit: MAX_LISTED }, clock(), this.#parts.directory.current().roles));
    return all.flatMap((request) => this.#view(subject, request) ?? []);
  }

  async show(user: string, id: string): Promise<RequestView> {
    return this.#visible(await this.#subject(user), id);
  }

  async options(user: string): Promise<RequestOptions> {
    const { directory } = this.#parts;
    const subject = await this.#subject(user);
    const { roles, nodes } = directory.current();
    const own = new Set(subject.roles.map(({ name }) => name));
    return {
      roles: roles
        .filter(({ name }) => !own.has(name))
        .flatMap((role) => {
          const leave = decideRequest(subject, { roles: [role.name], nodes: [] });
          return leave.allowed
            ? [
                {
                  name: role.name,
                  description: role.description,
                  max_duration: leave.maxDuration * 1000,
                  approvals: leave.thresholds.approve,
                },
              ]
            : [];
        }),
      nodes: nodes.flatMap((node) => {
        const leave = decideRequest(subject, { roles: [], nodes: [node] });
        return leave.allowed
          ? [
              {
                name: node.name,
                logins: this.#logins(subject, leave.because[0]!.role, leave.logins),
                max_duration: leave.maxDuration * 1000,
                approvals: leave.thresholds.approve,
              },
            ]
          : [];
      }),
    };
  }

  /**
   * Issues certificates like the caller's own that also carry these requests, ending with the first of them or with the
   * caller's: this is not a new login. Everything that led to the grant is checked again with current roles.
   */
  async certificate(
    holder: { readonly user: string; readonly mfa: string | null; /** Unix seconds. */ readonly validBefore: number },
    ids: readonly string[],
    keys: { readonly public_key: string; readonly tls_key?: string | undefined },
    caller: Caller,
  ): Promise<LoginResult> {
    const { records, clock } = this.#parts;
    const now = clock();
    const subject = await this.#subject(holder.user);
    let notAfter = holder.validBefore;
    for (const id of ids) {
      const request = await records.read((db) => requestById(db, id, now, this.#parts.directory.current().roles));
      if (request === undefined || request.user !== holder.user) throw new StenoError('NOT_FOUND', `access request ${id}`);
      // An earlier, removed user of that name is not this one.
      if (!(await this.#wasThere(holder.user, request.created_at))) throw new StenoError('NOT_FOUND', `access request ${id}`);
      if (request.state !== 'approved') throw new StenoError('REQUEST_OVER', `${id} is ${request.state}`);
      if (request.changed.length > 0) throw new StenoError('REQUEST_STALE', `${id}: role ${request.changed.join(', ')}`);
      await this.#assertStill(subject, request);
      notAfter = Math.min(notAfter, Math.floor((request.ends_at ?? 0) / 1000));
    }
    return issueUserCertificate(
      this.#parts,
      caller,
      { user: holder.user, mfa: holder.mfa, requests: ids, notAfter },
      keys.public_key,
      keys.tls_key,
    );
  }

  /** Records which requests have ended by themselves. */
  async sweep(fence: (tx: Tx) => Promise<void> = async () => undefined): Promise<void> {
    const { records, clock } = this.#parts;
    const now = clock();
    await records.actOn(async (tx) => {
      await fence(tx);
      const ended = await settleByTime(tx, now);
      const dropped = [];
      for (const { id, state } of ended) dropped.push(...(await enqueue(tx, `request.${state}`, id, now)));
      const rows = ended.map(({ id, user, state }) =>
        auditRow(
          now,
          { actor: 'authority', source: '' },
          { event: state === 'over' ? 'request.end' : 'request.expire', target: id, data: { request_user: user } },
        ),
      );
      return { result: undefined, rows: [...dropped, ...rows] };
    });
    this.#parts.onWebhook();
  }

  /** Throws ACCESS_DENIED if, with current roles, the request could not be made or its approvals would not suffice. */
  async #assertStill(subject: Subject, request: AccessRequest): Promise<void> {
    const scope = scopeOfItems(request.items);
    const leave = this.#leave(subject, scope);
    let approvals = 0;
    for (const { reviewer, decision, at } of request.reviews) {
      if (decision !== 'approve' || !(await this.#wasThere(reviewer, at))) continue;
      const approver = await this.#reviewer(reviewer).catch(() => undefined);
      if (approver === undefined || !decideReview(approver, request.user, this.#wanted(request.items)).allowed) continue;
      if (await this.#isOtherHand(approver, request.user)) approvals++;
    }
    const needed = Math.max(request.thresholds.approve, leave.thresholds.approve);
    if (approvals < needed)
      throw new StenoError(
        'ACCESS_DENIED',
        `of the approvals of ${request.id}, ${approvals} still count${approvals === 1 ? 's' : ''}, and ${needed} are needed`,
      );
  }

  async #visible(subject: Subject, id: string): Promise<RequestView> {
    const request = await this.#parts.records.read((db) => requestById(db, id, this.#parts.clock(), this.#parts.directory.current().roles));
    const view = request === undefined ? undefined : this.#view(subject, request);
    // Requests that may not be seen are answered like missing ones.
    if (view === undefined) throw new StenoError('NOT_FOUND', `access request ${id}`);
    return view;
  }

  #view(subject: Subject, request: AccessRequest): RequestView | undefined {
    // Requests of an earlier user of the name do not belong to this one.
    const own = request.user === subject.user && request.created_at >= (subject.since ?? 0);
    const review = request.user !== subject.user && decideReview(subject, request.user, this.#wanted(request.items)).allowed;
    if (!own && !review && !mayAdminister(subject.roles, 'request', 'list')) return undefined;
    const reviewed = request.reviews.some(({ reviewer }) => reviewer === subject.user);
    return {
      ...request,
      may_review: review && !reviewed && request.state === 'pending' && request.changed.length === 0,
      may_cancel:
        (own || mayAdminister(subject.roles, 'request', 'delete')) && (request.state === 'pending' || request.state === 'approved'),
    };
  }

  /** The part of a role's permission that covers the whole request, or ACCESS_DENIED. */
  #leave(subject: Subject, { roles, nodes, logins }: Pick<NewAccessRequest, 'roles' | 'nodes' | 'logins'>): Leave {
    const known = this.#parts.directory.current();
    if (roles.length === 0 && nodes.length === 0) throw new StenoError('BAD_REQUEST', 'ask for a role or a node');
    for (const role of roles) if (!known.roles.some(({ name }) => name === role)) throw new StenoError('NOT_FOUND', `role ${role}`);
    for (const node of nodes) if (!known.nodes.some(({ name }) => name === node)) throw new StenoError('NODE_UNKNOWN', node);
    if (roles.length > 0) {
      if (logins.length > 0) throw new StenoError('BAD_REQUEST', 'logins: are given with nodes; a role itself lists the logins it allows');
      const leave = decideRequest(subject, { roles, nodes: [] });
      if (!leave.allowed) throw new StenoError('ACCESS_DENIED', leave.reason);
      const items = roles.map((role): GrantItem => (nodes.length === 0 ? { kind: 'role', role } : { kind: 'narrowed', role, nodes }));
      return { items, maxDuration: leave.maxDuration * 1000, thresholds: leave.thresholds };
    }
    // Check nodes one by one: what a rule permits on one node says nothing about the next.
    const leaves = nodes.map((name) => {
      const leave = decideRequest(subject, { roles: [], nodes: [this.#node(name)] });
      if (!leave.allowed) throw new StenoError('ACCESS_DENIED', leave.reason);
      const role = leave.because[0]!.role;
      const may = this.#logins(subject, role, leave.logins);
      const asked = logins.length === 0 ? may : logins;
      const denied = asked.find((login) => !may.includes(login) && (login === 'root' || !may.includes('*')));
      if (denied !== undefined)
        throw new StenoError('ACCESS_DENIED', `no role of ${subject.user} permits requesting login ${denied} on node ${name}`);
      if (asked.length === 0) throw new StenoError('ACCESS_DENIED', `the rule of role ${role} names no login for node ${name}`);
      return { item: { kind: 'nodes', role, nodes: [name], logins: asked } satisfies GrantItem, ...leave };
    });
    return {
      items: leaves.map(({ item }) => item),
      maxDuration: Math.min(...leaves.map(({ maxDuration }) => maxDuration)) * 1000,
      thresholds: {
        approve: Math.max(...leaves.map(({ thresholds }) => thresholds.approve)),
        deny: Math.min(...leaves.map(({ thresholds }) => thresholds.deny)),
      },
    };
  }

  /** The logins of a rule; for a rule without any, those of its role. */
  #logins(subject: Subject, role: string, named: readonly string[]): readonly string[] {
    return named.length > 0 ? named : loginsOf({ ...subject, roles: subject.roles.filter(({ name }) => name === role) });
  }

  #wanted(items: readonly GrantItem[]): Wanted {
    const { roles, nodes } = scopeOfItems(items);
    // A role restricted to some nodes is less than the role: permission to give the role includes it.
    return roles.length > 0 ? { roles, nodes: [] } : { roles: [], nodes: nodes.map((name) => this.#node(name)) };
  }

  /** A removed node has no labels, so rules about labels do not match it. */
  #node(name: string): { readonly name: string; readonly labels: Readonly<Record<string, string>> } {
    return this.#parts.directory.node(name) ?? { name, labels: {} };
  }

  /** With current roles, excluding granted ones. Throws ACCESS_DENIED or LOCKED. */
  async #subject(user: string): Promise<Subject> {
    const { records, directory, clock } = this.#parts;
    const record = await records.read((db) => findUser(db, user));
    if (record === undefined || record.disabled_at !== null)
      throw new StenoError('ACCESS_DENIED', `user ${user} does not exist or is disabled`);
    const { roles, locks } = directory.current();
    assertUnlocked(locks, lockTargets({ user, roles: record.roles, requests: [], mfa: null }), clock());
    return {
      user,
      traits: record.traits,
      roles: rolesNamed(record.roles, roles),
      since: Math.max(record.created_at, record.own_since ?? 0),
    };
  }

  /** Whether the user of this name is the same as at that time. */
  async #wasThere(user: string, at: number): Promise<boolean> {
    const record = await this.#parts.records.read((db) => findUser(db, user));
    return record !== undefined && record.created_at <= at;
  }

  /** Throws SELF_REVIEW if one person could control both accounts. */
  async #assertOtherHand(reviewer: Subject, requester: string): Promise<void> {
    if (!(await this.#isOtherHand(reviewer, requester)))
      throw new StenoError(
        'SELF_REVIEW',
        `one person could control both ${requester} and ${reviewer.user}: who created or reset one of them may act as it`,
      );
  }

  async #isOtherHand(reviewer: Subject, requester: string): Promise<boolean> {
    if (administersEverything(reviewer.roles)) return true;
    return this.#parts.records.read(async (db) => {
      const [one, other] = [await findUser(db, reviewer.user), await findUser(db, requester)];
      return one !== undefined && other !== undefined && !(await inOneHand(db, one, other));
    });
  }

  /** A reviewer must be a person: a machine's credentials may be read by others, perhaps the requester. */
  async #reviewer(user: string): Promise<Subject> {
    const record = await this.#parts.records.read((db) => findUser(db, user));
    if (record?.kind === 'bot') throw new StenoError('ACCESS_DENIED', `${user} is a bot, and bots cannot review`);
    return this.#subject(user);
  }
}

/** The current revisions of the roles that the items refer to. */
async function pinsOf(tx: Tx, items: readonly GrantItem[]): Promise<Pins> {
  const names = new Set(items.map(({ role }) => role));
  return Object.fromEntries(
    (await storedRoles(tx))
      .filter(({ role }) => names.has(role.name))
      .map(({ role, revision }) => [role.name, { revision, document: role }]),
  );
}
