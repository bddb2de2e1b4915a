/**
 * Data loading for views: TanStack Query over the calls of api.ts. Answers are kept for five minutes, so that going back shows them
 * immediately and then refreshes them; signing out clears them (app.tsx).
 */
import { useEffect, useRef } from 'react';
import { QueryClient, skipToken, useQuery } from '@tanstack/react-query';
import { getJson } from './api.js';
import { addressOf } from './endpoints.js';
import type { Answered, GetKey, Given } from './endpoints.js';
import type { ApiFailure } from './api.js';

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Steno may run on this very machine, which needs no network.
      networkMode: 'always',
      // Each search is written to the audit log, so a window that regains the focus does not repeat it.
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      // A failure is shown immediately; polled data is retried by the next poll.
      retry: false,
    },
  },
});

export interface Loaded<T> {
  readonly data: T | null;
  readonly error: ApiFailure | null;
  readonly loading: boolean;
  /** When `data` arrived, ms since 1970; 0: never. */
  readonly at: number;
  readonly reload: () => void;
}

/** The answer of an endpoint, loaded like `useJson`. Null: nothing to load. */
export function useAnswer<Key extends GetKey>(key: Key, given: Given<Key> | null, everyMs?: number): Loaded<Answered<Key>> {
  return useJson<Answered<Key>>(given === null ? null : addressOf(key, given), everyMs);
}

/**
 * Loads `path` now, when it changes, every `everyMs` while the page is visible, and once more when `everyMs` is dropped, because the last
 * answer may be older than the end of what it describes. Null: nothing to load.
 */
function useJson<T>(path: string | null, everyMs?: number): Loaded<T> {
  const { data, error, isFetching, dataUpdatedAt, refetch } = useQuery<T, ApiFailure>({
    queryKey: [path],
    queryFn: path === null ? skipToken : ({ signal }) => getJson<T>(path, signal),
    refetchInterval: everyMs ?? false,
  });
  const polled = useRef<string | null>(null);
  useEffect(() => {
    if (everyMs === undefined && path !== null && polled.current === path) void refetch();
    polled.current = everyMs === undefined ? null : path;
  }, [path, everyMs, refetch]);
  return {
    data: data ?? null,
    error,
    loading: isFetching,
    at: dataUpdatedAt,
    // If each call cancelled the one before, a slow answer would never arrive.
    reload: () => void refetch({ cancelRefetch: false }),
  };
}
