/**
 * The two sides of a relayed connection and the channels between them: what messages of either direction need of the
 * other. From the client: from-client.ts; from the node: from-node.ts; their beginning and end: relay.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { refuseConnecting, refuseListening, refuseSocket } from '#schemas/policy/forwarding.js';
import type { Forwarding } from '#schemas/policy/forwarding.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import { unpooledCopy } from '../transport/unpooled-copy.js';
import { ChannelTable } from './channels.js';
import type { ForwardRequest } from './channel-requests.js';
import type { Channel } from './channels.js';
import { ForwardRecording } from './forward-recording.js';
import type { ForwardTap } from './forward-recording.js';
import { dataOf } from './message-fields.js';
import type { Access } from '../../sessions/access.js';
import type { KernelRecordingDeps } from './kernel-recording.js';
import { farewell } from './farewell.js';
import { message, MSG, OPEN_REFUSED } from '../transport/messages.js';
import { asStenoError, explainError } from '../../sessions/refusal.js';
import { REFUSED_REQUEST } from './request-rules.js';
import type { SessionRecordingDeps, SessionTap } from './session-recording.js';
import { HOLD } from '../transport/transport.js';
import { deferred } from '../../sessions/deferred-work.js';
import type { Transport } from '../transport/transport.js';

/** Bytes of input held for one channel while its session is frozen: more than the window of a usual server. */
const MAX_HELD_INPUT = 4 << 20;

export interface RelayPermissions {
  readonly forwarding: Forwarding;
  /** The node was told the same, and asks it of what names resolve to. */
  readonly nodeChecks: boolean;
  readonly agentForwarding: boolean;
}

export interface RelayDeps extends SessionRecordingDeps {
  readonly permissions: RelayPermissions;
  /** What the node said while it let the user in, as a terminal shows it; empty for nothing. */
  readonly banner: Buffer;
  /** The user's access, with which the sessions of this connection are registered. */
  readonly access: Access;
  readonly kernel: KernelRecordingDeps;
  /** Keeps the gateway open until the recording is. */
  track(closing: Promise<void>): void;
}

export class Sides {
  readonly client: Transport;
  readonly node: Transport;
  readonly deps: RelayDeps;
  permissions: RelayPermissions;
  readonly channels = new ChannelTable();
  readonly forwards: ForwardRecording;
  /** What the node has yet to answer of the client's global requests; `null` needs no attention. */
  readonly globals: ({ readonly address: string; readonly port: number } | null)[] = [];
  /** The client asked for ports, or its agent, to be forwarded to it. */
  listening = false;
  agent = false;
  over = false;
  /** The node's words of welcome were shown. */
  greeted = false;
  /** Ends the whole connection. */
  readonly end: (error: StenoError) => void;

  constructor(client: Transport, node: Transport, deps: RelayDeps, end: (error: StenoError) => void) {
    this.client = client;
    this.node = node;
    this.deps = deps;
    this.permissions = deps.permissions;
    this.end = end;
    this.forwards = new ForwardRecording(deps.recorder, deps.facts, end, (recorder) =>
      deps.access.begin(recorder, {
        end: (error) => this.#endForwards(recorder.session, error),
        notice: () => undefined,
        reopened: () => this.#reopened(recorder.session),
      }),
    );
  }

  /** Why roles do not allow this forwarding, or null. */
  refuses({ direction, address, port, socket }: ForwardRequest): string | null {
    const { forwarding, nodeChecks, agentForwarding } = this.permissions;
    switch (direction) {
      case 'agent':
        return agentForwarding ? null : 'no role allows to forward the agent';
      case 'remote':
        return refuseListening(forwarding, socket);
      case 'local':
        return socket ? refuseSocket(forwarding) : refuseConnecting(forwarding, { host: address, port }, nodeChecks);
    }
  }

  /** Words of the gateway on the terminal of a session, recorded since the user sees them. What they take of the client's window is owed. */
  tell(channel: Channel, tap: SessionTap | ForwardTap, words: Buffer): void {
    channel.clientWindow -= words.length;
    channel.owed += words.length;
    if (!tap.output('out', words)) this.waitForSpool(tap.recorder, this.node);
    this.toClient(channel, message.data(channel.clientId, words));
  }

  /** `from` wants a forwarded connection: its messages wait until that can be recorded. */
  openForward(channel: Channel, request: ForwardRequest, from: Transport, to: Transport, asked: Buffer): void {
    const payload = unpooledCopy(asked);
    this.whenRecorded(
      from,
      async () => {
        const tap = await this.forwards.tap(request);
        channel.tap = tap;
        channel.session = this.forwards.live ?? null;
        if (!this.over) to.send(payload);
      },
      (error) => {
        this.channels.remove(channel);
        from.send(
          message.openFailure(payload.readUInt32BE(5 + payload.readUInt32BE(1)), OPEN_REFUSED.prohibited, explainError(error).join(' ')),
        );
      },
    );
  }

  /** Makes a started session known to the gateway's registry. */
  beginSession(channel: Channel, tap: SessionTap): void {
    channel.session = this.deps.access.begin(tap.recorder, {
      end: (error) => this.endChannel(channel, error),
      notice: (words) => this.notice(channel, words),
      reopened: () => this.deliverHeld(channel),
    });
  }

  /**
   * Whether a message with input of the client may go to the node now. While the session's input gate is closed, input of a
   * terminal is discarded, and the client's window is given back; input of any other stream is held, since a protocol with
   * a hole in it is corrupt. Limits: `MAX_HELD_INPUT` bytes a channel, beyond which the session ends.
   */
  admitInput(channel: Channel, payload: Buffer): boolean {
    if (channel.session === null || channel.session.gate.open) return true;
    const terminal = channel.purpose.kind === 'session' && channel.purpose.request.tty;
    if (terminal && payload[0] !== MSG.channelEof) {
      channel.session.gate.discard();
      if (payload[0] === MSG.channelData) this.toClient(channel, message.windowAdjust(channel.clientId, dataOf(payload, 5).length));
      return false;
    }
    channel.heldBytes += payload.length;
    if (channel.heldBytes > MAX_HELD_INPUT) {
      this.endChannel(channel, new StenoError('LOCKED', 'the session is frozen, and more input came than can be held'));
      return false;
    }
    channel.held.push(unpooledCopy(payload));
    return false;
  }

  /** Delivers what `admitInput` held, in order. */
  deliverHeld(channel: Channel): void {
    const held = channel.held;
    channel.held = [];
    channel.heldBytes = 0;
    for (const payload of held) this.input(channel, payload);
  }

  /** Set by the side that reads the client: passes a message with input on, recorded. */
  input: (channel: Channel, payload: Buffer) => void = () => undefined;

  #reopened(session: string): void {
    for (const channel of this.channels.all) if (channel.tap?.recorder.session === session) this.deliverHeld(channel);
  }

  #endForwards(session: string, error: StenoError): void {
    this.forwards.end(error);
    for (const channel of this.channels.all) if (channel.tap?.recorder.session === session) this.endChannel(channel, error);
  }

  /** A line of the gateway on the channel's terminal, if it has one with room for it. */
  notice(channel: Channel, words: string): void {
    const bytes = Buffer.from(`\r\nsteno: ${words}\r\n`);
    const { purpose, tap } = channel;
    if (purpose.kind !== 'session' || !purpose.request.tty || tap === null || channel.state !== 'open' || channel.nodeClosed) return;
    if (channel.clientWindow >= bytes.length) this.tell(channel, tap, bytes);
  }

  openFailed(channel: Channel, to: Transport, payload: Buffer): void {
    this.finish(channel);
    to.send(payload);
  }

  /** Runs `begin` with `side` held, so that nothing overtakes it. */
  whenRecorded(side: Transport, begin: () => Promise<void>, refused: (error: StenoError) => void): void {
    side.hold(HOLD.recorder);
    begin()
      .catch((error: unknown) => {
        if (!this.over) refused(asStenoError(error));
      })
      .finally(() => side.release(HOLD.recorder));
  }

  waitForSpool(recorder: { onReady(callback: () => void): void }, side: Transport): void {
    side.hold(HOLD.spool);
    recorder.onReady(() => side.release(HOLD.spool));
  }

  refuseRequest(channel: Channel, wantsReply: boolean): void {
    if (!wantsReply) return;
    this.toNode(channel, new SshWriter().byte(MSG.channelRequest).uint32(channel.nodeId).utf8(REFUSED_REQUEST).byte(1).bytes());
  }

  toNode(channel: Channel, payload: Uint8Array): void {
    if (channel.state !== 'ended' && !channel.clientClosed) this.node.send(payload);
  }

  toClient(channel: Channel, payload: Uint8Array): void {
    if (channel.state !== 'ended' && !channel.nodeClosed) this.client.send(payload);
  }

  /** The gateway itself ends a channel: the client is told why, the node that it is over. */
  endChannel(channel: Channel, error: StenoError): void {
    if (channel.state === 'ended') return;
    const { purpose, clientId, nodeId } = channel;
    const wasOpen = channel.state === 'open';
    const session = wasOpen && !channel.nodeClosed && purpose.kind === 'session' ? purpose.request : null;
    channel.state = 'ended';
    this.#forgetLate(channel);
    if (error.code === 'NODE_LOST') channel.kernel?.lost();
    const last = session === null ? null : farewell(clientId, channel.clientWindow, session.tty, explainError(error));
    // What the user is shown is recorded, whoever says it.
    if (last !== null && last.text.length > 0) channel.tap?.recorder.output(session!.tty ? 'out' : 'err', last.text);
    channel.tap?.recorder.exit(255);
    this.#finishTap(channel);
    if (!wasOpen) return;
    // A connection that is over is closed whole.
    if (!channel.clientClosed && !this.over) this.node.send(message.close(nodeId));
    if (channel.nodeClosed) return;
    if (last === null) return this.client.send(message.close(clientId));
    for (; channel.unanswered > 0; channel.unanswered--) this.client.send(message.success(clientId));
    for (const payload of last.messages) this.client.send(payload);
  }

  closed(channel: Channel): void {
    if (channel.clientClosed && channel.nodeClosed) this.finish(channel);
  }

  finish(channel: Channel): void {
    this.channels.remove(channel);
    this.#forgetLate(channel);
    this.#finishTap(channel);
  }

  #forgetLate(channel: Channel): void {
    if (channel.late === null) return;
    channel.late = null;
    this.node.release(HOLD.window);
  }

  #finishTap(channel: Channel): void {
    const { tap } = channel;
    if (tap === null) return;
    channel.tap = null;
    channel.held = [];
    channel.heldBytes = 0;
    if (channel.purpose.kind === 'session') channel.session?.leave();
    this.deps.track(deferred().then(() => tap.close()));
  }

  closeRecordings(): void {
    for (const channel of this.channels.all) this.#finishTap(channel);
    this.forwards.live?.leave();
    this.deps.track(deferred().then(() => this.forwards.close()));
  }

  ofNode(payload: Buffer): Channel {
    return this.channels.ofNode(payload.readUInt32BE(1)) ?? noChannel();
  }

  ofClient(payload: Buffer): Channel {
    return this.channels.ofClient(payload.readUInt32BE(1)) ?? noChannel();
  }

  /** The channel that an answer to CHANNEL_OPEN is about: its recipient is the number of who opened it. */
  opening(payload: Buffer, openedBy: 'client' | 'node'): Channel {
    const id = payload.readUInt32BE(1);
    const channel = openedBy === 'client' ? this.channels.ofClient(id) : this.channels.ofNode(id);
    return channel !== undefined && channel.openedBy === openedBy && channel.state === 'opening' ? channel : noChannel();
  }
}

function noChannel(): never {
  throw new StenoError('BAD_REQUEST', 'there is no such channel');
}
