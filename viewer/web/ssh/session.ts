/**
 * One shell on a node: authentication by certificate (RFC 4252, OpenSSH PROTOCOL.certkeys), then a session channel with a terminal
 * (RFC 4254 section 6), and additional channels for subsystems such as sftp, which end with the shell.
 *
 *     securing ──keys──► asking ──SERVICE_ACCEPT──► authenticating ──SUCCESS──► opening ──CONFIRMATION──► starting ──► running
 *         └────────────────┴── refused ──┴───────────────┴── exit, CLOSE, DISCONNECT, cut off ──┴────────────────► over
 *
 * The signature names the host certificate as well (`publickey-hostbound-v00@openssh.com`), so that it is useless at any other server.
 * A gateway that requires a second factor sends a banner and answers later. Windows and bounds: channel.ts. At most `MAX_CHANNELS`
 * channels. Tested in test/end-to-end/page-ssh.test.ts against OpenSSH, and in terminal.test.ts beside it against a gateway.
 */
import { StenoError } from '#schemas/base/errors.js';
import { certificateType } from '#schemas/ssh/certificate.js';
import { isSessionId } from '#schemas/recording/line.js';
import { RECONNECT_REQUEST, SESSION_REQUEST } from '#schemas/ssh/page-client.js';
import { userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { SECRET_BYTES } from '#schemas/terminal/frames.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { Channel } from './channel.js';
import type { ChannelEvents } from './channel.js';
import type { HostTrust } from './key-exchange.js';
import { Transport } from './transport.js';
import type { ByteStream, DisconnectedBy } from './transport.js';
import type { UserKey } from './web-crypto.js';

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

export interface SessionTerms {
  /** `login@node` at a gateway. */
  readonly userName: string;
  readonly key: UserKey;
  /** Blob of the user certificate for `key`. */
  readonly certificate: Uint8Array;
  readonly trust: HostTrust;
  readonly size: Size;
}

export type End =
  /** The shell ended. */
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'signal'; readonly name: string }
  /** The connection closed without giving a reason. */
  | { readonly kind: 'closed' }
  | DisconnectedBy
  /** Not admitted; the banner before it gave the reason. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'failed'; readonly error: StenoError }
  /** Closed by this side. */
  | { readonly kind: 'left' };

export interface SessionEvents {
  /** Text that the gateway sends before it admits the user, unmodified: hostile until sanitized for display. */
  banner(text: string): void;
  /** The shell is running. */
  started(): void;
  /** `drawn`: call it once these bytes are shown; only then may as many more come. */
  output(bytes: Uint8Array, drawn: () => void): void;
  /** The id of the recording. */
  recording(id: string): void;
  /** How to resume this connection over another network; called again when roles change. */
  reconnect(ticket: { readonly id: string; readonly secret: Uint8Array; readonly seconds: number }): void;
  /** Called once; no event follows. */
  ended(end: End): void;
}

export interface SubsystemEvents {
  /** From now on, bytes sent are read. Also called if the gateway then ends the subsystem with a reason. */
  started(): void;
  /** `taken`: call it once these bytes are processed; only then may as many more come. */
  data(bytes: Uint8Array, taken: () => void): void;
  /** Text on standard error, such as messages of the gateway: hostile until sanitized for display. */
  said(bytes: Uint8Array): void;
  /** Called once, unless this side closed it; no event follows. `why`: the reason of a refusal, also hostile; otherwise ''. */
  ended(why: string): void;
}

export interface Subsystem {
  /** False: too much is already waiting, and none of these bytes were taken. */
  send(bytes: Uint8Array): boolean;
  close(): void;
}

/** The shell's channel and those of subsystems; the gateway treats each subsystem as a session of its own. */
const MAX_CHANNELS = 8;
/** Bytes of input held before the shell's channel is open. */
const MAX_EARLY = 16 << 20;
const MAX_BANNER = 16 * 1024;
const MAX_BANNERS = 16;
/** In cells; no browser window has a larger terminal. */
const MAX_CELLS = 1_000;
const TERM = 'xterm-256color';

type Stage = 'securing' | 'asking' | 'authenticating' | 'opening' | 'starting' | 'running' | 'over';

export class SshSession {
  readonly #terms: SessionTerms;
  readonly #events: SessionEvents;
  readonly #transport: Transport;
  #stage: Stage = 'securing';
  #size: Size;
  #banners = 0;
  /** By our channel number, which is never reused. */
  readonly #channels = new Map<number, Channel>();
  #next = 0;
  #shell: Channel | null = null;
  /** Answers outstanding, in order: to `pty-req`, then to `shell`. */
  #asked: ('terminal' | 'shell')[] = [];
  #how: End | null = null;
  /** Input typed before the shell is running. */
  readonly #early: Uint8Array[] = [];
  #earlyBytes = 0;
  readonly #subsystems = new Set<() => void>();

  constructor(stream: ByteStream, terms: SessionTerms, events: SessionEvents) {
    this.#terms = terms;
    this.#events = events;
    this.#size = bounded(terms.size);
    this.#transport = new Transport(stream, terms.trust, {
      secured: () => {
        this.#stage = 'asking';
        this.#transport.send(new SshWriter().byte(MSG.serviceRequest).utf8('ssh-userauth').bytes());
      },
      message: (payload) => this.#message(payload),
      closed: (why) => this.#over(why === null ? { kind: 'left' } : why instanceof StenoError ? { kind: 'failed', error: why } : why),
    });
  }

  start(): Promise<void> {
    return this.#transport.start();
  }

  receive(bytes: Uint8Array): void {
    this.#transport.receive(bytes);
  }

  /** The byte stream has ended. */
  ended(why: StenoError): void {
    this.#transport.ended(why);
  }

  /**
   * Sends typed or pasted input; it waits until the shell is running. False: too much is already waiting, and none of these bytes were
   * taken.
   */
  input(bytes: Uint8Array): boolean {
    if (this.#stage === 'over') return true;
    if (this.#shell !== null) return this.#shell.write(bytes);
    if (this.#earlyBytes + bytes.length > MAX_EARLY) return false;
    this.#earlyBytes += bytes.length;
    this.#early.push(bytes);
    return true;
  }

  resize(size: Size): void {
    this.#size = bounded(size);
    if (this.#stage !== 'running' && this.#stage !== 'starting') return;
    const { cols, rows } = this.#size;
    this.#shell?.request('window-change', false, (writer) => writer.uint32(cols).uint32(rows).uint32(0).uint32(0));
  }

  /** Starts a subsystem on a channel of its own. Null: no shell is running, or there are too many subsystems. */
  subsystem(name: string, events: SubsystemEvents): Subsystem | null {
    if (this.#stage !== 'running' || this.#channels.size >= MAX_CHANNELS) return null;
    let over = false;
    const end = (why: string): void => {
      if (over) return;
      over = true;
      this.#subsystems.delete(cutOff);
      events.ended(why);
    };
    const cutOff = (): void => end('');
    this.#subsystems.add(cutOff);
    const channel = this.#open({
      opened: () => channel.request('subsystem', true, (writer) => writer.utf8(name)),
      notOpened: (_code, text) => end(text),
      data: (bytes, extended, taken) => {
        if (!extended) return events.data(bytes, taken);
        events.said(bytes);
        taken();
      },
      answered: (success) => {
        if (!success) {
          channel.close();
          return end(`the node offers no ${name}`);
        }
        channel.flow();
        events.started();
      },
      requested: () => undefined,
      closed: () => end(''),
    });
    return {
      send: (bytes) => channel.write(bytes),
      close: () => {
        over = true;
        this.#subsystems.delete(cutOff);
        channel.close();
      },
    };
  }

  /** Starts a key re-exchange. */
  rekey(): void {
    this.#transport.rekey();
  }

  /** Leaves; the gateway then ends the shell. */
  close(): void {
    this.#transport.disconnect(DISCONNECT.byApplication, '');
  }

  async #message(payload: Uint8Array): Promise<void> {
    const reader = new SshReader(payload, 'SSH_PROTOCOL');
    const type = reader.byte('the type');
    switch (this.#stage) {
      case 'asking':
        if (type !== MSG.serviceAccept) break;
        this.#stage = 'authenticating';
        return this.#authenticate();
      case 'authenticating':
        if (type === MSG.userauthBanner) return this.#banner(reader);
        if (type === MSG.userauthFailure) return this.#leave({ kind: 'refused' });
        if (type !== MSG.userauthSuccess) break;
        this.#stage = 'opening';
        return this.#openShell();
      case 'opening':
      case 'starting':
      case 'running':
        if (type === MSG.globalRequest) return this.#global(reader);
        if (type === MSG.channelOpen) return this.#refuseChannel(reader);
        if (type > MSG.channelOpen && type <= MSG.channelFailure) return this.#onChannel(type, reader);
        break;
      default:
        return;
    }
    throw new StenoError('SSH_PROTOCOL', `message ${type} while ${this.#stage}`);
  }

  async #authenticate(): Promise<void> {
    const { userName, key, certificate } = this.#terms;
    const request = userAuthRequest({
      userName,
      algorithm: certificateType(key.type),
      publicKey: certificate,
      hostKey: this.#transport.hostKey,
    });
    const signature = await key.sign(userAuthData(this.#transport.sessionId, request));
    this.#transport.send(new SshWriter().raw(request).string(signature).bytes());
  }

  #banner(reader: SshReader): void {
    this.#banners += 1;
    if (this.#banners > MAX_BANNERS) reader.fail('it sends too many banners');
    this.#events.banner(new TextDecoder().decode(reader.string('the banner', MAX_BANNER)));
  }

  #open(events: ChannelEvents): Channel {
    const id = this.#next;
    this.#next += 1;
    const channel = new Channel(id, (payload) => this.#transport.send(payload), events);
    this.#channels.set(id, channel);
    return channel;
  }

  #onChannel(type: number, reader: SshReader): void {
    const id = reader.uint32('the channel');
    const channel = this.#channels.get(id) ?? reader.fail('there is no such channel');
    channel.message(type, reader);
    if (channel.over) this.#channels.delete(id);
  }

  #openShell(): void {
    const shell = this.#open({
      opened: () => {
        this.#stage = 'starting';
        const { cols, rows } = this.#size;
        this.#asked = ['terminal', 'shell'];
        // No terminal modes: the node's terminal keeps its defaults, as for an ssh client without a terminal.
        shell.request('pty-req', true, (writer) =>
          writer.utf8(TERM).uint32(cols).uint32(rows).uint32(0).uint32(0).string(Uint8Array.of(0)),
        );
        shell.request('shell', true);
      },
      notOpened: (code, text) => this.#leave({ kind: 'disconnected', code, text }),
      data: (bytes, _extended, taken) => this.#events.output(bytes, taken),
      answered: (success) => this.#answered(shell, success),
      requested: (name, reader) => this.#requested(name, reader),
      closed: () => this.#leave(this.#how ?? { kind: 'closed' }),
    });
    this.#shell = shell;
    for (const bytes of this.#early.splice(0)) shell.write(bytes);
  }

  #requested(name: string, reader: SshReader): void {
    if (name === 'exit-status') this.#how = { kind: 'exit', status: reader.uint32('the status') };
    else if (name === 'exit-signal') this.#how = { kind: 'signal', name: reader.utf8('the signal', 64) };
    else if (name === SESSION_REQUEST) {
      const id = reader.utf8('the session', 64);
      if (isSessionId(id)) this.#events.recording(id);
    }
  }

  #answered(shell: Channel, success: boolean): void {
    const what = this.#asked.shift();
    if (what === undefined) throw new StenoError('SSH_PROTOCOL', 'it answers what was not asked');
    if (!success) return this.#leave({ kind: 'failed', error: new StenoError('NODE_REFUSED', `it gives no ${what}`) });
    if (what === 'terminal') return;
    this.#stage = 'running';
    this.#events.started();
    shell.flow();
  }

  #global(reader: SshReader): void {
    const name = reader.utf8('the request', 128);
    if (reader.byte('the flag') !== 0) this.#transport.send(Uint8Array.of(MSG.requestFailure));
    if (name === RECONNECT_REQUEST)
      this.#events.reconnect({
        id: reader.utf8('the name', 96),
        secret: reader.string('the secret', SECRET_BYTES).slice(),
        seconds: reader.uint32('the time'),
      });
  }

  #refuseChannel(reader: SshReader): void {
    reader.utf8('the channel type', 128);
    const id = reader.uint32('its channel');
    this.#transport.send(
      new SshWriter().byte(MSG.channelOpenFailure).uint32(id).uint32(OPEN_REFUSED.prohibited).utf8('not in a browser').utf8('').bytes(),
    );
  }

  #leave(how: End): void {
    this.#how = how;
    this.#transport.disconnect(DISCONNECT.byApplication, '');
  }

  #over(end: End): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    this.#early.length = 0;
    for (const cutOff of this.#subsystems) cutOff();
    // The shell's exit takes precedence over the end of the connection, unless the gateway gives a reason for the latter.
    const told = end.kind === 'disconnected' && end.text !== '';
    this.#events.ended(told ? end : (this.#how ?? end));
  }
}

function bounded({ cols, rows }: Size): Size {
  const cells = (count: number): number => Math.min(MAX_CELLS, Math.max(1, Math.floor(count)));
  return { cols: cells(cols), rows: cells(rows) };
}
