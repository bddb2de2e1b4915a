/**
 * The opening of the session that the page's address names, asked for as soon as this module runs: before there is
 * anything to draw with, and on the connection that the server's `Link` header has opened already. It also says who is
 * signed in, so that nothing waits for `/api/me`. Sessions opened later ask when they are shown.
 */
import { decodeOpening, momentOf, openingPath } from '#schemas/opening.js';
import type { SessionOpening } from '#schemas/opening.js';
import { ApiFailure, getText } from './api.js';

export interface Opened extends SessionOpening {
  /** Of segment `first`. */
  readonly lines: string;
}

export interface Opening {
  readonly answer: Promise<Opened>;
  /** The answer, once it is there: it can then be drawn with the first rendering. */
  readonly now: () => Opened | null;
}

export const sessionAddress = /^\/sessions\/(?<id>[0-9a-z]{26})$/;

function ask(path: string): Opening {
  let now: Opened | null = null;
  const answer = getText(path).then((text) => {
    const { opening, lines } = decodeOpening(text);
    return (now = { ...opening, lines });
  });
  // Whoever waits for it hears of a failure.
  answer.catch(() => undefined);
  return { answer, now: () => now };
}

/** A link that signs in is used first: until then there may be nobody to answer to. */
function askEarly(): { readonly path: string; readonly opening: Opening } | null {
  const id = sessionAddress.exec(location.pathname)?.[1];
  if (id === undefined || location.hash.startsWith('#sign-in=')) return null;
  const path = openingPath(id, momentOf(new URLSearchParams(location.search).get('t')));
  return { path, opening: ask(path) };
}

let early = askEarly();
early?.opening.answer.catch((error: unknown) => {
  // Nobody was signed in: once somebody is, it is asked for anew.
  if (error instanceof ApiFailure && error.code === 'NOT_SIGNED_IN') early = null;
});

export function earlyOpening(): Opening | null {
  return early?.opening ?? null;
}

/** Of the session that is shown now; what was asked for early counts once, and for that address only. */
export function takeOpening(id: string, at: number | null): Opening {
  const path = openingPath(id, at);
  const known = early;
  early = null;
  return known?.path === path ? known.opening : ask(path);
}
