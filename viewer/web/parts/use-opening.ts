/** The opening of a replay for components, requested through opening.ts. */
import { useCallback, useEffect, useState } from 'react';
import { ApiFailure } from './api.js';
import { takeOpening } from './opening.js';
import type { Opened } from './opening.js';

export interface UsedOpening {
  readonly opened: Opened | null;
  readonly error: ApiFailure | null;
  /** Requests the opening again after a failure, which is shown until the answer arrives. */
  readonly again: () => void;
}

/** The opening of the session; available immediately if it was requested early and has arrived. */
export function useOpening(id: string, at: number | null): UsedOpening {
  const [opening, setOpening] = useState(() => takeOpening(id, at));
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
  const again = useCallback(() => setOpening(takeOpening(id, at)), [id, at]);
  return { ...state, again };
}
