/** Text from recordings and clients, rendered as text nodes only, with invisible characters made visible. */
import type { ReactNode } from 'react';
import { rangesOf, visible, visiblePieces } from './text.js';

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

/** Text with every occurrence of the needles marked. */
export function MarkedTexts({ text, needles }: { readonly text: string; readonly needles: readonly string[] }): ReactNode {
  const shown = visible(text);
  const parts: ReactNode[] = [];
  let from = 0;
  for (const [start, end] of rangesOf(shown, needles)) {
    if (start > from) parts.push(shown.slice(from, start));
    parts.push(<mark key={start}>{shown.slice(start, end)}</mark>);
    from = end;
  }
  parts.push(shown.slice(from));
  return <span className="safe">{parts}</span>;
}
