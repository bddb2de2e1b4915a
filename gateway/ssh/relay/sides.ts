/**
 * The two sides of a relayed connection and the channels between them: the state that both message directions share.
 * Messages from the client: from-client.ts; from the node: from-node.ts; start and end: relay.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { refuseConnecting, refuseListening, refuseSocket } from '#schemas/policy/forwarding.js';
import type { Forwarding } from '#schemas/policy/forwarding.js';
import type { Moderation } from '#schemas/policy/node.js';
import { sessionTime } from '#schemas/recording/line.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import { MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { unpooledCopy } from '../transport/unpooled-copy.js';
import { ChannelTable } from './channels.js';
import type { ForwardRequest, SessionRequest } from './channel-requests.js';
import type { Channel } from './channels.js';
import { ForwardRecording } from './forward-recording.js';
import type { ForwardTap } from './forward-recording.js';
import { NodeInput } from './node-input.js';
import type { LiveSessions } from '../../live/live-sessions.js';
import type { Access } from '../../sessions/access.js';
import type { LiveSession } from '../../sessions/live-session.js';
import type { KernelRecordingDeps } from './kernel-recording.js';
import { lastMessages } from './last-messages.js';
import { message } from '../transport/messages.js';
import { asStenoError, explainError } from '../../sessions/refusal.js';
import { REFUSED_REQUEST } from './request-rules.js';
import { kindOf } from './session-recording.js';
import type { SessionRecordingDeps, SessionStart, SessionTap } from './session-recording.js';
import { HOLD } from '../transport/transport.js';
import { deferred } from '../../sessions/deferred-work.js';
import type { Transport } from '../transport/transport.js';

export interface RelayPermissions {
  readonly forwarding: Forwarding;
  /** The node has received the same rules and applies them to the addresses to which names resolve. */
  readonly nodeChecks: boolean;
  readonly agentForwarding: boolean;
  /** Participants required by every session that begins from now on. */
  readonly moderation: readonly Moderation[];
}

export interface RelayDeps extends SessionRecordingDeps {
  readonly permissions: RelayPermissions;
  /** The node's login banner, as shown on a terminal; empty for none. */
  readonly banner: Buffer;
  /** The user's access, with which the sessions of this connection are registered. */
  readonly access: Access;
  readonly kernel: KernelRecordingDeps;
  readonly live: LiveSessions;
  /** Keeps the gateway from exiting until the recording is closed. */
  track(closing: Promise<void>): void;
}

export class Sides {
  readonly client: Transport;
  readonly node: Transport;
  readonly deps: RelayDeps;
  permissions: RelayPermissions;
  readonly channels = new ChannelTable();
  readonly forwards: ForwardRecording;
  readonly input: NodeInput;
  /** The client's global requests that the node has yet to answer, in order; `null` needs no action. */
  readonly globals: ({ readonly address: string; readonly port: number } | null)[] = [];
  /** The client asked to have ports, or its agent, forwarded to it. */
  listening = false;
  agent = false;
  over = false;
  /** The node's login banner was shown. */
  greeted = false;
  /** Ends the whole connection. */
  readonly end: (error: StenoError) => void;

  constructor(client: Transport, node: Transport, deps: RelayDeps, end: (error: StenoError) => void) {
    this.client = client;
    this.node = node;
    this.deps = deps;
    this.permissions = deps.permissions;
    this.end = end;
    this.input = new NodeInput(this);
    this.forwards = new ForwardRecording(deps.recorder, deps.facts, end, (recorder) =>
      deps.access.begin(recorder, {
        end: (error) => this.#endForwards(recorder.session, error),
        notice: () => undefined,
        reopened: () => this.#reopened(recorder.session),
      }),
    );
  }

  /** The reason why roles do not allow this forwarding; null if they do. */
  refuses({ direction, address, port, socket }: ForwardRequest): string | null {
    const { forwarding, nodeChecks, agentForwarding } = this.permissions;
    switch (direction) {
      case 'agent':
        return agentForwarding ? null : 'no role allows agent forwarding';
      case 'remote':
        return refuseListening(forwarding, socket);
      case 'local':
        return socket ? refuseSocket(forwarding) : refuseConnecting(forwarding, { host: address, port }, nodeChecks);
    }
  }

  /**
   * Writes text of the gateway to a session's terminal. It is recorded, since the user sees it; the window bytes it consumes
   * are added to `owed`.
   */
  tell(channel: Channel, tap: SessionTap | ForwardTap, words: Buffer): void {
    channel.clientWindow -= words.length;
    channel.owed += words.length;
    if (!tap.output('out', words)) this.waitForSpool(tap.recorder, this.node);
    this.toClient(channel, message.data(channel.clientId, words));
  }

  /** `from` requests a forwarded channel: its messages wait until the channel can be recorded. */
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

  /** Registers a started session with the gateway. */
  beginSession(channel: Channel, tap: SessionTap, request: SessionRequest, start: SessionStart): LiveSession {
    const { user, node, login, labels = null } = this.deps.facts;
    const session = this.deps.access.begin(
      tap.recorder,
      {
        end: (error) => this.endChannel(channel, error),
        notice: (words) => this.notice(channel, words),
        announce: (words) => this.#announce(channel, words),
        reopened: () => this.input.deliverHeld(channel),
        ...(request.tty ? { type: (bytes) => this.input.type(channel, bytes) } : {}),
      },
      {
        user,
        node,
        login,
        kind: kindOf(start),
        labels,
        startedAt: sessionTime(tap.recorder.session),
        size: () => (request.tty ? request : null),
        command: start.kind === 'exec' ? start.command : '',
      },
    );
    channel.session = session;
    tap.shown = (bytes) => session.shown(bytes);
    return session;
  }

  /** Prints a notice; without a terminal on standard error, which every client shows. */
  #announce(channel: Channel, words: string): void {
    const { purpose, tap } = channel;
    if (purpose.kind !== 'session' || purpose.request.tty) return this.notice(channel, words);
    const bytes = Buffer.from(`steno: ${words}\n`);
    if (tap === null || channel.state !== 'open' || channel.nodeClosed || channel.clientWindow < bytes.length) return;
    channel.clientWindow -= bytes.length;
    channel.owed += bytes.length;
    if (!tap.output('err', bytes)) this.waitForSpool(tap.recorder, this.node);
    this.toClient(channel, message.errorData(channel.clientId, bytes));
  }

  #reopened(session: string): void {
    for (const channel of this.channels.all) if (channel.tap?.recorder.session === session) this.input.deliverHeld(channel);
  }

  #endForwards(session: string, error: StenoError): void {
    this.forwards.end(error);
    for (const channel of this.channels.all) if (channel.tap?.recorder.session === session) this.endChannel(channel, error);
  }

  /** Prints a line on the channel's terminal, if it has one with room in its window. */
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

  /** Ends a channel on the gateway's initiative: tells the client the reason, and the node that the channel is closed. */
  endChannel(channel: Channel, error: StenoError): void {
    if (channel.state === 'ended') return;
    const { purpose, clientId, nodeId } = channel;
    const wasOpen = channel.state === 'open';
    const session = wasOpen && !channel.nodeClosed && purpose.kind === 'session' ? purpose.request : null;
    channel.state = 'ended';
    this.#forgetLate(channel);
    if (error.code === 'NODE_LOST') channel.kernel?.lost();
    const last = session === null ? null : lastMessages(clientId, channel.clientWindow, session.tty, explainError(error));
    // Everything the user sees is recorded, including text of the gateway.
    if (last !== null && last.text.length > 0) channel.tap?.recorder.output(session!.tty ? 'out' : 'err', last.text);
    channel.tap?.recorder.exit(255);
    if (purpose.kind === 'session') channel.session?.leave(error);
    this.#finishTap(channel);
    if (!wasOpen) return;
    // When the whole connection ends, its channels need not be closed one by one.
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
    this.input.forget(channel);
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

  /** The channel that an answer to CHANNEL_OPEN refers to: its recipient is the number chosen by the side that opened it. */
  opening(payload: Buffer, openedBy: 'client' | 'node'): Channel {
    const id = payload.readUInt32BE(1);
    const channel = openedBy === 'client' ? this.channels.ofClient(id) : this.channels.ofNode(id);
    return channel !== undefined && channel.openedBy === openedBy && channel.state === 'opening' ? channel : noChannel();
  }
}

function noChannel(): never {
  throw new StenoError('BAD_REQUEST', 'there is no such channel');
}
