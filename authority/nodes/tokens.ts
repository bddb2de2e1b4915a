/**
 * Join tokens: made here, shown once, and known afterwards by their public half alone (schemas/join.ts).
 *
 * Tested in nodes.test.ts.
 */
import { X509Certificate, createPrivateKey, randomBytes } from 'node:crypto';
import type { JoinTokenCreated, JoinTokenInfo } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { formatJoinToken } from '#schemas/join.js';
import { certificatesIn, pinOf } from '#runtime/joining.js';
import { generateKeyPem } from '#runtime/ssh/keys.js';
import { auditRow } from '../audit.js';
import type { Caller } from '../audit.js';
import type { Records } from '../records.js';
import type { Presence } from './presence.js';
import { deleteToken, insertToken, liveTokens, purgeJoining } from './records.js';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const MAX_TOKENS = 10_000;

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

  constructor(records: Records, presence: Presence, servicePem: () => string, clock: () => number) {
    this.#records = records;
    this.#presence = presence;
    this.#servicePem = servicePem;
    this.#clock = clock;
  }

  async create(caller: Caller, wish: TokenWish): Promise<JoinTokenCreated> {
    const now = this.#clock();
    const id = [...randomBytes(12)].map((byte) => alphabet[byte % 32]).join('');
    const { d: seed, x: point } = createPrivateKey(generateKeyPem('ed25519')).export({ format: 'jwk' }) as {
      readonly d: string;
      readonly x: string;
    };
    const raw = Buffer.from(point, 'base64url').toString('base64');
    const record = {
      id,
      labels: wish.labels,
      node_labels: wish.node_labels,
      uses_left: wish.uses,
      created_by: caller.actor,
      created_at: now,
      expires_at: now + wish.ttl_ms,
    };
    const row = auditRow(now, caller, {
      event: 'token.create',
      target: id,
      data: { uses: wish.uses, expires_at: record.expires_at, labels: wish.labels, node_labels: wish.node_labels },
    });
    await this.#records.act([row], async (tx) => {
      await purgeJoining(tx, now);
      if ((await liveTokens(tx, now)).length >= MAX_TOKENS) throw new StenoError('TOO_MANY', 'tokens');
      await insertToken(tx, record, raw);
    });
    return {
      ...record,
      token: formatJoinToken({ id, seed }),
      ca_pins: pinsOf(this.#servicePem()),
      gateways: await this.#presence.gateways(),
    };
  }

  list(): Promise<readonly JoinTokenInfo[]> {
    return this.#records.act([], (tx) => liveTokens(tx, this.#clock()));
  }

  async remove(caller: Caller, id: string): Promise<void> {
    await this.#records.act([auditRow(this.#clock(), caller, { event: 'token.delete', target: id })], async (tx) => {
      if (!(await deleteToken(tx, id))) throw new StenoError('NOT_FOUND', `token ${id}`);
    });
  }
}

/** Of every certificate in the PEM: while a CA is rotated, nodes may meet either. */
export function pinsOf(pem: string): readonly string[] {
  return certificatesIn(pem).map((one) => pinOf(new X509Certificate(one).publicKey.export({ type: 'spki', format: 'der' })));
}
