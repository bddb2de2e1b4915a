/** How a terminal ended, in words for its user. Tested in end.test.ts. */
import type { DisconnectedBy } from '../ssh/transport.js';
import { capital, gatewayWords } from '../ssh/gateway-words.js';
import type { End } from '../ssh/session.js';

export interface Ending {
  /** The user ended it, or the shell did by itself. */
  readonly good: boolean;
  /** A sentence without its full stop, and what to do; of the gateway's words, which quote others: shown as text alone. */
  readonly what: string;
  readonly fix: string;
}

/** A failure in the words of the catalogue. */
interface Explained {
  readonly message: string;
  readonly fix?: string;
  readonly entry?: { readonly fix: string };
}

export interface Heard {
  /** The gateway's last banner. */
  readonly banner: string;
  /** The end of what was printed. */
  readonly last: string;
  /** The shell had begun. */
  readonly ran: boolean;
}

/** Status of sessions that the gateway ends itself (gateway/ssh/relay/last-messages.ts). */
const ENDED_BY_GATEWAY = 255;

export function wordsOf(
  end: Exclude<End, { kind: 'failed' }> | { readonly kind: 'failed'; readonly error: Explained },
  { banner, last, ran }: Heard,
): Ending {
  switch (end.kind) {
    case 'exit': {
      // Only what a program prints before it ends like this can look the same; it says nothing that its user has not typed.
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

/** The token of the page's address in a banner that asks for a second factor; the address itself is not followed. */
export function confirmationIn(banner: string): string | null {
  return /\/confirm#([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])/.exec(banner)?.[1] ?? null;
}
