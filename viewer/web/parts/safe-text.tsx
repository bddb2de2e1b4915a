/** Text from recordings and clients, as text nodes only, with what would not show made visible. */
import type { ReactNode } from 'react';
import { matchRanges, visible, visiblePieces } from './text.js';

export function SafeText({ text }: { readonly text: string }): ReactNode {
  return (
    <span className="safe">
      {visiblePieces(text).map((piece, i) =>
        piece.kind === 'text' ? (
          piece.text
        ) : (
          <span key={i} className="escape">
            {piece.text}
          </span>
        ),
      )}
    </span>
  );
}

/** A line of a screen with what was searched for marked. */
export function MarkedText({
  text,
  query,
  mode,
}: {
  readonly text: string;
  readonly query: string;
  readonly mode: 'auto' | 'words' | 'substring' | 'regex';
}): ReactNode {
  const shown = visible(text);
  const parts: ReactNode[] = [];
  let from = 0;
  for (const [start, end] of matchRanges(shown, query, mode)) {
    if (start > from) parts.push(shown.slice(from, start));
    parts.push(<mark key={start}>{shown.slice(start, end)}</mark>);
    from = end;
  }
  parts.push(shown.slice(from));
  return <span className="safe">{parts}</span>;
}
