/**
 * The opening of the session named by the page's address, requested as soon as this module runs: before the code that draws is loaded,
 * and on the connection that the server's `Link` header has already opened. The opening also says who is signed in, so that nothing
 * waits for `/api/me`. Sessions opened later request theirs when they are shown.
 */
import { decodeOpening, momentOf, openingPath } from '#schemas/api/recordings/opening.js';
import type { SessionOpening } from '#schemas/api/recordings/opening.js';
import { ApiFailure, getText } from './api.js';

export interface Opened extends SessionOpening {
  /** The lines of segment `first`. */
  readonly lines: string;
}

export interface Opening {
  readonly answer: Promise<Opened>;
  /** The answer if it has arrived, so that the first rendering can draw it. */
  readonly now: () => Opened | null;
}

export const sessionAddress = /^\/sessions\/(?<id>[0-9a-z]{26})$/;

function ask(path: string): Opening {
  let now: Opened | null = null;
  const answer = getText(path).then((text) => {
    const { opening, lines } = decodeOpening(text);
    return (now = { ...opening, lines });
  });
  // Callers that await it see the failure.
  answer.catch(() => undefined);
  return { answer, now: () => now };
}

/** A sign-in link is used first: until then the request may have no identity. */
function askEarly(): { readonly path: string; readonly opening: Opening } | null {
  const id = sessionAddress.exec(location.pathname)?.[1];
  if (id === undefined || location.hash.startsWith('#sign-in=')) return null;
  const path = openingPath(id, momentOf(new URLSearchParams(location.search).get('t')));
  return { path, opening: ask(path) };
}

let early = askEarly();
early?.opening.answer.catch((error: unknown) => {
  // Nobody was signed in: request it again once somebody is.
  if (error instanceof ApiFailure && error.code === 'NOT_SIGNED_IN') early = null;
});

export function earlyOpening(): Opening | null {
  return early?.opening ?? null;
}

/** The opening of the session to show; an early request is used once, and only for its own address. */
export function takeOpening(id: string, at: number | null): Opening {
  const path = openingPath(id, at);
  const known = early;
  early = null;
  return known?.path === path ? known.opening : ask(path);
}
