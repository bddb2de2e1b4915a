/**
 * Who may see what: the role's `view` word, applied to every list, session, segment, search, export and live call.
 *
 * Pure functions; a session that may not be seen is answered like one that does not exist, so that ids cannot be
 * probed. Tested as a table in access.test.ts.
 */
import { StenoError } from '#schemas/errors.js';

export type View = 'all' | 'own' | 'none';

export interface Viewer {
  readonly user: string;
  readonly roles: readonly string[];
  readonly view: View;
}

/** May this person see a session of `owner`? */
export function maySee(viewer: Viewer, owner: string): boolean {
  switch (viewer.view) {
    case 'all':
      return true;
    case 'own':
      return viewer.user === owner;
    case 'none':
      return false;
  }
}

/**
 * The user whose rows a query may return: `any` for no restriction, `nobody` when the wish and the right do not meet.
 * Throws ACCESS_DENIED for who may see nothing at all.
 */
export function narrow(viewer: Viewer, wanted: string | undefined): { readonly kind: 'any' } | { readonly kind: 'user'; readonly user: string } | { readonly kind: 'nobody' } {
  if (viewer.view === 'none') throw new StenoError('ACCESS_DENIED', 'your roles do not let you see recordings');
  if (viewer.view === 'all') return wanted === undefined ? { kind: 'any' } : { kind: 'user', user: wanted };
  return wanted === undefined || wanted === viewer.user ? { kind: 'user', user: viewer.user } : { kind: 'nobody' };
}

/** Throws ACCESS_DENIED unless everything may be seen: for what belongs to no single user. */
export function requireAll(viewer: Viewer, what: string): void {
  if (viewer.view !== 'all') throw new StenoError('ACCESS_DENIED', `${what} needs a role with view: all`);
}
