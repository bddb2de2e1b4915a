/**
 * Accepts participants who connected to another gateway; this is the gateway that holds the session (schemas/ssh/session-relay.ts).
 *
 *     asked ──certificate, signature, roles──► (second factor) ──► joined ──leaves, must leave, connection lost──► over
 *       └──refused, malformed, ASK_MS──► over
 *
 * Guard: the user must have signed the authentication request of a connection for exactly this session and mode, with the key of a
 * certificate that is valid here. So another gateway can bring in only users who connect to it, and only in the mode that they asked
 * for. A signature is accepted once per session; the signed user name contains the session, so it is worthless for another. Limits:
 * `MAX_RELAYED` at a time, `MAX_PROOFS` per session. Tested in relayed-join.test.ts, and with two gateways in
 * test/end-to-end/sharing.test.ts.
 */
import { createHash } from 'node:crypto';
import type { WebSocket } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import { formatSessionJoin, parseSessionJoin } from '#schemas/session-join.js';
import type { Target } from '#schemas/base/identity.js';
import type { SessionJoin } from '#schemas/session-join.js';
import type { UserProof } from '#schemas/api/services/certificates.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { isClientMessage, relayedJoin } from '#schemas/ssh/session-relay.js';
import type { RelayAnswer, RelayedJoin } from '#schemas/ssh/session-relay.js';
import { SESSION_ID_BYTES, userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { checkUserCertificate } from '#runtime/http/request-auth.js';
import type { Log } from '#runtime/log.js';
import { isPermittedKey } from '#runtime/ssh/algorithms.js';
import { provesPossession } from '#runtime/ssh/possession.js';
import type { AuditEntry } from '../../recorder/recorder.js';
import type { Access } from '../../sessions/access.js';
import type { Authority } from '../../sessions/authority.js';
import type { LiveSession } from '../../sessions/live-session.js';
import { asStenoError, printable } from '../../sessions/refusal.js';
import { joinSession, unconfirmedJoin } from './join-session.js';
import type { Joiner, JoinDeps } from './join-session.js';
import { MAX_QUEUED } from './joined.js';
import type { Joined, JoinedClient } from './joined.js';

const ASK_MS = 10_000;
const MAX_RELAYED = 4_096;
const MAX_PROOFS = 10_000;
const CONNECTION_MESSAGES_OVER = 1000;

export interface RelayedJoinDeps extends JoinDeps {
  readonly confirmSession: Authority['confirmSession'];
  readonly audit: (entry: AuditEntry) => void;
  readonly log: Log;
}

export class RelayedJoins {
  readonly #deps: RelayedJoinDeps;
  readonly #sockets = new Set<WebSocket>();
  /** Hashes of signatures already used, per session. */
  readonly #used = new WeakMap<LiveSession, Set<string>>();

  constructor(deps: RelayedJoinDeps) {
    this.#deps = deps;
  }

  /** `gateway`: the name in its certificate. */
  take(socket: WebSocket, gateway: string): void {
    if (this.#sockets.size >= MAX_RELAYED) return socket.terminate();
    this.#sockets.add(socket);
    const timer = setTimeout(() => socket.terminate(), ASK_MS);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.terminate());
    socket.once('message', (data: Buffer, binary: boolean) => {
      clearTimeout(timer);
      if (binary) return socket.terminate();
      this.#begin(socket, gateway, data.toString()).catch((error: unknown) => {
        const known = asStenoError(error);
        if (known.code === 'INTERNAL') this.#deps.log.error({ err: error, gateway }, 'a participant from another gateway failed');
        say(socket, { kind: 'refused', code: known.code, detail: (known.detail ?? '').slice(0, 1024) });
        socket.close(CONNECTION_MESSAGES_OVER);
      });
    });
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #begin(socket: WebSocket, gateway: string, text: string): Promise<void> {
    const request = parse(text);
    const joiner = this.#joiner(request, gateway);
    await this.#confirmed(socket, request, joiner);
    if (socket.readyState !== socket.OPEN) return;
    this.#spend(request);
    const client = new RelayedClient(socket);
    let access: Access | undefined;
    const entered: { joined?: Joined } = {};
    const over = (): void => {
      entered.joined?.closed();
      access?.leave();
    };
    ({ joined: entered.joined, access } = joinSession(
      this.#deps,
      client,
      joiner,
      addressOf(request),
      (error) => entered.joined?.end(error),
      (target, shown, signal) => this.#ask(target, request, shown, signal),
    ));
    socket.on('message', (data: Buffer, binary: boolean) => {
      if (!binary || !isClientMessage(data[0])) return socket.terminate();
      try {
        entered.joined!.message(data);
      } catch (error) {
        // A malformed message ends its own connection and no other.
        client.disconnect(0, `steno: ${asStenoError(error).message}`);
      }
    });
    socket.on('close', over);
    client.drained = () => entered.joined!.drained();
    say(socket, { kind: 'ready' });
  }

  /** Identifies the participant. Throws if the proof is bad, which is audited, since an honest gateway sends none; or if access is refused. */
  #joiner(request: RelayedJoin, gateway: string): Joiner {
    const { session, user_certificate, proof, source_address: source } = request;
    const snapshot = this.#deps.snapshot();
    if (snapshot === null) throw new StenoError('AUTHORITY_UNREACHABLE');
    const blob = decodeBase64(user_certificate);
    if (blob === undefined) throw new StenoError('BAD_REQUEST', 'the certificate is not base64');
    const certificate = parseCertificate(blob);
    try {
      assertSigned(proof, certificate, blob, formatSessionJoin(addressOf(request)));
    } catch (error) {
      this.#deps.audit({
        event: 'session.join_refused',
        outcome: 'failure',
        session,
        actor: `gateway/${gateway}`,
        code: asStenoError(error).code,
        reason: printable(asStenoError(error).detail ?? '', 256),
        source_address: printable(source, 64),
      });
      throw error;
    }
    const { identity } = checkUserCertificate(certificate, snapshot, { now: this.#deps.now(), sourceAddress: source });
    return { identity, certificate, source };
  }

  /** Asks for the second factor if roles demand it; the user's terminal shows the address. */
  async #confirmed(socket: WebSocket, request: RelayedJoin, { identity }: Joiner): Promise<void> {
    const target = unconfirmedJoin(this.#deps, identity, addressOf(request));
    if (target === null) return;
    const gone = new AbortController();
    const stop = (): void => gone.abort();
    socket.on('close', stop);
    const shown = (url: string): void => say(socket, { kind: 'confirm', login: target.login, node: target.node, url: url.slice(0, 2048) });
    await this.#ask(target, request, shown, gone.signal);
    socket.off('close', stop);
  }

  #ask(
    { login, node }: Target,
    { user_certificate, source_address }: RelayedJoin,
    shown: (url: string) => void,
    signal: AbortSignal,
  ): Promise<string> {
    return this.#deps.confirmSession({ login, node, user_certificate, source_address }, shown, signal);
  }

  #spend({ session: id, proof }: RelayedJoin): void {
    const session = this.#deps.registry.find(id);
    if (session === undefined) throw new StenoError('SESSION_NOT_LIVE');
    const used = this.#used.get(session) ?? new Set<string>();
    this.#used.set(session, used);
    const hash = createHash('sha256').update(proof.session_id).digest('base64');
    if (used.has(hash)) throw new StenoError('USER_PROOF_REFUSED', 'this signature was used before');
    if (used.size >= MAX_PROOFS) throw new StenoError('PARTICIPANTS_TOO_MANY', 'too many came through other gateways');
    used.add(hash);
  }
}

/** Presents the connection of a client at another gateway as `Joined` needs it. */
class RelayedClient implements JoinedClient {
  readonly #socket: WebSocket;
  /** Too much was queued, and `drained` has not been called since. */
  #full = false;
  drained: () => void = () => undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get congested(): boolean {
    return this.#socket.bufferedAmount > MAX_QUEUED;
  }

  get closed(): boolean {
    return this.#socket.readyState !== this.#socket.OPEN;
  }

  send(payload: Uint8Array): void {
    if (this.closed) return;
    this.#socket.send(payload, { binary: true }, () => {
      if (!this.#full || this.congested || this.closed) return;
      this.#full = false;
      this.drained();
    });
    if (this.congested) this.#full = true;
  }

  sendParts(length: number, fill: (packet: Buffer, at: number) => void): void {
    const packet = Buffer.allocUnsafe(length);
    fill(packet, 0);
    this.send(packet);
  }

  disconnect(_reason: number, text: string): void {
    say(this.#socket, { kind: 'disconnect', text: text.slice(0, 4096) });
    this.end();
  }

  end(): void {
    this.#socket.close(CONNECTION_MESSAGES_OVER);
  }
}

function say(socket: WebSocket, answer: RelayAnswer): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(answer));
}

function addressOf({ session, mode, invitation }: RelayedJoin): SessionJoin {
  return { session, mode, ...(invitation === undefined ? {} : { invitation }) };
}

function parse(text: string): RelayedJoin {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StenoError('BAD_REQUEST', 'the request is not JSON');
  }
  const parsed = relayedJoin.safeParse(value);
  if (!parsed.success) throw new StenoError('BAD_REQUEST', 'the request is malformed');
  return parsed.data;
}

/** Throws USER_PROOF_REFUSED unless the certified key has signed a connection for this user name. */
function assertSigned(proof: UserProof, certificate: SshCertificate, blob: Uint8Array, wanted: string): void {
  const [sessionId, signature, hostKey] = [proof.session_id, proof.signature, proof.host_key].map((text) =>
    text === undefined ? null : decodeBase64(text),
  );
  if (!sessionId || !signature || sessionId.length < SESSION_ID_BYTES.min || sessionId.length > SESSION_ID_BYTES.max)
    throw new StenoError('USER_PROOF_REFUSED', 'the proof has the wrong format');
  if (hostKey === undefined) throw new StenoError('USER_PROOF_REFUSED', 'the proof has the wrong format');
  const { user_name: userName, algorithm } = proof;
  if (!isPermittedKey(algorithm)) throw new StenoError('USER_PROOF_REFUSED', 'in FIPS mode keys are ECDSA or RSA');
  const signed = userAuthData(sessionId, userAuthRequest({ userName, algorithm, publicKey: blob, hostKey }));
  if (!provesPossession(certificate, { key: { algo: algorithm }, signature, blob: signed }))
    throw new StenoError('USER_PROOF_REFUSED', 'the signature does not match this user, connection and request');
  const join = parseSessionJoin(userName);
  if (join === null || formatSessionJoin(join) !== wanted)
    throw new StenoError('USER_PROOF_REFUSED', `the user asked for ${JSON.stringify(userName.slice(0, 100))}`);
}
