/**
 * One shell on a node: authentication by certificate (RFC 4252, OpenSSH PROTOCOL.certkeys), then one session channel with a
 * terminal (RFC 4254 section 6).
 *
 *     securing ──keys──► asking ──SERVICE_ACCEPT──► authenticating ──SUCCESS──► opening ──CONFIRMATION──► starting ──► running
 *         └────────────────┴── refused ──┴───────────────┴── exit, CLOSE, DISCONNECT, cut off ──┴────────────────► over
 *
 * The signature names the host certificate as well (`publickey-hostbound-v00@openssh.com`), so that it is of use at no other
 * server. A gateway that wants a second factor sends a banner and answers later. Windows: the other side may have `WINDOW` bytes
 * on their way, and gets room again when the terminal has drawn what came; input waits for room at the other side, at most
 * `MAX_INPUT` bytes. Tested in test/end-to-end/page-ssh.test.ts against OpenSSH, and in terminal.test.ts beside it against a
 * gateway.
 */
import { StenoError } from '#schemas/base/errors.js';
import { certificateType } from '#schemas/ssh/certificate.js';
import { isSessionId } from '#schemas/recording/line.js';
import { SESSION_REQUEST } from '#schemas/ssh/page-client.js';
import { userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
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
  /** Nothing said how. */
  | { readonly kind: 'closed' }
  | DisconnectedBy
  /** Not admitted; the banner before has said why. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'failed'; readonly error: StenoError }
  /** By this side. */
  | { readonly kind: 'left' };

export interface SessionEvents {
  /** Text of the gateway before anybody is admitted, as it came: hostile until shown to be harmless. */
  banner(text: string): void;
  /** The shell runs. */
  started(): void;
  /** `drawn`: to be called once these bytes are shown; only then may as many more come. */
  output(bytes: Uint8Array, drawn: () => void): void;
  /** The id of the recording. */
  recording(id: string): void;
  /** Called once; no event follows. */
  ended(end: End): void;
}

const CHANNEL = 0;
/** Bytes of output on their way, and of one message of it. */
export const WINDOW = 1 << 20;
const MAX_DATA = 32 * 1024;
/** The window is widened when this much of it was drawn. */
const WIDEN = WINDOW / 4;
/** Bytes of a paste that wait. */
const MAX_INPUT = 16 << 20;
const MAX_BANNER = 16 * 1024;
const MAX_BANNERS = 16;
/** Cells; a terminal beyond that is no window of a browser. */
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
  #remoteId = 0;
  /** Bytes that the other side accepts, and how many in one message. */
  #room = 0;
  #packet = 0;
  /** Bytes that the other side may still send, and those drawn that it was not told of. */
  #window = WINDOW;
  #drawn = 0;
  readonly #input: Uint8Array[] = [];
  #inputBytes = 0;
  /** Answers outstanding, in order: to `pty-req`, then to `shell`. */
  #asked: ('terminal' | 'shell')[] = [];
  #how: End | null = null;

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

  /** The stream is over. */
  ended(why: StenoError): void {
    this.#transport.ended(why);
  }

  /** What was typed or pasted; before the shell runs it waits. False: too much waits already, and none of it was taken. */
  input(bytes: Uint8Array): boolean {
    if (this.#stage === 'over') return true;
    if (this.#inputBytes + bytes.length > MAX_INPUT) return false;
    this.#input.push(bytes);
    this.#inputBytes += bytes.length;
    this.#sendInput();
    return true;
  }

  resize(size: Size): void {
    this.#size = bounded(size);
    if (this.#stage !== 'running' && this.#stage !== 'starting') return;
    const { cols, rows } = this.#size;
    this.#request('window-change', false, (writer) => writer.uint32(cols).uint32(rows).uint32(0).uint32(0));
  }

  /** New keys, now. */
  rekey(): void {
    this.#transport.rekey();
  }

  /** Leaves: the gateway ends the shell. */
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
        return this.#transport.send(
          new SshWriter().byte(MSG.channelOpen).utf8('session').uint32(CHANNEL).uint32(WINDOW).uint32(MAX_DATA).bytes(),
        );
      case 'opening':
        if (type === MSG.globalRequest) return this.#global(reader);
        if (type === MSG.channelOpenFailure) return this.#notOpened(reader);
        if (type !== MSG.channelOpenConfirmation) break;
        return this.#opened(reader);
      case 'starting':
      case 'running':
        if (type === MSG.globalRequest) return this.#global(reader);
        if (type === MSG.channelOpen) return this.#refuseChannel(reader);
        if (type > MSG.channelOpenFailure && type <= MSG.channelFailure) return this.#onChannel(type, reader);
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

  #opened(reader: SshReader): void {
    if (reader.uint32('the channel') !== CHANNEL) reader.fail('it opens another channel than was asked for');
    this.#remoteId = reader.uint32('its channel');
    this.#room = reader.uint32('its window');
    this.#packet = Math.min(reader.uint32('its packet size'), MAX_DATA);
    if (this.#packet < 1) reader.fail('it takes no data');
    this.#stage = 'starting';
    const { cols, rows } = this.#size;
    this.#asked = ['terminal', 'shell'];
    // No modes: the terminal of the node keeps its defaults, as ssh does without a terminal of its own.
    this.#request('pty-req', true, (writer) => writer.utf8(TERM).uint32(cols).uint32(rows).uint32(0).uint32(0).string(Uint8Array.of(0)));
    this.#request('shell', true, (writer) => writer);
  }

  #notOpened(reader: SshReader): void {
    reader.uint32('the channel');
    const code = reader.uint32('the reason');
    const text = new TextDecoder().decode(reader.string('the text', 4096));
    this.#leave({ kind: 'disconnected', code, text });
  }

  #onChannel(type: number, reader: SshReader): void {
    if (reader.uint32('the channel') !== CHANNEL) reader.fail('there is no such channel');
    switch (type) {
      case MSG.channelData:
        return this.#output(reader);
      case MSG.channelExtendedData:
        reader.uint32('the kind of data');
        return this.#output(reader);
      case MSG.channelWindowAdjust:
        // RFC 4254 section 5.2: at most 2^32 - 1.
        this.#room = Math.min(this.#room + reader.uint32('the window'), 0xffff_ffff);
        return this.#sendInput();
      case MSG.channelRequest:
        return this.#requested(reader);
      case MSG.channelSuccess:
      case MSG.channelFailure:
        return this.#answered(type === MSG.channelSuccess);
      case MSG.channelEof:
        return;
      case MSG.channelClose:
        this.#transport.send(new SshWriter().byte(MSG.channelClose).uint32(this.#remoteId).bytes());
        return this.#leave(this.#how ?? { kind: 'closed' });
      default:
        reader.fail(`message ${type} is none of a channel`);
    }
  }

  #output(reader: SshReader): void {
    const bytes = reader.string('the data', MAX_DATA);
    reader.end('the data');
    this.#window -= bytes.length;
    if (this.#window < 0) reader.fail('it sends more than the window holds');
    if (bytes.length === 0) return;
    let counted = false;
    this.#events.output(bytes, () => {
      if (counted || this.#stage === 'over') return;
      counted = true;
      this.#drawn += bytes.length;
      if (this.#drawn < WIDEN) return;
      this.#window += this.#drawn;
      this.#transport.send(new SshWriter().byte(MSG.channelWindowAdjust).uint32(this.#remoteId).uint32(this.#drawn).bytes());
      this.#drawn = 0;
    });
  }

  #requested(reader: SshReader): void {
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    if (name === 'exit-status') this.#how = { kind: 'exit', status: reader.uint32('the status') };
    else if (name === 'exit-signal') this.#how = { kind: 'signal', name: reader.utf8('the signal', 64) };
    else if (name === SESSION_REQUEST) {
      const id = reader.utf8('the session', 64);
      if (isSessionId(id)) this.#events.recording(id);
    }
    // `keepalive@openssh.com` and whatever else wants an answer: RFC 4254 section 5.4.
    if (wantsReply) this.#transport.send(new SshWriter().byte(MSG.channelFailure).uint32(this.#remoteId).bytes());
  }

  #answered(success: boolean): void {
    const what = this.#asked.shift();
    if (what === undefined) throw new StenoError('SSH_PROTOCOL', 'it answers what was not asked');
    if (!success) return this.#leave({ kind: 'failed', error: new StenoError('NODE_REFUSED', `it gives no ${what}`) });
    if (what === 'terminal') return;
    this.#stage = 'running';
    this.#events.started();
    this.#sendInput();
  }

  #global(reader: SshReader): void {
    reader.utf8('the request', 128);
    if (reader.byte('the flag') !== 0) this.#transport.send(Uint8Array.of(MSG.requestFailure));
  }

  #refuseChannel(reader: SshReader): void {
    reader.utf8('the channel type', 128);
    const id = reader.uint32('its channel');
    this.#transport.send(
      new SshWriter().byte(MSG.channelOpenFailure).uint32(id).uint32(OPEN_REFUSED.prohibited).utf8('not in a browser').utf8('').bytes(),
    );
  }

  #sendInput(): void {
    while (this.#stage === 'running' && this.#room > 0 && this.#input.length > 0) {
      const first = this.#input[0]!;
      const piece = first.subarray(0, Math.min(first.length, this.#room, this.#packet));
      if (piece.length === first.length) this.#input.shift();
      else this.#input[0] = first.subarray(piece.length);
      this.#inputBytes -= piece.length;
      this.#room -= piece.length;
      this.#transport.send(new SshWriter().byte(MSG.channelData).uint32(this.#remoteId).string(piece).bytes());
    }
  }

  #request(name: string, wantsReply: boolean, fields: (writer: SshWriter) => SshWriter): void {
    const writer = new SshWriter()
      .byte(MSG.channelRequest)
      .uint32(this.#remoteId)
      .utf8(name)
      .byte(wantsReply ? 1 : 0);
    this.#transport.send(fields(writer).bytes());
  }

  #leave(how: End): void {
    this.#how = how;
    this.#transport.disconnect(DISCONNECT.byApplication, '');
  }

  #over(end: End): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    this.#input.length = 0;
    // How the shell ended counts for more than how the connection did, unless the gateway says why it ended that.
    const told = end.kind === 'disconnected' && end.text !== '';
    this.#events.ended(told ? end : (this.#how ?? end));
  }
}

function bounded({ cols, rows }: Size): Size {
  const cells = (count: number): number => Math.min(MAX_CELLS, Math.max(1, Math.floor(count)));
  return { cols: cells(cols), rows: cells(rows) };
}
