/** The answer that a replay begins with, for components: opening.ts asks for it. */
import { useEffect, useState } from 'react';
import { ApiFailure } from './api.js';
import { takeOpening } from './opening.js';
import type { Opened } from './opening.js';

/** The answer that the page begins with; at once, when it was asked for early and is there. */
export function useOpening(id: string, at: number | null): { readonly opened: Opened | null; readonly error: ApiFailure | null } {
  const [opening] = useState(() => takeOpening(id, at));
  const [state, setState] = useState<{ opened: Opened | null; error: ApiFailure | null }>(() => ({ opened: opening.now(), error: null }));
  useEffect(() => {
    let gone = false;
    opening.answer.then(
      (opened) => !gone && setState((before) => (before.opened === opened ? before : { opened, error: null })),
      (failure: unknown) =>
        !gone &&
        setState({
          opened: null,
          error: failure instanceof ApiFailure ? failure : new ApiFailure('INTERNAL', 'the replay cannot be opened', ''),
        }),
    );
    return () => void (gone = true);
  }, [opening]);
  return state;
}
