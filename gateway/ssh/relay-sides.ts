/**
 * The two sides of a relayed connection and the channels between them: what messages of either direction need of the
 * other. From the client: relay-client.ts; from the node: relay-node.ts; their beginning and end: relay.ts.
 */
import { StenoError } from '#schemas/errors.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import { apart } from './apart.js';
import { ChannelTable } from './channels.js';
import type { ForwardRequest } from './channel-requests.js';
import type { Channel } from './channels.js';
import { ForwardRecording } from './forward-recording.js';
import type { ForwardTap } from './forward-recording.js';
import type { KernelRecordingDeps } from './kernel-recording.js';
import { farewell } from './local-answers.js';
import { message, MSG, OPEN_REFUSED } from './messages.js';
import { asStenoError, explainError } from './refusal.js';
import { REFUSED_REQUEST } from './requests.js';
import type { SessionRecordingDeps, SessionTap } from './session-recording.js';
import { HOLD } from './transport.js';
import { turn } from './turns.js';
import type { Transport } from './transport.js';

export interface RelayPermissions {
  readonly portForwarding: boolean;
  readonly agentForwarding: boolean;
}

export interface RelayDeps extends SessionRecordingDeps {
  readonly permissions: RelayPermissions;
  /** What the node said while it let the user in, as a terminal shows it; empty for nothing. */
  readonly banner: Buffer;
  /** Whether the user's certificate is over: what was begun may go on, but nothing begins. */
  expired(): boolean;
  /** Something passed that shows that the connection is in use. */
  active(): void;
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
    this.forwards = new ForwardRecording(deps.recorder, deps.facts, end);
  }

  permits(direction: ForwardRequest['direction']): boolean {
    return direction === 'agent' ? this.permissions.agentForwarding : this.permissions.portForwarding;
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
    const payload = apart(asked);
    this.whenRecorded(
      from,
      async () => {
        const tap = await this.forwards.tap(request);
        channel.tap = tap;
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
    this.deps.track(turn().then(() => tap.close()));
  }

  closeRecordings(): void {
    for (const channel of this.channels.all) this.#finishTap(channel);
    this.deps.track(turn().then(() => this.forwards.close()));
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
