/**
 * Services that join by token, and services that return with the key they joined with (schemas/service-join.ts).
 *
 * Order of a join: form, channel, token by its id, signatures of the token and of every key to be certified; then in one
 * transaction: a use of the token and the name are taken, and the rows of the service and its certificates and the audit row
 * are written; then signing. Crash before the commit: nothing happened. Crash after it: the service has no answer and joins
 * again with the same keys and token, which costs no further use. All faults of a token look the same to the caller; the
 * audit row names the fault. Tested in services.test.ts.
 */
import { verify as verifyRaw } from 'node:crypto';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import { furtherKeys, serviceJoin, serviceJoinText, serviceReturn, serviceReturnText } from '#schemas/service-join.js';
import type { ServiceReturn, SignedServiceJoin, SignedServiceReturn } from '#schemas/service-join.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { verify } from '#runtime/ssh/keys.js';
import type { Caller } from '../records/audit.js';
import { useToken } from '../records/join-tokens.js';
import { parseSigned, serviceKey, tokenKey } from '../http/signed-request.js';
import { isHostName } from '#schemas/base/host-name.js';
import type { Records, Tx } from '../records/records.js';
import { deleteRemovedService } from './removed.js';
import { joinedService, putJoinedService, serviceToken } from './records.js';

/** Certifies a service: the rows of its certificates and `also` are one transaction. */
export type CertifyService = (
  caller: Caller,
  event: string,
  request: ServiceReturn,
  more: { readonly data: Readonly<Record<string, unknown>>; readonly also: (tx: Tx) => Promise<void> },
) => Promise<Enrolment>;

export interface ServiceJoiningParts {
  readonly records: Records;
  readonly clock: () => number;
  readonly certify: CertifyService;
  /** Publishes what has changed. */
  readonly changed: () => Promise<void>;
}

export class ServiceJoining {
  readonly #parts: ServiceJoiningParts;

  constructor(parts: ServiceJoiningParts) {
    this.#parts = parts;
  }

  /** `channel`: exporter value of the request's connection, base64. Throws SERVICE_JOIN_REFUSED, SERVICE_NAME_TAKEN. */
  async join(caller: Caller, signed: SignedServiceJoin, channel: string): Promise<Enrolment> {
    const { records, clock, certify, changed } = this.#parts;
    const request = parseSigned(serviceJoin, signed.request);
    const text = Buffer.from(serviceJoinText(signed.request));
    if (request.channel !== channel) throw refused('the request was signed for another connection');
    const token = await records.act([], (tx) => serviceToken(tx, request.token));
    if (token === undefined) throw refused(`there is no service token ${request.token}`);
    if (!verifyRaw(null, text, tokenKey(token.publicKey), Buffer.from(signed.token_signature, 'base64')))
      throw refused(`not signed with the token ${token.id}`);
    if (token.kind !== request.kind) throw refused(`the token ${token.id} is for a service of kind ${token.kind}`);
    if (token.name !== null && token.name !== request.name) throw refused(`the token ${token.id} is for ${token.kind}/${token.name}`);
    const hash = checkKeys(request, signed, text);
    const now = clock();
    const { token: id, ...shown } = request;
    const enrolment = await certify(caller, 'service.join', shown, {
      data: { token: id, host_names: request.host_names },
      also: async (tx) => {
        const before = await joinedService(tx, request.kind, request.name);
        const again = before?.key_hash === hash && before.removed_at === null;
        // A service whose answer was lost asks again: the same keys and token are the same join.
        const unheard = again && before.token === id && now < token.expires_at;
        if (!unheard && !(await useToken(tx, 'service_tokens', id, now))) throw refused(`the token ${id} was used or has expired`);
        if (before !== undefined && before.removed_at === null && !again)
          throw new StenoError('SERVICE_NAME_TAKEN', formatServiceName(request));
        await putJoinedService(tx, { kind: request.kind, name: request.name, key_hash: hash, token: id, joined_at: now });
        await deleteRemovedService(tx, hash);
      },
    });
    await changed();
    return enrolment;
  }

  /** New certificates for the keys of a joined service. Throws SERVICE_JOIN_REFUSED. */
  async back(caller: Caller, signed: SignedServiceReturn, channel: string): Promise<Enrolment> {
    const request = parseSigned(serviceReturn, signed.request);
    if (request.channel !== channel) throw refused('the request was signed for another connection');
    const hash = checkKeys(request, signed, Buffer.from(serviceReturnText(signed.request)));
    return this.#parts.certify(caller, 'service.renew', request, {
      data: { host_names: request.host_names },
      also: async (tx) => {
        const joined = await joinedService(tx, request.kind, request.name);
        if (joined === undefined || joined.key_hash !== hash || joined.removed_at !== null)
          throw refused(`${formatServiceName(request)} has not joined with this key, or was removed`);
      },
    });
  }
}

/** Checks that the caller holds every key to be certified; returns the hash of the service key. */
function checkKeys(request: ServiceReturn, signed: SignedServiceReturn, text: Buffer): string {
  const service = serviceKey(request.service_key);
  if (!verifyRaw('sha256', text, service.key, Buffer.from(signed.service_signature, 'base64')))
    throw refused('not signed with its service key');
  const keys = furtherKeys(request);
  const all = keys.length === signed.key_signatures.length;
  if (!all || !keys.every((key, i) => verify(parseAuthorizedLine(key).blob, Buffer.from(signed.key_signatures[i]!, 'base64'), text)))
    throw refused('not signed with one of its further keys');
  for (const host of request.host_names) if (!isHostName(host)) throw new StenoError('BAD_REQUEST', `${host} is not a host name`);
  return service.hash;
}

function refused(why: string): StenoError {
  return new StenoError('SERVICE_JOIN_REFUSED', why);
}

/** The service that a request claims to come from, for the audit of refused ones. */
export function claimedService(text: string): string {
  try {
    const { kind, name } = JSON.parse(text) as { readonly kind?: unknown; readonly name?: unknown };
    return `${String(kind).slice(0, 16)}/${String(name).slice(0, 63)}`;
  } catch {
    return '';
  }
}
