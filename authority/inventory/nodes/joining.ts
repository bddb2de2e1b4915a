/**
 * Joining, and later requests of a node (schemas/join.ts).
 *
 * Order of a join: form, token by its id, three signatures, acceptable keys; then in one transaction: the nonce, a use of
 * the token and the name are taken, and the rows of node and certificates and the audit row are written; then signing. Crash
 * before the commit: nothing happened. Crash after it: the machine has no answer and joins again with the same keys and
 * token, which costs no further use. All faults of a token look the same to the machine; the audit row names the fault.
 * Tested in nodes.test.ts.
 */
import { createHash, createPublicKey, randomBytes, verify as verifyRaw } from 'node:crypto';
import type { JoinResult } from '#schemas/api/inventory/nodes.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import {
  NODE_REQUEST_WINDOW_MS,
  NONCE_LIFE_MS,
  hostKeyText,
  joinRequest,
  joinText,
  nodeRequest,
  nodeText,
  ownLabels,
} from '#schemas/join.js';
import type { JoinRequest, NodeRequest, SignedJoin, SignedNodeRequest } from '#schemas/join.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { verify } from '#runtime/ssh/keys.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { useToken } from '../../records/join-tokens.js';
import { parseSigned, serviceKey, tokenKey } from '../../http/signed-request.js';
import { hostPrincipals } from '../../ca/certificates.js';
import type { Directory } from '../../directory/directory.js';
import type { Records, Tx } from '../../records/records.js';
import { countNonces, insertNonce, joinedNode, nodeExists, putJoined, putNode, putReport, takeNonce, tokenNamed } from './records.js';
import type { JoinedNode } from './records.js';

/** Outstanding nonces. */
const MAX_NONCES = 10_000;

export interface Certification {
  readonly event: string;
  readonly node: string;
  readonly service_key: string;
  readonly host_key: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** Runs in the transaction of the certificates' rows. */
  readonly also: (tx: Tx) => Promise<void>;
}

export interface JoiningParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  /** Certifies the keys of an agent. */
  readonly certify: (caller: Caller, what: Certification) => Promise<Enrolment>;
  /** Writes the audit row of a refusal, rate-limited. */
  readonly refused: (caller: Caller, event: string, target: string, error: StenoError) => Promise<void>;
}

export class Joining {
  readonly #parts: JoiningParts;

  constructor(parts: JoiningParts) {
    this.#parts = parts;
  }

  async challenge(): Promise<{ readonly nonce: string; readonly expires_at: number }> {
    const { records, clock } = this.#parts;
    const nonce = randomBytes(32).toString('base64');
    const expires = clock() + NONCE_LIFE_MS;
    await records.act([], async (tx) => {
      if ((await countNonces(tx)) >= MAX_NONCES) throw new StenoError('TOO_MANY', 'machines that want to join');
      await insertNonce(tx, nonce, expires);
    });
    return { nonce, expires_at: expires };
  }

  /** `source`: the machine's address according to the gateway. */
  async join(gateway: Caller, signed: SignedJoin, source: string): Promise<JoinResult> {
    const caller: Caller = { actor: 'joining', source };
    let target = '';
    try {
      const request = parseSigned(joinRequest, signed.request);
      target = request.name;
      return { kind: 'joined', ...(await this.#admit(caller, request, signed, gateway.actor)) };
    } catch (error) {
      const known = error instanceof StenoError ? error : new StenoError('INTERNAL', undefined, { cause: error });
      await this.#parts.refused(caller, 'node.join', target, known);
      // The holder of a valid token may learn of other faults; nobody else may.
      return known.code === 'JOIN_REFUSED'
        ? { kind: 'refused', code: 'JOIN_REFUSED', detail: '' }
        : { kind: 'refused', code: known.code, detail: known.detail ?? '' };
    }
  }

  /** For a renewal, the certificates; for a report, the labels that were refused. */
  async signed(
    gateway: Caller,
    { request: text, signature }: SignedNodeRequest,
  ): Promise<Enrolment | { readonly refused_labels: readonly string[] }> {
    const { records, clock } = this.#parts;
    const request = parseSigned(nodeRequest, text);
    const joined = await records.act([], (tx) => joinedNode(tx, request.node));
    if (joined === undefined) throw new StenoError('NODE_UNKNOWN', request.node);
    const key = createPublicKey({ key: Buffer.from(joined.service_key, 'base64'), format: 'der', type: 'spki' });
    if (!verifyRaw('sha256', Buffer.from(nodeText(text)), key, Buffer.from(signature, 'base64')))
      throw new StenoError('CERT_BAD_SIGNATURE', `of node ${request.node}`);
    if (Math.abs(clock() - request.time) > NODE_REQUEST_WINDOW_MS) throw new StenoError('REQUEST_REPLAYED', 'its time');
    const caller: Caller = { actor: formatServiceName({ kind: 'agent', name: request.node }), source: gateway.source };
    return request.kind === 'renew' ? this.#renew(caller, request, text, joined) : this.#report(caller, request, joined);
  }

  async #admit(
    caller: Caller,
    request: JoinRequest,
    signed: SignedJoin,
    gateway: string,
  ): Promise<Omit<Extract<JoinResult, { kind: 'joined' }>, 'kind'>> {
    const { records, directory, clock, certify } = this.#parts;
    const token = await records.act([], (tx) => tokenNamed(tx, request.token));
    if (token === undefined) throw new StenoError('JOIN_REFUSED', `there is no token ${request.token}`);
    const text = Buffer.from(joinText(signed.request));
    if (!verifyRaw(null, text, tokenKey(token.publicKey), Buffer.from(signed.token_signature, 'base64')))
      throw new StenoError('JOIN_REFUSED', `not signed with the token ${token.id}`);
    const service = serviceKey(request.service_key);
    if (!verifyRaw('sha256', text, service.key, Buffer.from(signed.service_signature, 'base64')))
      throw new StenoError('JOIN_REFUSED', 'not signed with its service key');
    if (!verify(parseAuthorizedLine(request.host_key).blob, Buffer.from(signed.host_signature, 'base64'), text))
      throw new StenoError('JOIN_REFUSED', 'not signed with its host key');
    const { accepted, refused } = ownLabels(request.labels, token);
    const labels = { ...accepted, ...token.labels };
    const now = clock();
    const enrolment = await certify(caller, {
      event: 'node.join',
      node: request.name,
      service_key: request.service_key,
      host_key: request.host_key,
      data: { token: token.id, labels, gateway, ssh: request.ssh },
      also: async (tx) => {
        if (!(await takeNonce(tx, request.nonce, now))) throw new StenoError('JOIN_REFUSED', 'its nonce was used or has expired');
        const before = await joinedNode(tx, request.name);
        const again = before?.key_hash === service.hash;
        // A machine whose answer was lost asks again: the same keys and token are the same join.
        const unheard = again && before.token === token.id && now < token.expires_at;
        if (!unheard && !(await useToken(tx, 'join_tokens', token.id, now)))
          throw new StenoError('JOIN_REFUSED', `the token ${token.id} was used or has expired`);
        if (!again && (before !== undefined || (await nodeExists(tx, request.name)))) throw new StenoError('NODE_NAME_TAKEN', request.name);
        if (refused.length > 0) throw new StenoError('LABEL_NOT_ALLOWED', refused.join(', '));
        await putNode(
          tx,
          {
            name: request.name,
            kind: 'agent',
            address: '',
            labels,
            host_keys: [],
            last_seen_at: now,
            node_principals: request.node_principals ?? false,
          },
          now,
        );
        await putJoined(tx, {
          node: request.name,
          token: token.id,
          service_key: service.der,
          key_hash: service.hash,
          ssh: request.ssh,
          token_labels: token.labels,
          node_labels: token.node_labels,
          own_labels: accepted,
          joined_at: now,
          said_at: 0,
        });
      },
    });
    await directory.changed();
    return { enrolment, labels };
  }

  /** `renewal`: its text. */
  async #renew(caller: Caller, request: Extract<NodeRequest, { kind: 'renew' }>, renewal: string, joined: JoinedNode): Promise<Enrolment> {
    if (serviceKey(request.service_key).der !== joined.service_key)
      throw new StenoError('ACCESS_DENIED', 'another key than the node joined with');
    const text = Buffer.from(hostKeyText(request.node, request.time));
    if (!verify(parseAuthorizedLine(request.host_key).blob, Buffer.from(request.host_signature, 'base64'), text))
      throw new StenoError('CERT_BAD_SIGNATURE', 'of the host key');
    // Identified by its text, since one text has many valid signatures: otherwise anybody who relays a renewal could repeat it.
    const once = `renewal:${createHash('sha256').update(renewal).digest('hex')}`;
    if (!(await this.#parts.records.claimNonce(once, request.time + 2 * NODE_REQUEST_WINDOW_MS)))
      throw new StenoError('REQUEST_REPLAYED', 'this renewal was taken already');
    return this.#parts.certify(caller, {
      event: 'service.renew',
      node: request.node,
      service_key: request.service_key,
      host_key: request.host_key,
      also: async (tx) => {
        if ((await joinedNode(tx, request.node))?.key_hash !== joined.key_hash) throw new StenoError('NODE_UNKNOWN', request.node);
      },
    });
  }

  async #report(
    caller: Caller,
    request: Extract<NodeRequest, { kind: 'report' }>,
    joined: JoinedNode,
  ): Promise<{ readonly refused_labels: readonly string[] }> {
    const { records, directory, clock } = this.#parts;
    const { accepted, refused } = ownLabels(request.labels, { labels: joined.token_labels, node_labels: joined.node_labels });
    const bound = request.node_principals ?? false;
    const same = canonical(accepted) === canonical(joined.own_labels) && bound === (directory.node(request.node)?.node_principals ?? false);
    const row = auditRow(clock(), caller, {
      event: 'node.labels',
      target: request.node,
      node: request.node,
      data: { labels: accepted, refused, node_principals: bound },
    });
    const changed = await records.act(same ? [] : [row], async (tx) =>
      putReport(tx, request.node, {
        time: request.time,
        own: accepted,
        all: { ...accepted, ...joined.token_labels },
        ssh: request.ssh,
        bound,
      }),
    );
    if (!changed) throw new StenoError('REQUEST_REPLAYED', 'a newer report is known');
    if (!same) await directory.changed();
    return { refused_labels: refused };
  }
}

/** The node that a request claims to come from, for the audit of refused ones. */
export function claimedNode(text: string): string {
  try {
    return String((JSON.parse(text) as { readonly node?: unknown }).node ?? '').slice(0, 63);
  } catch {
    return '';
  }
}

export function nodeHostNames(node: string): readonly string[] {
  return hostPrincipals({ name: node });
}

function canonical(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
