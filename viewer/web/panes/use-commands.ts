/** The commands of a session: those from its beginning, and on request the ones that follow. */
import { useCallback, useEffect, useState } from 'react';
import type { CommandList } from '#schemas/api/recordings/commands.js';
import { ask } from '../parts/endpoints.js';
import { useAnswer } from '../parts/use-json.js';
import type { Loaded } from '../parts/use-json.js';

const REFRESH_LIVE_MS = 10_000;

export interface LoadedCommands {
  readonly list: CommandList | null;
  readonly error: Loaded<CommandList>['error'];
  /** Loads the commands after the known part. */
  readonly more: () => void;
}

export function useCommands(session: string | null, grows: boolean): LoadedCommands {
  const { data, error } = useAnswer(
    'GET /api/sessions/:id/commands',
    session === null ? null : { params: { id: session }, query: {} },
    grows ? REFRESH_LIVE_MS : undefined,
  );
  const [whole, setWhole] = useState<CommandList | null>(null);
  useEffect(() => setWhole((before) => (before !== null && before.until !== data?.until && !grows ? before : data)), [data, grows]);
  const more = useCallback(() => {
    if (session === null || whole === null || whole.until === null) return;
    void ask('GET /api/sessions/:id/commands', { params: { id: session }, query: { from: whole.until } }).then(
      (next) =>
        setWhole((before) =>
          before?.until !== next.from
            ? before
            : {
                ...next,
                from: before.from,
                watched: before.watched || next.watched,
                commands: [...before.commands, ...next.commands],
                hidden: [...before.hidden, ...next.hidden],
              },
        ),
      // The same button retries it.
      () => undefined,
    );
  }, [session, whole]);
  return { list: whole, error, more };
}
