/**
 * Joins a participant to a session that another gateway holds; this is the gateway to which the participant's client connected
 * (schemas/ssh/session-relay.ts). The authority names the holder, and the holder proves its identity by certificate.
 *
 *     wanted ──found, reached──► asked ──(second factor)──► ready ──► relaying ──either side closes──► over
 *       └──nobody holds it──► none       └──refused──► refused       └──lost──► over
 *
 * Limits: FIND_MS to reach the other gateway; buffered data is bounded by SSH's windows in both directions, and one side is not read
 * while the other is congested. Tested with two gateways in test/end-to-end/sharing.test.ts.
 */
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import {
  MAX_RELAY_MESSAGE,
  SESSION_RELAY_PATH,
  SESSION_RELAY_PROTOCOL,
  isChannelMessage,
  isClientMessage,
  relayAnswer,
} from '#schemas/ssh/session-relay.js';
import type { RelayAnswer, RelayedJoin } from '#schemas/ssh/session-relay.js';
import { DISCONNECT } from '#schemas/ssh/numbers.js';
import { gatewayServerName } from '#schemas/tunnel.js';
import { peerService } from '#runtime/service/identity.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { HOLD } from '../transport/transport.js';
import type { Transport } from '../transport/transport.js';
import type { Admitted } from './admission.js';

const REACH_MS = 5_000;
const HIGH_WATER = 1 << 20;

/** Finds the holders of sessions that this gateway does not hold. */
export interface Elsewhere {
  /** Null if no gateway holds the session. `address`: `host:port`. */
  find(session: string): Promise<{ readonly gateway: string; readonly address: string } | null>;
  readonly identity: Pick<ServiceIdentity, 'tlsClientOptions'>;
}

/** A join that another gateway has accepted. */
export interface AcceptedElsewhere {
  readonly gateway: string;
  /** Relays until either side ends; call once. `over`: called when the other gateway ends it, with its message if any. */
  relay(client: Transport, over: (text: string) => void): RelayedConnection;
  /** Abandons the join before it is relayed. */
  abandon(): void;
}

export interface RelayedConnection {
  message(payload: Buffer): void;
  drained(): void;
  closed(): void;
}

/**
 * Resolves to null if no other gateway holds the session. `tell`: shows lines to the user. Rejects with the other gateway's refusal,
 * or with SESSION_ELSEWHERE if that gateway cannot be reached from here.
 */
export async function joinElsewhere(
  { find, identity }: Elsewhere,
  { blob, proof, source, destination }: Admitted,
  tell: (login: string, node: string, url: string) => void,
  signal: AbortSignal,
): Promise<AcceptedElsewhere | null> {
  if (destination.kind !== 'join') return null;
  const { session, mode, invitation } = destination;
  const holder = await find(session);
  if (holder === null) return null;
  const { gateway, address } = holder;
  const socket = await reach(identity, gateway, address, signal);
  const waiting: RawData[] = [];
  let heard: (answer: RelayAnswer | null) => void = () => undefined;
  const keep = (data: RawData, binary: boolean): void => {
    if (binary) waiting.push(data);
    else heard(parse(data));
  };
  const next = (): Promise<RelayAnswer | null> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  const abort = (): void => socket.terminate();
  signal.addEventListener('abort', abort);
  socket.on('message', keep);
  const lost = new Promise<null>((resolve) => socket.on('close', () => resolve(null)));
  let answer = Promise.race([next(), lost]);
  const request: RelayedJoin = {
    ...{ version: 1, session, mode, user_certificate: blob.toString('base64'), proof, source_address: source },
    ...(invitation === undefined ? {} : { invitation }),
  };
  socket.send(JSON.stringify(request));
  try {
    for (;;) {
      const said = await answer;
      if (said === null) throw new StenoError('SESSION_ELSEWHERE', `gateway ${gateway} gave no answer`);
      if (said.kind === 'refused') throw new StenoError(said.code, said.detail === '' ? undefined : said.detail);
      if (said.kind === 'disconnect') throw new StenoError('SESSION_ELSEWHERE', `gateway ${gateway} ended it`);
      if (said.kind === 'ready') break;
      answer = Promise.race([next(), lost]);
      tell(said.login, said.node, said.url);
    }
  } catch (error) {
    socket.terminate();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return {
    gateway,
    relay: (client, over) => {
      socket.off('message', keep);
      return relayed(socket, client, waiting, over);
    },
    abandon: () => socket.terminate(),
  };
}

async function reach(identity: Elsewhere['identity'], gateway: string, address: string, signal: AbortSignal): Promise<WebSocket> {
  const unreachable = (why: string): StenoError =>
    new StenoError('SESSION_ELSEWHERE', `gateway ${gateway} holds it, and cannot be reached from this one: ${why.slice(0, 128)}`);
  if (address === '') throw unreachable('it gave no address');
  return new Promise((resolve, reject) => {
    let socket: WebSocket;
    try {
      socket = new WebSocket(`wss://${address}${SESSION_RELAY_PATH}`, SESSION_RELAY_PROTOCOL, {
        ...({ ...identity.tlsClientOptions(['gateway']), servername: gatewayServerName(gateway) } as object),
        minVersion: 'TLSv1.3',
        handshakeTimeout: REACH_MS,
        maxPayload: MAX_RELAY_MESSAGE,
        perMessageDeflate: false,
      });
    } catch (error) {
      return reject(unreachable((error as Error).message));
    }
    let peer: string | undefined;
    const abort = (): void => socket.terminate();
    signal.addEventListener('abort', abort);
    socket.on('upgrade', ({ socket: below }) => (peer = peerService(below as TLSSocket)?.name));
    socket.on('error', (error) => reject(unreachable(error.message)));
    socket.on('close', () => reject(unreachable('the connection was closed')));
    socket.on('open', () => {
      signal.removeEventListener('abort', abort);
      if (peer === gateway) return resolve(socket);
      socket.terminate();
      reject(unreachable(`at ${address} is gateway ${peer ?? 'unknown'}`));
    });
  });
}

function parse(data: RawData): RelayAnswer | null {
  try {
    return relayAnswer.parse(JSON.parse((data as Buffer).toString()));
  } catch {
    return null;
  }
}

/** Relays messages between client and holder. */
function relayed(socket: WebSocket, client: Transport, waiting: readonly RawData[], over: (text: string) => void): RelayedConnection {
  let text = '';
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    over(text);
  };
  const take = (data: RawData): void => {
    const payload = data as Buffer;
    // Only channel messages pass: the other gateway does not speak for this one.
    if (!isChannelMessage(payload[0])) return socket.terminate();
    client.send(payload);
    if (client.congested) socket.pause();
  };
  for (const data of waiting) take(data);
  socket.on('message', (data, binary) => {
    if (ended) return;
    if (binary) return take(data);
    const said = parse(data);
    if (said?.kind === 'disconnect') text = said.text;
    else socket.terminate();
  });
  socket.on('close', end);
  if (socket.readyState !== socket.OPEN) end();
  return {
    message(payload) {
      if (ended || socket.readyState !== socket.OPEN) return;
      if (!isClientMessage(payload[0])) return client.disconnect(DISCONNECT.protocolError, 'steno: a message out of place');
      // A view of the read buffer, which the next read overwrites.
      socket.send(Buffer.from(payload), { binary: true }, () => {
        if (socket.bufferedAmount <= HIGH_WATER) client.release(HOLD.congestion);
      });
      if (socket.bufferedAmount > HIGH_WATER) client.hold(HOLD.congestion);
    },
    drained() {
      if (!client.congested) socket.resume();
    },
    closed() {
      ended = true;
      socket.terminate();
    },
  };
}
