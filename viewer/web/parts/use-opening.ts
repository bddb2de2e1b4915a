/** The opening of a replay for components, requested through opening.ts. */
import { useEffect, useState } from 'react';
import { ApiFailure } from './api.js';
import { takeOpening } from './opening.js';
import type { Opened } from './opening.js';

/** The opening of the session; available immediately if it was requested early and has arrived. */
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
