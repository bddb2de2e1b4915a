/** The page of a session that is not listed: waits for it, within bounds, and then explains why it may be missing. */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { untilListed } from '#schemas/player/listing.js';
import { ApiFailure } from '../parts/api.js';
import { Empty, Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import { after } from '../player/timers.js';

type Wait = { readonly kind: 'waiting' | 'unlisted' } | { readonly kind: 'failed'; readonly error: ApiFailure };

/** `onListed`: called once per wait. */
export function Unlisted({ id, onListed }: { readonly id: string; readonly onListed: () => void }): ReactNode {
  const [wait, setWait] = useState<Wait>({ kind: 'waiting' });
  const waiting = wait.kind === 'waiting';
  useEffect(() => {
    if (!waiting) return undefined;
    let stopped = false;
    // Looking at the list entry is not written to the audit log; opening the recording is.
    const look = (): Promise<boolean> =>
      ask('GET /api/sessions/:id', { params: { id } }).then(
        () => true,
        (error: unknown) => {
          if (error instanceof ApiFailure && error.code === 'SESSION_UNKNOWN') return false;
          throw error;
        },
      );
    untilListed({ look, after, stopped: () => stopped }).then(
      (listed) => {
        if (stopped) return;
        if (listed) onListed();
        else setWait({ kind: 'unlisted' });
      },
      (error: unknown) => {
        if (stopped) return;
        setWait({
          kind: 'failed',
          error: error instanceof ApiFailure ? error : new ApiFailure('INTERNAL', 'the session cannot be looked up', ''),
        });
      },
    );
    return () => void (stopped = true);
  }, [id, waiting, onListed]);
  return (
    <section className="page">
      <p className="crumb">
        <Link to="/sessions">Sessions</Link>
      </p>
      {wait.kind === 'failed' && <Failure error={wait.error} />}
      <div role="status" aria-busy={waiting}>
        <Empty title={waiting ? 'Not yet listed; waiting' : 'No session is listed under this id'}>
          {waiting ? (
            <p>
              A session is listed within seconds of its start, as soon as its gateway has delivered the beginning of the recording. This
              page will then follow it by itself.
            </p>
          ) : (
            <>
              <p className="mono">{id}</p>
              <p>
                Check the link. If the session has just begun, its gateway may have lost its connection to the store; the gateway keeps the
                recording and delivers it later. Your roles may also not allow you to see this session.
              </p>
            </>
          )}
          <button type="button" className="secondary" onClick={() => setWait({ kind: waiting ? 'unlisted' : 'waiting' })}>
            {waiting ? 'Stop waiting' : 'Look again'}
          </button>
        </Empty>
      </div>
    </section>
  );
}
