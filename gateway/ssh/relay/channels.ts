/**
 * The channels of one relayed connection. The gateway keeps the channel numbers that both sides chose, so messages pass
 * unchanged; each side's numbers must be unique among its open channels, or a message could be attributed to the wrong
 * channel.
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
  /** Bytes the client currently accepts. */
  clientWindow: number;
  /** Bytes of data the client accepts per message. */
  clientPacket: number;
  /** Window bytes consumed by text the gateway injected, which the node does not know about. */
  owed: number;
  /** The node's window in bytes, and the largest it has been: OpenSSH's server opens a channel with a window of 0. */
  nodeWindow: number;
  nodeWindowMost: number;
  /** Largest data message the node accepts, in bytes. */
  nodePacket: number;
  /** Window bytes consumed by input of participants, which the client does not know about. */
  nodeOwed: number;
  /** The client's requests held while the session waits for participants; null if it does not wait. */
  awaiting: Buffer[] | null;
  /** Client input for which participants' input left no room in the node's window; the client is held meanwhile. */
  lateInput: Buffer[];
  /**
   * A message of the node for which injected text left no room in the client's window; at most one, as the node is held
   * meanwhile.
   */
  late: Buffer | null;
  /** Requests of the client that the node has not answered. */
  unanswered: number;
  clientClosed: boolean;
  nodeClosed: boolean;
  tap: SessionTap | ForwardTap | null;
  /** The live session whose recording `tap` writes to. */
  session: LiveSession | null;
  /** Messages of the client held while the session's input gate is closed. */
  held: Buffer[];
  heldBytes: number;
  /** Null: the node was not asked to record its kernel. */
  kernel: KernelRecording | null;
}

export function newSession(): SessionRequest {
  return { started: false, tty: false, term: '', cols: 80, rows: 24, environment: [] };
}

export function addEnvironment(request: SessionRequest, name: string, value: string): void {
  if (request.environment.length < maxEnvironment) request.environment.push([name.slice(0, 256), value.slice(0, 1024)]);
}

/** Maximum payload of one message, given the other side's limit: RFC 4253 requires everybody to accept 32 KiB. */
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
      nodeWindow: 0,
      nodeWindowMost: 0,
      nodePacket: packetOf(0),
      nodeOwed: 0,
      awaiting: null,
      lateInput: [],
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

  /** Stores the number that one side chose. Throws if that side already uses it, since messages would become ambiguous. */
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
