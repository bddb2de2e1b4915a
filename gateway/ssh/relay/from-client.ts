/**
 * Messages from the client to the node; request-rules.ts decides which may pass. Tested in ../server/gateway.test.ts and
 * forwarding.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { isOwnVariable } from '#schemas/kernel/orders.js';
import { refuseListening } from '#schemas/policy/forwarding.js';
import { PAGE_IDENT, SESSION_REQUEST } from '#schemas/ssh/page-client.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { SshReader } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { unpooledCopy } from '../transport/unpooled-copy.js';
import { addEnvironment, MAX_CHANNELS, newSession, packetOf } from './channels.js';
import type { SessionRequest } from './channel-requests.js';
import type { Channel } from './channels.js';
import { KernelRecording } from './kernel-recording.js';
import { message } from '../transport/messages.js';
import { explain, printable } from '../../sessions/refusal.js';
import { clampSize, dataLength, dataOf, forwardRequest, readerOf, textOf } from './message-fields.js';
import type { Sides } from './sides.js';
import { clientChannels, clientGlobals, clientRequests, REFUSED_REQUEST } from './request-rules.js';
import type { RequestRule } from './request-rules.js';
import { openSessionTap } from './session-recording.js';
import type { SessionStart, SessionTap } from './session-recording.js';
import { HOLD } from '../transport/transport.js';

/** Limit of held requests per channel whose session waits for participants. */
const MAX_AWAITING = 64;

export class FromClient {
  readonly #sides: Sides;

  readonly #late: (payload: Buffer) => void;

  /** `late`: delivers a message of the node that waited for room in the client's window. */
  constructor(sides: Sides, late: (payload: Buffer) => void) {
    this.#sides = sides;
    this.#late = late;
    sides.input.pass = (channel, payload) =>
      payload[0] === MSG.channelData ? this.#deliver(channel, payload) : sides.toNode(channel, payload);
  }

  message(payload: Buffer): void {
    const type = payload[0]!;
    switch (type) {
      case MSG.channelData:
        return this.#dataFromClient(payload);
      case MSG.channelWindowAdjust: {
        const channel = this.#sides.ofNode(payload);
        return this.#widen(channel, payload.readUInt32BE(5), payload);
      }
      case MSG.channelRequest:
        return this.#requestFromClient(this.#sides.ofNode(payload), payload);
      case MSG.channelOpen:
        return this.#openFromClient(payload);
      case MSG.channelEof: {
        const channel = this.#sides.ofNode(payload);
        return this.#sides.input.admit(channel, payload) ? this.#sides.toNode(channel, payload) : undefined;
      }
      case MSG.channelSuccess:
      case MSG.channelFailure:
        return this.#sides.toNode(this.#sides.ofNode(payload), payload);
      case MSG.channelClose: {
        const channel = this.#sides.ofNode(payload);
        this.#sides.toNode(channel, payload);
        channel.clientClosed = true;
        return this.#sides.closed(channel);
      }
      case MSG.channelOpenConfirmation: {
        const channel = this.#sides.opening(payload, 'node');
        this.#sides.channels.identify(channel, 'client', payload.readUInt32BE(5));
        channel.clientWindow = payload.readUInt32BE(9);
        channel.clientPacket = packetOf(payload.readUInt32BE(13));
        channel.state = 'open';
        return this.#sides.node.send(payload);
      }
      case MSG.channelOpenFailure:
        return this.#sides.openFailed(this.#sides.opening(payload, 'node'), this.#sides.node, payload);
      case MSG.globalRequest:
        return this.#globalFromClient(payload);
      case MSG.requestSuccess:
      case MSG.requestFailure:
        return this.#sides.node.send(payload);
      default:
        if (type >= MSG.globalRequest) this.#sides.client.disconnect(DISCONNECT.protocolError, 'steno: unknown message');
    }
  }

  /** Passes on a window adjustment, except for bytes consumed by text of the gateway. */
  #widen(channel: Channel, bytes: number, payload: Buffer): void {
    channel.clientWindow += bytes;
    const owed = Math.min(channel.owed, bytes);
    channel.owed -= owed;
    const { late } = channel;
    if (late !== null && dataLength(late) <= channel.clientWindow) {
      channel.late = null;
      this.#late(late);
      this.#sides.node.release(HOLD.window);
    }
    if (owed === 0) this.#sides.toNode(channel, payload);
    else if (bytes > owed) this.#sides.toNode(channel, message.windowAdjust(channel.nodeId, bytes - owed));
  }

  #dataFromClient(payload: Buffer): void {
    this.#sides.deps.access.active();
    const channel = this.#sides.ofNode(payload);
    // Data before a session has started has no meaning, and no recording.
    if (channel.tap === null || channel.state !== 'open') return;
    if (this.#sides.input.admit(channel, payload)) this.#deliver(channel, payload);
  }

  #deliver(channel: Channel, payload: Buffer): void {
    const { tap } = channel;
    if (tap === null || channel.state !== 'open') return;
    const data = dataOf(payload, 5);
    if (!this.#sides.input.takes(channel, payload, data.length)) return;
    // Keys on a terminal are held in memory until their echo anyway (echo.ts), so the node need not wait for the recorder.
    const typed = channel.purpose.kind === 'session' && channel.purpose.request.tty;
    if (typed) {
      this.#sides.toNode(channel, payload);
      this.#sides.node.flush();
    }
    if (!tap.input(data)) this.#sides.waitForSpool(tap.recorder, this.#sides.client);
    if (!typed) this.#sides.toNode(channel, payload);
  }

  #openFromClient(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = clientChannels.get(reader.utf8('the channel type', 64));
    const id = reader.uint32('the channel');
    const window = reader.uint32('the window');
    const packet = reader.uint32('the packet size');
    const refuse = (reason: number, why: string): void => this.#sides.client.send(message.openFailure(id, reason, why));
    if (rule === undefined) return refuse(OPEN_REFUSED.unknownType, 'steno: no such kind of channel');
    if (this.#sides.channels.all.size >= MAX_CHANNELS) return refuse(OPEN_REFUSED.shortage, 'steno: too many channels');
    if (this.#sides.deps.access.expired) return refuse(OPEN_REFUSED.prohibited, explain('CERT_EXPIRED').join(' '));
    if (rule === 'session') {
      this.#sides.channels.add({ kind: 'session', request: newSession() }, 'client', id, window, packet);
      return this.#sides.node.send(payload);
    }
    const request = forwardRequest(reader, rule === 'tcp', 'local');
    const why = this.#sides.refuses(request);
    if (why !== null) return refuse(OPEN_REFUSED.prohibited, `steno: ${printable(why, 400)} [ACCESS_DENIED]`);
    const channel = this.#sides.channels.add({ kind: 'forward', request }, 'client', id, window, packet);
    this.#sides.openForward(channel, request, this.#sides.client, this.#sides.node, payload);
  }

  #requestFromClient(channel: Channel, payload: Buffer): void {
    const reader = readerOf(payload);
    reader.uint32('the channel');
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    if (channel.awaiting !== null && name !== 'window-change') {
      // Held until its turn, after the request that starts the session.
      if (channel.awaiting.length >= MAX_AWAITING)
        return this.#sides.endChannel(channel, new StenoError('BAD_REQUEST', 'too many requests'));
      channel.awaiting.push(unpooledCopy(payload));
      return;
    }
    if (wantsReply) channel.unanswered++;
    const rule = this.#forNode(clientRequests.get(name));
    const request = channel.purpose.kind === 'session' ? channel.purpose.request : undefined;
    if (request === undefined)
      return rule === 'pass' ? this.#sides.toNode(channel, payload) : this.#sides.refuseRequest(channel, wantsReply);
    switch (rule) {
      case 'start': {
        if (request.started) return this.#sides.refuseRequest(channel, wantsReply);
        request.started = true;
        // A terminal rewrites bytes, so a subsystem's protocol could not be parsed; no client needs this.
        if (name === 'subsystem' && request.tty) return this.#sides.endChannel(channel, new StenoError('SUBSYSTEM_TERMINAL'));
        const start: SessionStart =
          name === 'exec'
            ? { kind: 'exec', command: textOf(reader.string('the command')) }
            : name === 'subsystem'
              ? { kind: 'subsystem', name: textOf(reader.string('the subsystem', 256)) }
              : { kind: 'shell' };
        return this.#start(channel, request, start, payload);
      }
      case 'terminal':
        // The recording was opened with the properties the channel had when it started; sshd accepts only one terminal, too.
        if (request.started || request.tty) return this.#sides.refuseRequest(channel, wantsReply);
        request.tty = true;
        request.term = textOf(reader.string('the terminal', 256));
        return this.#resize(channel, request, reader, payload);
      case 'resize':
        return this.#resize(channel, request, reader, payload);
      case 'environment': {
        const variable = textOf(reader.string('the name'));
        // These names are reserved for messages from the gateway to nodes.
        if (isOwnVariable(variable)) return this.#sides.refuseRequest(channel, wantsReply);
        addEnvironment(request, variable, textOf(reader.string('the value')));
        return this.#sides.toNode(channel, payload);
      }
      case 'signal':
        // A signal is input too: it would stop or steer the program that a frozen user may not touch.
        if (channel.session?.gate.open === false) {
          channel.session.gate.discard();
          return this.#sides.refuseRequest(channel, wantsReply);
        }
        channel.tap?.recorder.fact({ fact: 'signal', name: textOf(reader.string('the signal', 64)), from: 'client' });
        return this.#sides.toNode(channel, payload);
      case 'agent':
        if (!this.#sides.permissions.agentForwarding) return this.#sides.refuseRequest(channel, wantsReply);
        this.#sides.agent = true;
        return this.#sides.toNode(channel, payload);
      case 'pass':
        // A break reaches the program on the terminal.
        if (name === 'break' && channel.session?.gate.open === false) {
          channel.session.gate.discard();
          return this.#sides.refuseRequest(channel, wantsReply);
        }
        return this.#sides.toNode(channel, payload);
      default:
        return this.#sides.refuseRequest(channel, wantsReply);
    }
  }

  #forNode(rule: RequestRule | undefined): RequestRule | undefined {
    if (rule !== 'openssh') return rule;
    return this.#sides.node.software.startsWith('OpenSSH') ? 'pass' : undefined;
  }

  #resize(channel: Channel, request: SessionRequest, reader: SshReader, payload: Buffer): void {
    request.cols = clampSize(reader.uint32('the columns'), 80);
    request.rows = clampSize(reader.uint32('the rows'), 24);
    if (channel.tap !== null) channel.tap.recorder.resize(request.cols, request.rows);
    channel.session?.watcher?.resized(request.cols, request.rows);
    this.#sides.toNode(channel, payload);
  }

  #start(channel: Channel, request: SessionRequest, start: SessionStart, asked: Buffer): void {
    const payload = unpooledCopy(asked);
    this.#sides.whenRecorded(
      this.#sides.client,
      async () => {
        const tap = await openSessionTap(this.#sides.deps, request, start, (error) => this.#sides.endChannel(channel, error));
        if (this.#sides.over || channel.state !== 'open' || channel.nodeClosed) return this.#sides.deps.track(tap.close());
        channel.tap = tap;
        const session = this.#sides.beginSession(channel, tap, request, start);
        if (this.#sides.client.software === PAGE_IDENT)
          this.#sides.toClient(channel, message.request(channel.clientId, SESSION_REQUEST, tap.recorder.session));
        if (this.#sides.agent) tap.recorder.fact({ fact: 'agent_forwarding' });
        if (request.tty) this.#greet(channel, tap);
        channel.awaiting = [];
        this.#sides.deps.live.begin(session, this.#sides.permissions.moderation, () => this.#startNow(channel, tap, payload));
        if (request.tty && session.gate.holds('absence')) this.#sides.input.grant(channel);
      },
      (error) => this.#sides.endChannel(channel, error),
    );
  }

  /** Called once the required participants have joined: sends the node the request that starts the session, then the held ones. */
  #startNow(channel: Channel, tap: SessionTap, payload: Buffer): void {
    const later = channel.awaiting ?? [];
    channel.awaiting = null;
    if (this.#sides.over || channel.state !== 'open' || channel.nodeClosed || channel.clientClosed) return;
    channel.kernel = KernelRecording.begin(this.#sides.deps.kernel, tap.recorder, (error) => this.#sides.endChannel(channel, error));
    for (const order of channel.kernel?.orders(channel.nodeId) ?? []) this.#sides.toNode(channel, order);
    this.#sides.toNode(channel, payload);
    for (const request of later) this.#requestFromClient(channel, request);
  }

  /** Shows the node's login banner, once and only on a terminal; a program would take it for output. */
  #greet(channel: Channel, tap: SessionTap): void {
    const { banner } = this.#sides.deps;
    if (this.#sides.greeted || banner.length === 0 || channel.clientWindow < banner.length) return;
    this.#sides.greeted = true;
    this.#sides.tell(channel, tap, banner);
  }

  #globalFromClient(payload: Buffer): void {
    const reader = readerOf(payload);
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    const rule = this.#forNode(clientGlobals.get(name));
    if (
      rule === undefined ||
      (rule === 'listen' && refuseListening(this.#sides.permissions.forwarding, name !== 'tcpip-forward') !== null)
    ) {
      if (!wantsReply) return;
      this.#sides.globals.push(null);
      return this.#sides.node.send(new SshWriter().byte(MSG.globalRequest).utf8(REFUSED_REQUEST).byte(1).bytes());
    }
    if (rule === 'listen') this.#sides.listening = true;
    if (wantsReply) {
      const address = rule === 'listen' ? textOf(reader.string('the address', 1024)) : '';
      this.#sides.globals.push(rule === 'listen' ? { address, port: name === 'tcpip-forward' ? reader.uint32('the port') : 0 } : null);
    }
    this.#sides.node.send(payload);
  }
}
