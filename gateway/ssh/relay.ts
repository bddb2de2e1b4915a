/**
 * One client connection and its connection to the node, message by message.
 *
 *     dialling ──reached──► relaying ──either side gone, locked, draining──► over
 *         └──refused, unknown, unreachable──► refusing ──client gone──► over
 *
 * Messages pass as they are, both sides keep their channel numbers and their windows: what a client may be sent is
 * what it granted, so half-closed channels, flow control and requests behave as without a gateway. The relay reads along
 * to record, asks `requests.ts` what may pass, and stops reading one side while the other does not take what it has
 * (HIGH_WATER, wire.ts). Tested in gateway.test.ts and forwarding.test.ts with stock clients and servers.
 */
import { StenoError } from '#schemas/errors.js';
import { ORDER_VARIABLE } from '#schemas/kernel.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { addEnvironment, ChannelTable, MAX_CHANNELS, newSession } from './channels.js';
import type { ForwardRequest, SessionRequest } from './channel-requests.js';
import type { Channel } from './channels.js';
import { ForwardRecording } from './forward-recording.js';
import { KernelRecording } from './kernel-recording.js';
import type { KernelRecordingDeps } from './kernel-recording.js';
import { farewell } from './local-answers.js';
import { message, MSG, OPEN_REFUSED } from './messages.js';
import { asStenoError, explainError } from './refusal.js';
import { clientChannels, clientGlobals, clientRequests, nodeChannels, nodeGlobals, nodeRequests, REFUSED_REQUEST } from './requests.js';
import { openSessionTap } from './session-recording.js';
import type { SessionRecordingDeps, SessionStart } from './session-recording.js';
import { HOLD } from './transport.js';
import type { Hold, Transport } from './transport.js';

export interface RelayPermissions {
  readonly portForwarding: boolean;
  readonly agentForwarding: boolean;
}

export interface RelayDeps extends SessionRecordingDeps {
  readonly permissions: RelayPermissions;
  /** Something passed that shows that the connection is in use. */
  active(): void;
  readonly kernel: KernelRecordingDeps;
  /** Keeps the gateway open until the recording is. */
  track(closing: Promise<void>): void;
}

/** After sessions were ended, the client has this many milliseconds to print their last words. */
const FAREWELL_MS = 1_500;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

export class Relay {
  readonly #client: Transport;
  readonly #node: Transport;
  readonly #deps: RelayDeps;
  #permissions: RelayPermissions;
  readonly #gone: () => void;
  readonly #channels = new ChannelTable();
  readonly #forwards: ForwardRecording;
  /** What the node has yet to answer of the client's global requests; `null` needs no attention. */
  readonly #globals: ({ readonly address: string; readonly port: number } | null)[] = [];
  #listening = false;
  #agent = false;
  #over = false;

  /** `gone`: the client's connection is closed. */
  constructor(client: Transport, node: Transport, deps: RelayDeps, gone: () => void) {
    this.#client = client;
    this.#node = node;
    this.#deps = deps;
    this.#permissions = deps.permissions;
    this.#gone = gone;
    this.#forwards = new ForwardRecording(deps.recorder, deps.facts, (error) => this.end(error));
    client.events = {
      secured: () => undefined,
      message: (payload) => {
        this.#fromClient(payload);
        if (node.congested) client.hold(HOLD.congestion);
      },
      drained: () => node.release(HOLD.congestion),
      closed: () => this.#clientClosed(),
    };
    node.events = {
      secured: () => undefined,
      message: (payload) => {
        this.#fromNode(payload);
        if (client.congested) node.hold(HOLD.congestion);
      },
      drained: () => client.release(HOLD.congestion),
      closed: () => this.end(new StenoError('NODE_LOST', this.#deps.facts.node)),
    };
  }

  /** Ends every session with words in its terminal, then both connections. */
  end(error: StenoError): void {
    if (this.#over) return;
    this.#over = true;
    const sessions = [...this.#channels.all].filter(({ purpose, nodeClosed }) => purpose.kind === 'session' && !nodeClosed);
    for (const channel of this.#channels.all) this.#endChannel(channel, error);
    this.#closeRecordings();
    this.#node.end();
    const lines = explainError(error).join(' ');
    if (sessions.length === 0 || this.#client.closed) return this.#client.disconnect(MSG.disconnectByApplication, lines);
    const timer = setTimeout(() => this.#client.disconnect(MSG.disconnectByApplication, lines), FAREWELL_MS);
    this.#client.events = {
      secured: () => undefined, message: () => undefined, drained: () => undefined,
      closed: () => {
        clearTimeout(timer);
        this.#gone();
      },
    };
    for (const reason of Object.values(HOLD)) this.#client.release(reason);
  }

  /** Ends the session of this recording, if it is one of this connection. */
  endSession(session: string, error: StenoError): void {
    if (session === this.#forwards.session) this.#forwards.end(error);
    for (const channel of this.#channels.all) if (channel.tap?.recorder.session === session) this.#endChannel(channel, error);
  }

  /** What roles allow now: forwardings that they no longer do end, and those to come are refused. */
  permit(permissions: RelayPermissions): void {
    this.#permissions = permissions;
    const error = new StenoError('ACCESS_DENIED', 'no role allows this forwarding any more');
    for (const channel of this.#channels.all) {
      if (channel.purpose.kind === 'forward' && !this.#permits(channel.purpose.request.direction)) this.#endChannel(channel, error);
    }
  }

  /** A line of the gateway in every terminal that has room for it; recorded, since the user sees it. */
  notice(words: string): void {
    const bytes = Buffer.from(`\r\nsteno: ${words}\r\n`);
    for (const channel of this.#channels.all) {
      const { purpose, tap } = channel;
      if (purpose.kind !== 'session' || !purpose.request.tty || tap === null || channel.state !== 'open' || channel.nodeClosed || channel.clientWindow < bytes.length) continue;
      channel.clientWindow -= bytes.length;
      channel.owed += bytes.length;
      if (!tap.output('out', bytes)) this.#waitForSpool(tap.recorder, this.#node);
      this.#client.send(message.data(channel.clientId, bytes));
    }
  }

  #permits(direction: ForwardRequest['direction']): boolean {
    return direction === 'agent' ? this.#permissions.agentForwarding : this.#permissions.portForwarding;
  }

  get sessions(): readonly string[] {
    const open = [...this.#channels.all].flatMap(({ tap }) => (tap === null ? [] : [tap.recorder.session]));
    return [...new Set([...open, ...(this.#forwards.session === undefined ? [] : [this.#forwards.session])])];
  }

  // ---- from the client ------------------------------------------------------------------------------------------

  #fromClient(payload: Buffer): void {
    const type = payload[0]!;
    switch (type) {
      case MSG.channelData: return this.#dataFromClient(payload);
      case MSG.channelWindowAdjust: {
        const channel = this.#ofNode(payload);
        return this.#widen(channel, payload.readUInt32BE(5), payload);
      }
      case MSG.channelRequest: return this.#requestFromClient(this.#ofNode(payload), payload);
      case MSG.channelOpen: return this.#openFromClient(payload);
      case MSG.channelEof: case MSG.channelSuccess: case MSG.channelFailure:
        return this.#toNode(this.#ofNode(payload), payload);
      case MSG.channelClose: {
        const channel = this.#ofNode(payload);
        this.#toNode(channel, payload);
        channel.clientClosed = true;
        return this.#closed(channel);
      }
      case MSG.channelOpenConfirmation: {
        const channel = this.#opening(payload, 'node');
        this.#channels.identify(channel, 'client', payload.readUInt32BE(5));
        channel.clientWindow = payload.readUInt32BE(9);
        channel.state = 'open';
        return this.#node.send(payload);
      }
      case MSG.channelOpenFailure: return this.#openFailed(this.#opening(payload, 'node'), this.#node, payload);
      case MSG.globalRequest: return this.#globalFromClient(payload);
      case MSG.requestSuccess: case MSG.requestFailure: return this.#node.send(payload);
      default:
        if (type >= MSG.globalRequest) this.#client.disconnect(MSG.disconnectProtocolError, 'steno: unknown message');
    }
  }

  /** What a notice took is not granted to the node again. */
  #widen(channel: Channel, bytes: number, payload: Buffer): void {
    channel.clientWindow += bytes;
    const owed = Math.min(channel.owed, bytes);
    channel.owed -= owed;
    const { late } = channel;
    if (late !== null && dataLength(late) <= channel.clientWindow) {
      channel.late = null;
      this.#fromNode(late);
      this.#node.release(HOLD.window);
    }
    if (owed === 0) this.#toNode(channel, payload);
    else if (bytes > owed) this.#toNode(channel, message.windowAdjust(channel.nodeId, bytes - owed));
  }

  #dataFromClient(payload: Buffer): void {
    this.#deps.active();
    const channel = this.#ofNode(payload);
    const { tap } = channel;
    // Data before a session's start has no meaning, and no recording.
    if (tap === null || channel.state !== 'open') return;
    const data = dataOf(payload, 5);
    if (!tap.input(data)) this.#waitForSpool(tap.recorder, this.#client);
    this.#toNode(channel, payload);
  }

  #openFromClient(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = clientChannels.get(reader.utf8('the channel type', 64));
    const id = reader.uint32('the channel');
    const window = reader.uint32('the window');
    reader.uint32('the packet size');
    const refuse = (reason: number, why: string): void => this.#client.send(message.openFailure(id, reason, why));
    if (rule === undefined) return refuse(OPEN_REFUSED.unknownType, 'steno: no such kind of channel');
    if (this.#channels.all.size >= MAX_CHANNELS) return refuse(OPEN_REFUSED.shortage, 'steno: too many channels');
    if (rule === 'session') {
      this.#channels.add({ kind: 'session', request: newSession() }, 'client', id, window);
      return this.#node.send(payload);
    }
    if (!this.#permissions.portForwarding) return refuse(OPEN_REFUSED.prohibited, 'steno: no role allows port forwarding [ACCESS_DENIED]');
    const request = forwardRequest(reader, rule === 'tcp', 'local');
    const channel = this.#channels.add({ kind: 'forward', request }, 'client', id, window);
    this.#openForward(channel, request, this.#client, this.#node, payload);
  }

  #requestFromClient(channel: Channel, payload: Buffer): void {
    const reader = readerOf(payload);
    reader.uint32('the channel');
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    if (wantsReply) channel.unanswered++;
    const rule = clientRequests.get(name);
    const request = channel.purpose.kind === 'session' ? channel.purpose.request : undefined;
    if (request === undefined) return rule === 'pass' ? this.#toNode(channel, payload) : this.#refuseRequest(channel, wantsReply);
    switch (rule) {
      case 'start': {
        if (request.started) return this.#refuseRequest(channel, wantsReply);
        request.started = true;
        const start: SessionStart = name === 'exec' ? { kind: 'exec', command: text(reader.string('the command')) }
          : name === 'subsystem' ? { kind: 'subsystem', name: text(reader.string('the subsystem', 256)) } : { kind: 'shell' };
        return this.#start(channel, request, start, payload);
      }
      case 'terminal':
        request.tty = true;
        request.term = text(reader.string('the terminal', 256));
        return this.#resize(channel, request, reader, payload);
      case 'resize': return this.#resize(channel, request, reader, payload);
      case 'environment': {
        const variable = text(reader.string('the name'));
        // By this name the gateway itself speaks to nodes.
        if (variable === ORDER_VARIABLE) return this.#refuseRequest(channel, wantsReply);
        addEnvironment(request, variable, text(reader.string('the value')));
        return this.#toNode(channel, payload);
      }
      case 'signal':
        channel.tap?.recorder.fact({ fact: 'signal', name: text(reader.string('the signal', 64)), from: 'client' });
        return this.#toNode(channel, payload);
      case 'agent':
        if (!this.#permissions.agentForwarding) return this.#refuseRequest(channel, wantsReply);
        this.#agent = true;
        return this.#toNode(channel, payload);
      case 'pass': return this.#toNode(channel, payload);
      default: return this.#refuseRequest(channel, wantsReply);
    }
  }

  #resize(channel: Channel, request: SessionRequest, reader: SshReader, payload: Buffer): void {
    request.cols = clampSize(reader.uint32('the columns'), 80);
    request.rows = clampSize(reader.uint32('the rows'), 24);
    if (channel.tap !== null) channel.tap.recorder.resize(request.cols, request.rows);
    this.#toNode(channel, payload);
  }

  #start(channel: Channel, request: SessionRequest, start: SessionStart, asked: Buffer): void {
    const payload = Buffer.from(asked);
    this.#whenRecorded(this.#client, async () => {
      const tap = await openSessionTap(this.#deps, request, start, (error) => this.#endChannel(channel, error));
      if (this.#over || channel.state !== 'open' || channel.nodeClosed) return this.#deps.track(tap.close());
      channel.tap = tap;
      if (this.#agent) tap.recorder.fact({ fact: 'agent_forwarding' });
      channel.kernel = KernelRecording.begin(this.#deps.kernel, tap.recorder, (error) => this.#endChannel(channel, error));
      if (channel.kernel !== null) this.#toNode(channel, channel.kernel.order(channel.nodeId));
      this.#toNode(channel, payload);
    }, (error) => this.#endChannel(channel, error));
  }

  #globalFromClient(payload: Buffer): void {
    const reader = readerOf(payload);
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    const rule = clientGlobals.get(name);
    if (rule === undefined || (rule === 'listen' && !this.#permissions.portForwarding)) {
      if (!wantsReply) return;
      this.#globals.push(null);
      return this.#node.send(new SshWriter().byte(MSG.globalRequest).utf8(REFUSED_REQUEST).byte(1).bytes());
    }
    if (rule === 'listen') this.#listening = true;
    if (wantsReply) {
      const address = rule === 'listen' ? text(reader.string('the address', 1024)) : '';
      this.#globals.push(rule === 'listen' ? { address, port: name === 'tcpip-forward' ? reader.uint32('the port') : 0 } : null);
    }
    this.#node.send(payload);
  }

  // ---- from the node --------------------------------------------------------------------------------------------

  #fromNode(payload: Buffer): void {
    const type = payload[0]!;
    switch (type) {
      case MSG.channelData: return this.#dataFromNode(payload, 'out', 5);
      case MSG.channelExtendedData: return this.#dataFromNode(payload, 'err', 9);
      case MSG.channelWindowAdjust: case MSG.channelEof:
        return this.#toClient(this.#ofClient(payload), payload);
      case MSG.channelSuccess: case MSG.channelFailure: {
        const channel = this.#ofClient(payload);
        channel.unanswered = Math.max(0, channel.unanswered - 1);
        return this.#toClient(channel, payload);
      }
      case MSG.channelRequest: return this.#requestFromNode(this.#ofClient(payload), payload);
      case MSG.channelClose: {
        const channel = this.#ofClient(payload);
        this.#toClient(channel, payload);
        channel.nodeClosed = true;
        return this.#closed(channel);
      }
      case MSG.channelOpen: return this.#openFromNode(payload);
      case MSG.channelOpenConfirmation: {
        const channel = this.#opening(payload, 'client');
        this.#channels.identify(channel, 'node', payload.readUInt32BE(5));
        channel.state = 'open';
        return this.#client.send(payload);
      }
      case MSG.channelOpenFailure: return this.#openFailed(this.#opening(payload, 'client'), this.#client, payload);
      case MSG.globalRequest: return this.#globalFromNode(payload);
      case MSG.requestSuccess: case MSG.requestFailure: return this.#globalAnswer(payload);
      default:
        if (type >= MSG.globalRequest) this.#node.disconnect(MSG.disconnectProtocolError, 'steno: unknown message');
    }
  }

  #dataFromNode(payload: Buffer, stream: 'out' | 'err', lengthAt: number): void {
    const channel = this.#ofClient(payload);
    const { tap } = channel;
    if (tap === null || channel.state !== 'open') return;
    if (channel.kernel?.ready === false) return channel.kernel.unready();
    const data = dataOf(payload, lengthAt);
    if (channel.owed > 0 && data.length > channel.clientWindow) {
      channel.late = Buffer.from(payload);
      return this.#node.hold(HOLD.window);
    }
    channel.clientWindow -= data.length;
    if (channel.purpose.kind === 'forward' || !channel.purpose.request.tty) this.#deps.active();
    if (!tap.output(stream, data)) this.#waitForSpool(tap.recorder, this.#node);
    this.#toClient(channel, payload);
  }

  #requestFromNode(channel: Channel, payload: Buffer): void {
    const reader = readerOf(payload);
    reader.uint32('the channel');
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    const rule = nodeRequests.get(name);
    if (rule === 'exit' && name === 'exit-signal' && channel.kernel !== null) {
      const signal = text(reader.string('the signal', 64));
      reader.byte('the core');
      if (channel.kernel.takes(signal, text(reader.string('the message', 4096)))) return;
      channel.tap?.recorder.exit(signal);
    } else if (rule === 'exit') {
      channel.tap?.recorder.exit(name === 'exit-status' ? reader.uint32('the status') : text(reader.string('the signal', 64)));
    } else if (rule !== 'pass') {
      if (wantsReply) this.#node.send(message.failure(channel.nodeId));
      return;
    }
    this.#toClient(channel, payload);
  }

  #openFromNode(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = nodeChannels.get(reader.utf8('the channel type', 64));
    const id = reader.uint32('the channel');
    reader.uint32('the window');
    reader.uint32('the packet size');
    // A node opens what the client asked it for, and no more.
    const asked = rule === 'agent' ? this.#agent && this.#permissions.agentForwarding : this.#listening && rule !== undefined && this.#permissions.portForwarding;
    if (!asked) return this.#node.send(message.openFailure(id, OPEN_REFUSED.prohibited, 'nobody asked for this'));
    if (this.#channels.all.size >= MAX_CHANNELS) return this.#node.send(message.openFailure(id, OPEN_REFUSED.shortage, 'too many channels'));
    const request = rule === 'agent'
      ? { direction: 'agent' as const, address: 'agent', port: 0, originAddress: '', originPort: 0 }
      : forwardRequest(reader, rule === 'tcp', 'remote');
    const channel = this.#channels.add({ kind: 'forward', request }, 'node', id, 0);
    this.#openForward(channel, request, this.#node, this.#client, payload);
  }

  #globalFromNode(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = nodeGlobals.get(reader.utf8('the request', 128));
    const wantsReply = reader.byte('the flag') !== 0;
    if (rule === 'pass') return this.#client.send(payload);
    if (wantsReply) this.#node.send(message.requestFailure());
  }

  #globalAnswer(payload: Buffer): void {
    const request = this.#globals.shift();
    if (request === undefined) return;
    this.#client.send(payload);
    if (request === null || payload[0] !== MSG.requestSuccess) return;
    const port = request.port === 0 && payload.length >= 5 ? payload.readUInt32BE(1) : request.port;
    this.#whenRecorded(this.#node, () => this.#forwards.listening(request.address, port), (error) => this.end(error));
  }

  // ---- both ways ------------------------------------------------------------------------------------------------

  /** `from` wants a forwarded connection: its messages wait until that can be recorded. */
  #openForward(channel: Channel, request: ForwardRequest, from: Transport, to: Transport, asked: Buffer): void {
    const payload = Buffer.from(asked);
    this.#whenRecorded(from, async () => {
      const tap = await this.#forwards.tap(request);
      channel.tap = tap;
      if (!this.#over) to.send(payload);
    }, (error) => {
      this.#channels.remove(channel);
      from.send(message.openFailure(payload.readUInt32BE(5 + payload.readUInt32BE(1)), OPEN_REFUSED.prohibited, explainError(error).join(' ')));
    });
  }

  #openFailed(channel: Channel, to: Transport, payload: Buffer): void {
    this.#finish(channel);
    to.send(payload);
  }

  /** Runs `begin` with `side` held, so that nothing overtakes it. */
  #whenRecorded(side: Transport, begin: () => Promise<void>, refused: (error: StenoError) => void): void {
    side.hold(HOLD.recorder);
    begin().catch((error: unknown) => { if (!this.#over) refused(asStenoError(error)); })
      .finally(() => side.release(HOLD.recorder));
  }

  #waitForSpool(recorder: { onReady(callback: () => void): void }, side: Transport): void {
    const reason: Hold = HOLD.spool;
    side.hold(reason);
    recorder.onReady(() => side.release(reason));
  }

  #refuseRequest(channel: Channel, wantsReply: boolean): void {
    if (!wantsReply) return;
    this.#toNode(channel, new SshWriter().byte(MSG.channelRequest).uint32(channel.nodeId).utf8(REFUSED_REQUEST).byte(1).bytes());
  }

  #toNode(channel: Channel, payload: Uint8Array): void {
    if (channel.state !== 'ended' && !channel.clientClosed) this.#node.send(payload);
  }

  #toClient(channel: Channel, payload: Uint8Array): void {
    if (channel.state !== 'ended' && !channel.nodeClosed) this.#client.send(payload);
  }

  /** The gateway itself ends a channel: the client is told why, the node that it is over. */
  #endChannel(channel: Channel, error: StenoError): void {
    if (channel.state === 'ended') return;
    const { purpose, clientId, nodeId } = channel;
    const wasOpen = channel.state === 'open';
    channel.state = 'ended';
    this.#forgetLate(channel);
    channel.tap?.recorder.exit(255);
    this.#finishTap(channel);
    if (!wasOpen) return;
    if (!channel.clientClosed) this.#node.send(message.close(nodeId));
    if (channel.nodeClosed) return;
    if (purpose.kind === 'session') {
      for (; channel.unanswered > 0; channel.unanswered--) this.#client.send(message.success(clientId));
      for (const last of farewell(clientId, channel.clientWindow, purpose.request.tty, explainError(error))) this.#client.send(last);
    } else {
      this.#client.send(message.close(clientId));
    }
  }

  #closed(channel: Channel): void {
    if (channel.clientClosed && channel.nodeClosed) this.#finish(channel);
  }

  #finish(channel: Channel): void {
    this.#channels.remove(channel);
    this.#forgetLate(channel);
    this.#finishTap(channel);
  }

  #forgetLate(channel: Channel): void {
    if (channel.late === null) return;
    channel.late = null;
    this.#node.release(HOLD.window);
  }

  #finishTap(channel: Channel): void {
    if (channel.tap === null) return;
    this.#deps.track(channel.tap.close());
    channel.tap = null;
  }

  #clientClosed(): void {
    this.#gone();
    if (this.#over) return;
    this.#over = true;
    this.#closeRecordings();
    this.#node.end();
  }

  #closeRecordings(): void {
    for (const channel of this.#channels.all) this.#finishTap(channel);
    this.#deps.track(this.#forwards.close());
  }

  #ofNode(payload: Buffer): Channel {
    return this.#channels.ofNode(payload.readUInt32BE(1)) ?? noChannel();
  }

  #ofClient(payload: Buffer): Channel {
    return this.#channels.ofClient(payload.readUInt32BE(1)) ?? noChannel();
  }

  /** The channel that an answer to CHANNEL_OPEN is about: its recipient is the number of who opened it. */
  #opening(payload: Buffer, openedBy: 'client' | 'node'): Channel {
    const id = payload.readUInt32BE(1);
    const channel = openedBy === 'client' ? this.#channels.ofClient(id) : this.#channels.ofNode(id);
    return channel !== undefined && channel.openedBy === openedBy && channel.state === 'opening' ? channel : noChannel();
  }
}

function noChannel(): never {
  throw new StenoError('BAD_REQUEST', 'there is no such channel');
}

function readerOf(payload: Buffer): SshReader {
  const reader = new SshReader(payload, 'BAD_REQUEST');
  reader.byte('the type');
  return reader;
}

/** The data of a message whose length stands at `at`: exactly the rest, or the message is malformed. */
function dataOf(payload: Buffer, at: number): Buffer {
  if (payload.readUInt32BE(at) !== payload.length - at - 4) throw new StenoError('BAD_REQUEST', 'the data has another length');
  return payload.subarray(at + 4);
}

function forwardRequest(reader: SshReader, tcp: boolean, direction: 'local' | 'remote'): ForwardRequest {
  const address = text(reader.string('the address', 1024));
  if (!tcp) return { direction, address, port: 0, originAddress: '', originPort: 0 };
  const port = reader.uint32('the port');
  return { direction, address, port, originAddress: text(reader.string('the origin', 1024)), originPort: reader.uint32('the origin port') };
}

/** Bytes of data of a message that was found to be whole. */
function dataLength(payload: Buffer): number {
  return payload.length - (payload[0] === MSG.channelData ? 9 : 13);
}

function clampSize(cells: number, otherwise: number): number {
  return cells === 0 ? otherwise : Math.min(cells, 1000);
}
