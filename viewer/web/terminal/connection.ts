/**
 * Opens a terminal: a key, a certificate for it, a WebSocket, and SSH over that.
 *
 *     connecting ──the gateway wants a second factor──► confirming ──confirmed elsewhere──┐
 *         └──admitted──────────────────────────────────────────────────────────────────► running ──► ended
 *         │                                                              network lost, back ◄──┴──► away ──► ended
 *         └──refused, unreachable, left──────────────────────────────────────────────────────────────► ended
 *
 * Tested in end.test.ts, and in Chromium in test/end-to-end/terminal.test.ts.
 */
import { openTerminal } from '#schemas/api/front/terminal.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import { LastWords } from '../ssh/gateway-words.js';
import { SshSession } from '../ssh/session.js';
import type { Size, Subsystem, SubsystemEvents } from '../ssh/session.js';
import { hasCrypto, newUserKey } from '../ssh/web-crypto.js';
import { confirmationIn, wordsOf } from './end.js';
import type { Ending } from './end.js';
import { TerminalLink } from './link.js';
import type { LinkEnvironment } from './link.js';

export type TerminalState =
  | { readonly kind: 'connecting' }
  /** `token`: the token of the confirmation page. */
  | { readonly kind: 'confirming'; readonly token: string }
  | { readonly kind: 'running' }
  /** The network is lost, and the session is waiting. */
  | { readonly kind: 'away' }
  | ({ readonly kind: 'ended' } & Ending);

export interface Place {
  readonly node: string;
  readonly login: string;
}

export interface ConnectionEvents {
  state(state: TerminalState): void;
  output(bytes: Uint8Array, drawn: () => void): void;
  recording(id: string): void;
}

export interface Connection {
  /**
   * For `full` and `away`, none of the input was taken: too much is already waiting, or the network is lost and the input would run
   * late.
   */
  input(bytes: Uint8Array): 'taken' | 'full' | 'away';
  resize(size: Size): void;
  /** Null: no shell is running, or there are too many subsystems. */
  readonly subsystem: (name: string, events: SubsystemEvents) => Subsystem | null;
  close(): void;
}

export function connect(place: Place, size: Size, events: ConnectionEvents): Connection {
  let session: SshSession | undefined;
  let latest = size;
  let over = false;
  let ran = false;
  let away = false;
  let banner = '';
  const lastWords = new LastWords();
  const end = (ending: Ending): void => {
    if (over) return;
    over = true;
    events.state({ kind: 'ended', ...ending });
  };
  const open = async (): Promise<void> => {
    if (!hasCrypto())
      return end({
        good: false,
        what: 'This browser has no cryptography for pages at this address',
        fix: 'Open Steno by https, or on localhost.',
      });
    const key = await newUserKey();
    const { certificate, gateway_principal, ssh_host_ca } = await ask('POST /api/terminal/certificate', {
      body: { public_key: formatPublicLine(key.publicBlob), ...place },
    });
    if (over) return;
    const opened = new SshSession(
      { send: (bytes) => link.send(bytes), close: () => link.close() },
      {
        userName: `${place.login}@${place.node}`,
        key,
        certificate: parseAuthorizedLine(certificate).blob,
        trust: { cas: ssh_host_ca, principal: gateway_principal, now: Date.now },
        size: latest,
      },
      {
        banner: (text) => {
          banner = text;
          const token = confirmationIn(text);
          if (token !== null && !over) events.state({ kind: 'confirming', token });
        },
        started: () => {
          ran = true;
          if (!over) events.state({ kind: 'running' });
          opened.resize(latest);
        },
        output: (bytes, drawn) => {
          lastWords.take(bytes);
          events.output(bytes, drawn);
        },
        recording: (id) => events.recording(id),
        reconnect: (ticket) => link.ticket(ticket),
        ended: (how) => end(wordsOf(how, { banner, last: lastWords.text, ran })),
      },
    );
    session = opened;
    const link = new TerminalLink(browser, {
      opened: () => void opened.start(),
      bytes: (bytes) => opened.receive(bytes),
      away: () => {
        away = true;
        if (ran && !over) events.state({ kind: 'away' });
      },
      back: () => {
        away = false;
        if (ran && !over) events.state({ kind: 'running' });
      },
      ended: (why) => opened.ended(why),
    });
  };
  events.state({ kind: 'connecting' });
  open().catch((error: unknown) =>
    end(
      error instanceof ApiFailure || error instanceof StenoError
        ? wordsOf({ kind: 'failed', error }, { banner, last: '', ran })
        : { good: false, what: 'The terminal could not be opened', fix: error instanceof Error ? error.message : '' },
    ),
  );
  return {
    input: (bytes) => (away ? 'away' : (session?.input(bytes) ?? true) ? 'taken' : 'full'),
    resize(next) {
      latest = next;
      session?.resize(next);
    },
    subsystem: (name, told) => session?.subsystem(name, told) ?? null,
    close() {
      session?.close();
      end({ good: true, what: 'You closed this terminal', fix: '' });
    },
  };
}

const browser: LinkEnvironment = {
  open: (resume) =>
    new WebSocket(
      `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${openTerminal.path}?${new URLSearchParams({ resume })}`,
    ),
  onOnline: (callback) => listening('online', callback),
  onLeave: (callback) => listening('pagehide', callback),
  async refused() {
    try {
      await ask('GET /api/me', {});
      return null;
    } catch (error) {
      // Signed out or locked; any other refusal may be temporary.
      const { code = '', detail } = error instanceof ApiFailure ? error : {};
      return code === 'LOCKED' || code === 'NOT_SIGNED_IN' ? new StenoError(code, detail) : null;
    }
  },
};

function listening(event: 'online' | 'pagehide', callback: () => void): () => void {
  window.addEventListener(event, callback);
  return () => window.removeEventListener(event, callback);
}
