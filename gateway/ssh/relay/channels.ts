/**
 * The channels of one relayed connection. The gateway keeps the numbers both sides chose, so that messages pass as they
 * are; each side's numbers must be unique among its open channels, or a message could be taken for another channel's.
 *
 *     opening ──confirmed──► open ──gateway ends it──► ended
 *        └──refused──► gone    └──── both sides closed ──┴──► gone
 */
import { StenoError } from '#schemas/base/errors.js';
import type { ForwardRequest, SessionRequest } from './channel-requests.js';
import type { LiveSession } from '../../sessions/live-session.js';
import type { ForwardTap } from './forward-recording.js';
import type { KernelRecording } from './kernel-recording.js';
import type { SessionTap } from './session-recording.js';

export const MAX_CHANNELS = 512;
const maxEnvironment = 64;

export interface Channel {
  readonly purpose:
    { readonly kind: 'session'; readonly request: SessionRequest } | { readonly kind: 'forward'; readonly request: ForwardRequest };
  readonly openedBy: 'client' | 'node';
  /** The numbers of both sides; -1 while unknown. */
  clientId: number;
  nodeId: number;
  state: 'opening' | 'open' | 'ended';
  /** Bytes the client takes at present. */
  clientWindow: number;
  /** Bytes of data that it takes in one message. */
  clientPacket: number;
  /** Window bytes consumed by text the gateway injected, which the node does not know about. */
  owed: number;
  /** A message of the node that the client has no room for because of that; at most one, as the node is held meanwhile. */
  late: Buffer | null;
  /** Requests of the client that the node has not answered. */
  unanswered: number;
  clientClosed: boolean;
  nodeClosed: boolean;
  tap: SessionTap | ForwardTap | null;
  /** The live session whose recording `tap` writes to. */
  session: LiveSession | null;
  /** Messages of the client that wait while the session's input gate is closed. */
  held: Buffer[];
  heldBytes: number;
  /** Null: the node was not asked to record in its kernel. */
  kernel: KernelRecording | null;
}

export function newSession(): SessionRequest {
  return { started: false, tty: false, term: '', cols: 80, rows: 24, environment: [] };
}

export function addEnvironment(request: SessionRequest, name: string, value: string): void {
  if (request.environment.length < maxEnvironment) request.environment.push([name.slice(0, 256), value.slice(0, 1024)]);
}

/** What one message carries at most, by what the other side says it takes: RFC 4253 has everybody take 32 KiB. */
export function packetOf(size: number): number {
  return Math.min(32 * 1024, Math.max(1, size));
}

export class ChannelTable {
  readonly #byClient = new Map<number, Channel>();
  readonly #byNode = new Map<number, Channel>();
  readonly #all = new Set<Channel>();

  get all(): ReadonlySet<Channel> {
    return this.#all;
  }

  ofClient(id: number): Channel | undefined {
    return this.#byClient.get(id);
  }

  ofNode(id: number): Channel | undefined {
    return this.#byNode.get(id);
  }

  add(purpose: Channel['purpose'], openedBy: Channel['openedBy'], id: number, clientWindow: number, clientPacket = 0): Channel {
    const channel: Channel = {
      purpose,
      openedBy,
      clientId: -1,
      nodeId: -1,
      state: 'opening',
      clientWindow,
      clientPacket: packetOf(clientPacket),
      owed: 0,
      late: null,
      unanswered: 0,
      clientClosed: false,
      nodeClosed: false,
      tap: null,
      session: null,
      held: [],
      heldBytes: 0,
      kernel: null,
    };
    this.identify(channel, openedBy, id);
    this.#all.add(channel);
    return channel;
  }

  /** Notes the number one side chose. Throws when that side already uses it: its messages could not be told apart. */
  identify(channel: Channel, side: 'client' | 'node', id: number): void {
    const ids = side === 'client' ? this.#byClient : this.#byNode;
    if (ids.has(id)) throw new StenoError('BAD_REQUEST', 'a channel number is used twice');
    ids.set(id, channel);
    if (side === 'client') channel.clientId = id;
    else channel.nodeId = id;
  }

  remove(channel: Channel): void {
    this.#byClient.delete(channel.clientId);
    this.#byNode.delete(channel.nodeId);
    this.#all.delete(channel);
  }
}
