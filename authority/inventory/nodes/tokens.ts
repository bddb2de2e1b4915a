/**
 * Tokens with which nodes join, and who may create them (records/join-tokens.ts).
 *
 * Tested in nodes.test.ts.
 */
import type { JoinTokenCreated, JoinTokenInfo } from '#schemas/api/inventory/join-tokens.js';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { deleteToken, newJoinToken, pinsOf } from '../../records/join-tokens.js';
import type { Author, PowerGuard } from '../../power/guard.js';
import type { Records } from '../../records/records.js';
import type { Presence } from './presence.js';
import { requireVerb } from './registry.js';
import { insertToken, liveTokens, purgeJoining } from './records.js';

const MAX_TOKENS = 10_000;
/** Prefix of labels that a node reports itself (docs/decisions/0025). */
const OWN_LABELS = 'node/';

export interface TokenWish {
  readonly ttl_ms: number;
  readonly uses: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly node_labels: readonly string[];
}

export class Tokens {
  readonly #records: Records;
  readonly #presence: Presence;
  readonly #servicePem: () => string;
  readonly #clock: () => number;
  readonly #guard: PowerGuard;

  constructor(records: Records, presence: Presence, servicePem: () => string, guard: PowerGuard, clock: () => number) {
    this.#guard = guard;
    this.#records = records;
    this.#presence = presence;
    this.#servicePem = servicePem;
    this.#clock = clock;
  }

  /**
   * Labels of a token decide which roles open the machines that join with it; creating one requires the verb `label` on
   * nodes and every login that the labels open. Users who do not administer everything may leave to machines only labels
   * marked as self-reported. Throws ACCESS_DENIED, POWER_LACKING.
   */
  async create(author: Author, wish: TokenWish): Promise<JoinTokenCreated> {
    const free = wish.node_labels.filter((pattern) => !pattern.startsWith(OWN_LABELS));
    if (Object.keys(wish.labels).length > 0 || free.length > 0) requireVerb(author, 'label');
    if (free.length > 0 && !author.everything)
      throw new StenoError('POWER_LACKING', `machines that choose the label ${free[0]} themselves`);
    const machine = { name: 'a machine that joins', labels: wish.labels };
    this.#guard.mayLabel(author, { before: { ...machine, labels: {} }, after: machine, on: machine });
    const now = this.#clock();
    const { id, token, publicKey } = newJoinToken();
    const record = {
      id,
      labels: wish.labels,
      node_labels: wish.node_labels,
      uses_left: wish.uses,
      created_by: author.actor,
      created_at: now,
      expires_at: now + wish.ttl_ms,
    };
    const row = auditRow(now, author, {
      event: 'token.create',
      target: id,
      data: { uses: wish.uses, expires_at: record.expires_at, labels: wish.labels, node_labels: wish.node_labels },
    });
    await this.#records.act([row], async (tx) => {
      await purgeJoining(tx, now);
      if ((await liveTokens(tx, now)).length >= MAX_TOKENS) throw new StenoError('TOO_MANY', 'tokens');
      await insertToken(tx, record, publicKey);
    });
    return {
      ...record,
      token,
      ca_pins: pinsOf(this.#servicePem()),
      gateways: await this.#presence.gateways(),
    };
  }

  list(): Promise<readonly JoinTokenInfo[]> {
    return this.#records.act([], (tx) => liveTokens(tx, this.#clock()));
  }

  async remove(caller: Caller, id: string): Promise<void> {
    await this.#records.act([auditRow(this.#clock(), caller, { event: 'token.delete', target: id })], async (tx) => {
      if (!(await deleteToken(tx, 'join_tokens', id))) throw new StenoError('NOT_FOUND', `token ${id}`);
    });
  }
}
