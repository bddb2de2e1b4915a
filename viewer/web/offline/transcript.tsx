/** The lines of the screen with their times: to read, search and copy, and to jump to. */
import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { lastAtOrBefore } from '#schemas/api/recordings/opening.js';
import { clock } from '../parts/format.js';
import { MarkedTexts, SafeText } from '../parts/safe-text.js';
import type { Replay } from '#schemas/player/replay.js';
import { usePosition } from '../player/use-replay.js';
import type { SeenText } from './messages.js';

/** Rows drawn at first; more on demand. */
const PAGE = 300;

export function Transcript({
  replay,
  lines,
  untold,
}: {
  readonly replay: Replay;
  readonly lines: readonly SeenText[];
  readonly untold: number;
}): ReactNode {
  const [query, setQuery] = useState('');
  const [shown, setShown] = useState(PAGE);
  const position = usePosition(replay);
  const found = useMemo(() => {
    const needle = query.trim().toLowerCase();
    return needle === '' ? lines : lines.filter(({ text }) => text.toLowerCase().includes(needle));
  }, [lines, query]);
  const current = found.length === 0 ? -1 : lastAtOrBefore(found.length, (i) => found[i]!.at, position + 1);
  if (lines.length === 0) return null;
  return (
    <section className="facts transcript">
      <div className="transcript-head">
        <h2>
          Transcript{' '}
          <span className="count">{query.trim() === '' ? `${lines.length} lines` : `${found.length} of ${lines.length} lines`}</span>
        </h2>
        <input
          type="search"
          value={query}
          placeholder="Search what was shown"
          aria-label="Search the transcript"
          onChange={(event) => {
            setQuery(event.target.value);
            setShown(PAGE);
          }}
        />
      </div>
      {found.length === 0 ? (
        <p className="hint">Not on the screen of this session.</p>
      ) : (
        <ol className="scroll transcript-lines mono">
          {found.slice(0, shown).map(({ at, text }, i) => (
            <li key={i} aria-current={i === current ? 'true' : undefined}>
              <button type="button" className="seek" onClick={() => void replay.seek(at)} aria-label={`Show the moment at ${clock(at)}`}>
                {clock(at)}
              </button>
              {query.trim() === '' ? <SafeText text={text} /> : <MarkedTexts text={text} needles={[query.trim()]} />}
            </li>
          ))}
          {found.length > shown && (
            <li>
              <button type="button" className="seek" onClick={() => setShown(shown + PAGE * 4)}>
                {found.length - shown} more
              </button>
            </li>
          )}
        </ol>
      )}
      {untold > 0 && <p className="hint">{untold} further lines are in the replay only.</p>}
    </section>
  );
}
