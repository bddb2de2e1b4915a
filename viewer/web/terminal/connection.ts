/**
 * Opens a terminal: a key, a certificate for it, a WebSocket, and SSH over that.
 *
 *     connecting ──the gateway wants a second factor──► confirming ──confirmed elsewhere──┐
 *         └──admitted──────────────────────────────────────────────────────────────────► running ──► ended
 *         └──refused, unreachable, left──────────────────────────────────────────────────────────────► ended
 *
 * Tested in end.test.ts, and in Chromium in test/end-to-end/terminal.test.ts.
 */
import { terminalCloses } from '#schemas/api/front/terminal-closes.js';
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

export type TerminalState =
  | { readonly kind: 'connecting' }
  /** `token`: of the page that confirms. */
  | { readonly kind: 'confirming'; readonly token: string }
  | { readonly kind: 'running' }
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
  /** False: too much waits to be sent already. */
  input(bytes: Uint8Array): boolean;
  resize(size: Size): void;
  /** Null: no shell runs, or there are too many already. */
  readonly subsystem: (name: string, events: SubsystemEvents) => Subsystem | null;
  close(): void;
}

export function connect(place: Place, size: Size, events: ConnectionEvents): Connection {
  let session: SshSession | undefined;
  let latest = size;
  let over = false;
  let ran = false;
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
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/api/terminal`);
    socket.binaryType = 'arraybuffer';
    const opened = new SshSession(
      {
        send: (bytes) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>);
        },
        close: () => socket.close(),
      },
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
        ended: (how) => end(wordsOf(how, { banner, last: lastWords.text, ran })),
      },
    );
    session = opened;
    socket.addEventListener('open', () => void opened.start());
    socket.addEventListener('message', ({ data }) => opened.receive(new Uint8Array(data as ArrayBuffer)));
    socket.addEventListener('close', ({ code, reason }) => opened.ended(closeError(code, reason)));
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
    input: (bytes) => session?.input(bytes) ?? true,
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

/** Why the WebSocket ended, if SSH has not said. */
function closeError(code: number, reason: string): StenoError {
  switch (code) {
    case terminalCloses.signedOut:
      return new StenoError('NOT_SIGNED_IN', reason);
    case terminalCloses.unavailable:
      return new StenoError('GATEWAY_UNREACHABLE', reason);
    case terminalCloses.full:
      return new StenoError('TOO_MANY', reason);
    case terminalCloses.idle:
      return new StenoError('SESSION_IDLE', reason);
    default:
      return new StenoError('GATEWAY_LOST', reason === '' ? undefined : reason);
  }
}
