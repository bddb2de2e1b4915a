/** Describes to the user how a terminal ended. Tested in end.test.ts. */
import type { DisconnectedBy } from '../ssh/transport.js';
import { capital, gatewayWords } from '../ssh/gateway-words.js';
import type { End } from '../ssh/session.js';

export interface Ending {
  /** Whether the user ended it, or the shell exited by itself. */
  readonly good: boolean;
  /**
   * A sentence without its full stop, and advice. Both may come from the gateway's message, which quotes others: show them as text
   * only.
   */
  readonly what: string;
  readonly fix: string;
}

/** An error in the words of the catalogue. */
interface Explained {
  readonly message: string;
  readonly fix?: string;
  readonly entry?: { readonly fix: string };
}

export interface Heard {
  /** The gateway's last banner. */
  readonly banner: string;
  /** The end of the output. */
  readonly last: string;
  /** Whether the shell had started. */
  readonly ran: boolean;
}

/** Exit status of sessions that the gateway ends itself (gateway/ssh/relay/last-messages.ts). */
const ENDED_BY_GATEWAY = 255;

export function wordsOf(
  end: Exclude<End, { kind: 'failed' }> | { readonly kind: 'failed'; readonly error: Explained },
  { banner, last, ran }: Heard,
): Ending {
  switch (end.kind) {
    case 'exit': {
      // Only output of a program that exits with this status can imitate this, and it can only mislead the user who ran it.
      const said = end.status === ENDED_BY_GATEWAY ? endingOf(last) : null;
      if (said !== null) return said;
      return { good: end.status === 0, what: end.status === 0 ? 'The shell ended' : `The shell ended with status ${end.status}`, fix: '' };
    }
    case 'signal':
      return { good: false, what: `The shell was ended by the signal ${end.name.replace(/[^A-Z0-9]/g, '').slice(0, 16)}`, fix: '' };
    case 'closed':
      return endingOf(last) ?? { good: false, what: 'The node closed the session', fix: '' };
    case 'disconnected':
      return disconnected(end, ran);
    case 'refused':
      return endingOf(banner) ?? { good: false, what: 'The gateway did not admit you', fix: 'Open the terminal again.' };
    case 'failed':
      return { good: false, what: capital(end.error.message), fix: end.error.fix ?? end.error.entry?.fix ?? '' };
    case 'left':
      return { good: true, what: 'You closed this terminal', fix: '' };
  }
}

function disconnected({ text }: DisconnectedBy, ran: boolean): Ending {
  // The gateway joins its two lines with a space.
  const said = endingOf(text.replace(/ steno: /g, '\nsteno: '));
  return (
    said ?? {
      good: false,
      what: text === '' ? `The gateway ended the ${ran ? 'session' : 'connection'}` : capital(text.slice(0, 400)),
      fix: '',
    }
  );
}

function endingOf(text: string): Ending | null {
  const said = gatewayWords(text);
  return said === null ? null : { good: false, ...said };
}

/** The token from the page address in a banner that asks for a second factor; the address itself is not opened. */
export function confirmationIn(banner: string): string | null {
  return /\/confirm#([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])/.exec(banner)?.[1] ?? null;
}
