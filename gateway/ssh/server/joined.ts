/**
 * The connection of a participant in a live session: one terminal and nothing else. Agent, forwarding and further channels are
 * refused, and the size of the participant's terminal does not reach the node.
 *
 *     waiting ──a channel with a terminal, and a shell──► joined ──leaves, must leave, session over──► over
 *        └──no terminal──► over
 *
 * Limits: at most `WINDOW` bytes of the client's input wait here, and `MAX_QUEUED` bytes of output and a packet below. Tested in
 * joined.test.ts with stock `ssh`; a client that reads nothing in ../../edge/socket-wire.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { VIEW_VARIABLE } from '#schemas/session-join.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import type { Audience } from '../../live/audience.js';
import { CommandKeys } from '../../live/commands.js';
import type { Participant, ParticipantFacts, ParticipantLink } from '../../live/participant.js';
import { LEAVE_MODES } from '#runtime/terminal/leave-modes.js';
import { ESCAPE_MS, TerminalInput } from '../../live/terminal-input.js';
import { asStenoError, explainError } from '../../sessions/refusal.js';
import { clampSize, dataOf } from '../relay/message-fields.js';
import { realTimers } from '../../edge/keep-terms.js';
import { message } from '../transport/messages.js';
import { Keepalive } from './keepalive.js';

/** Bytes of input; the rest of a larger paste waits at the client. */
const WINDOW = 32 * 1024;
const MAX_PACKET = 32 * 1024;
/** Of output. Participants are many, and some of them read nothing: what waits for each is sealed for it, and shared with nobody. */
const MAX_OUTPUT_PACKET = 16 * 1024;
export const MAX_QUEUED = 16 * 1024;
/** Our number for the only channel. */
const OWN_ID = 0;
/** The client has LAST_MESSAGES_MS to print the last messages, and SILENCE_MS to open its channel. */
const LAST_MESSAGES_MS = 1_500;
const SILENCE_MS = 10_000;

interface Terminal {
  readonly clientId: number;
  window: number;
  readonly packet: number;
  /** Null until the client requests a terminal. */
  size: { cols: number; rows: number } | null;
  /** The client has announced that it can go back in the recording (VIEW_VARIABLE). */
  goesBack: boolean;
  closed: boolean;
}

/** The carrier of a participant's messages: their SSH connection, here or at another gateway. */
export interface JoinedClient {
  /** Nothing more should be sent until `Joined.drained` is called. */
  readonly congested: boolean;
  readonly closed: boolean;
  send(payload: Uint8Array): void;
  sendParts(length: number, fill: (packet: Buffer, at: number) => void): void;
  disconnect(reason: number, text: string): void;
  end(): void;
}

export class Joined {
  readonly #client: JoinedClient;
  readonly #audience: Audience;
  readonly #facts: ParticipantFacts;
  readonly #input = new TerminalInput();
  readonly #keys: CommandKeys;
  #timer: NodeJS.Timeout;
  #escape: NodeJS.Timeout | undefined;
  #terminal: Terminal | null = null;
  #expiry: NodeJS.Timeout | undefined;
  #participant: Participant | null = null;
  #keepalive: Keepalive | null = null;
  /** A peer's input that the session has not taken yet. */
  #typed: Buffer[] = [];
  #over = false;

  readonly #prove: ParticipantLink['prove'];

  /** `forMs`: remaining lifetime of the invitation; null if roles permit joining. */
  constructor(client: JoinedClient, audience: Audience, facts: ParticipantFacts, forMs: number | null, prove: ParticipantLink['prove']) {
    this.#prove = prove;
    this.#client = client;
    this.#audience = audience;
    this.#facts = facts;
    this.#keys = new CommandKeys(facts.mode);
    this.#timer = setTimeout(() => this.end(new StenoError('JOIN_TERMINAL')), SILENCE_MS);
    if (forMs !== null) this.#expiry = setTimeout(() => this.end(new StenoError('SESSION_INVITATION_OVER', 'its time is over')), forMs);
  }

  message(payload: Buffer): void {
    this.#keepalive?.heard();
    const reader = new SshReader(payload, 'BAD_REQUEST');
    switch (reader.byte('the type')) {
      case MSG.globalRequest:
        reader.string('the request');
        if (reader.byte('the flag') !== 0) this.#client.send(message.requestFailure());
        return;
      case MSG.channelOpen:
        return this.#open(reader);
      case MSG.channelRequest:
        if (this.#isOurs(reader)) this.#request(reader);
        return;
      case MSG.channelData:
        if (this.#isOurs(reader)) this.#take(dataOf(payload, 5));
        return;
      case MSG.channelWindowAdjust:
        if (!this.#isOurs(reader)) return;
        this.#terminal!.window = Math.min(0xffff_ffff, this.#terminal!.window + reader.uint32('the bytes'));
        return this.#participant?.flush();
      case MSG.channelClose:
        if (!this.#isOurs(reader)) return;
        this.#close([], true);
        return this.#client.end();
      default:
    }
  }

  drained(): void {
    this.#participant?.flush();
  }

  /** The client has disconnected. */
  closed(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#expiry);
    clearTimeout(this.#escape);
    this.#keepalive?.stop();
    this.#over = true;
    if (this.#participant !== null) this.#audience.leave(this.#participant, null);
  }

  /** Applies the participant's changed roles. */
  changed(roles: readonly string[]): void {
    if (this.#participant !== null) this.#audience.changed(this.#participant, roles);
  }

  /** Ends the participation because of a lock, changed roles, or the gateway's shutdown. */
  end(error: StenoError): void {
    const lines = explainError(error);
    if (this.#participant !== null) this.#audience.leave(this.#participant, { lines, ok: false }, error.code);
    else this.#close(lines, false);
  }

  #isOurs(reader: SshReader): boolean {
    return reader.uint32('the channel') === OWN_ID && this.#terminal !== null && !this.#terminal.closed;
  }

  #open(reader: SshReader): void {
    const type = reader.utf8('the channel type', 64);
    const clientId = reader.uint32('the channel');
    const window = reader.uint32('the window');
    const packet = Math.max(1, Math.min(MAX_OUTPUT_PACKET, reader.uint32('the packet size')));
    if (type !== 'session' || this.#terminal !== null || this.#over)
      return this.#client.send(
        message.openFailure(clientId, OPEN_REFUSED.prohibited, 'steno: who joins a session has one terminal and nothing else'),
      );
    this.#terminal = { clientId, window, packet, size: null, goesBack: false, closed: false };
    this.#client.send(message.openConfirmation(clientId, OWN_ID, WINDOW, MAX_PACKET));
  }

  #request(reader: SshReader): void {
    const terminal = this.#terminal!;
    const name = reader.utf8('the request', 64);
    const reply = reader.byte('the flag') !== 0;
    let known = true;
    switch (name) {
      case 'pty-req':
        reader.string('the terminal', 256);
        terminal.size = sizeOf(reader);
        break;
      case 'window-change':
        if (terminal.size !== null) terminal.size = sizeOf(reader);
        if (this.#participant !== null) this.#audience.command(this.#participant, 'redraw');
        break;
      case 'env':
        this.#variable(terminal, reader);
        break;
      case 'shell':
        if (reply) this.#client.send(message.success(terminal.clientId));
        return this.#join(terminal);
      case 'exec':
      case 'subsystem':
        if (reply) this.#client.send(message.success(terminal.clientId));
        return this.end(new StenoError('JOIN_TERMINAL', 'a session is joined without a command'));
      default:
        known = false;
    }
    if (reply) this.#client.send(known ? message.success(terminal.clientId) : message.failure(terminal.clientId));
  }

  /** Handles VIEW_VARIABLE; any other variable is accepted and ignored. */
  #variable(terminal: Terminal, reader: SshReader): void {
    const name = reader.string('the variable', MAX_PACKET);
    const value = reader.string('its value', MAX_PACKET);
    if (Buffer.from(name).toString('latin1') !== VIEW_VARIABLE) return;
    terminal.goesBack = true;
    const [, cols, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(Buffer.from(value).toString('latin1')) ?? [];
    if (cols !== undefined) this.#sized(Number(cols), Number(rows));
  }

  /** Sets the size of the participant's terminal, which affects nobody else. */
  #sized(cols: number, rows: number): void {
    const terminal = this.#terminal;
    if (terminal === null || terminal.size === null) return;
    const size = { cols: clampSize(cols, 80), rows: clampSize(rows, 24) };
    if (size.cols === terminal.size.cols && size.rows === terminal.size.rows) return;
    terminal.size = size;
    if (this.#participant !== null) this.#audience.command(this.#participant, 'redraw');
  }

  #join(terminal: Terminal): void {
    if (this.#participant !== null || this.#over) return;
    const { size } = terminal;
    if (size === null) return this.end(new StenoError('JOIN_TERMINAL'));
    clearTimeout(this.#timer);
    try {
      const participant = this.#audience.join(this.#facts, this.#linkTo(terminal));
      this.#participant = participant;
      this.#keepalive = new Keepalive(realTimers, {
        ask: () => {
          if (!terminal.closed && !this.#client.closed) this.#client.send(message.keepalive(terminal.clientId));
        },
        silent: (is) => this.#audience.silent(participant, is),
      });
    } catch (error) {
      this.end(asStenoError(error));
    }
  }

  #linkTo(terminal: Terminal): ParticipantLink {
    const client = this.#client;
    return {
      get size() {
        return terminal.size!;
      },
      get goesBack() {
        return terminal.goesBack;
      },
      get room() {
        return terminal.closed || client.congested ? 0 : Math.min(terminal.window, terminal.packet);
      },
      send: (bytes) => {
        terminal.window -= bytes.length;
        client.sendParts(9 + bytes.length, (packet, at) => {
          packet[at] = MSG.channelData;
          packet.writeUInt32BE(terminal.clientId, at + 1);
          packet.writeUInt32BE(bytes.length, at + 5);
          packet.set(bytes, at + 9);
        });
      },
      close: (lines, ok) => this.#close(lines, ok),
      ...(this.#prove === undefined ? {} : { prove: this.#prove }),
    };
  }

  #take(bytes: Buffer): void {
    const participant = this.#participant;
    if (participant === null || this.#over) return this.#taken(bytes.length);
    clearTimeout(this.#escape);
    const tokens = this.#input.push(bytes);
    for (const token of tokens) if (token.kind === 'size') this.#sized(token.cols, token.rows);
    const did = this.#keys.take(tokens);
    const before = this.#typedBytes();
    for (const what of did) this.#do(participant, what);
    // Window for waiting input is granted again once the input is taken.
    this.#taken(Math.max(0, bytes.length - (this.#typedBytes() - before)));
    if (this.#input.waiting)
      this.#escape = setTimeout(() => {
        for (const what of this.#keys.take(this.#input.flush())) this.#do(participant, what);
      }, ESCAPE_MS);
  }

  #do(participant: Participant, what: ReturnType<CommandKeys['take']>[number]): void {
    if (participant.gone) return;
    if (typeof what === 'string') return this.#audience.command(participant, what);
    if (!('typed' in what)) return void this.#audience.did(participant, what, () => undefined);
    if (this.#typed.length > 0) return void this.#typed.push(Buffer.from(what.typed));
    this.#typed.push(Buffer.from(what.typed));
    this.#type(participant);
  }

  /** Returns how many bytes of waiting input were taken. */
  #type(participant: Participant): number {
    let all = 0;
    while (this.#typed.length > 0 && !participant.gone) {
      const first = this.#typed[0]!;
      const taken = this.#audience.type(participant, first, () => this.#taken(this.#type(participant)));
      all += taken;
      if (taken < first.length) {
        this.#typed[0] = first.subarray(taken);
        if (taken === 0) break;
      } else this.#typed.shift();
    }
    return all;
  }

  #typedBytes(): number {
    return this.#typed.reduce((sum, { length }) => sum + length, 0);
  }

  #taken(bytes: number): void {
    if (bytes > 0 && this.#terminal !== null && !this.#terminal.closed && !this.#client.closed)
      this.#client.send(message.windowAdjust(this.#terminal.clientId, bytes));
  }

  #close(lines: readonly string[], ok: boolean): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#expiry);
    clearTimeout(this.#escape);
    this.#keepalive?.stop();
    const { participant, terminal } = { participant: this.#participant, terminal: this.#terminal };
    if (terminal === null) return this.#client.disconnect(DISCONNECT.byApplication, lines.join(' '));
    if (terminal.closed) return;
    terminal.closed = true;
    const text = lastWords(lines, participant !== null, terminal.size).subarray(0, terminal.window);
    if (text.length > 0) this.#client.send(message.data(terminal.clientId, text));
    this.#client.send(message.exitStatus(terminal.clientId, ok ? 0 : 255));
    this.#client.send(message.eof(terminal.clientId));
    this.#client.send(message.close(terminal.clientId));
    this.#timer = setTimeout(() => this.#client.disconnect(DISCONNECT.byApplication, lines.join(' ')), LAST_MESSAGES_MS);
  }
}

/** Restores the participant's terminal as a full-screen program does on exit: modes reset, last messages below the screen's content. */
function lastWords(lines: readonly string[], joined: boolean, size: Terminal['size']): Buffer {
  if (lines.length === 0) return Buffer.alloc(0);
  const leave = joined ? `${LEAVE_MODES}\x1b[${size?.rows ?? 24};1H\r\n` : '\r\n';
  return Buffer.from(`${leave}${lines.join('\r\n')}\r\n`);
}

function sizeOf(reader: SshReader): { cols: number; rows: number } {
  return { cols: clampSize(reader.uint32('the columns'), 80), rows: clampSize(reader.uint32('the rows'), 24) };
}
