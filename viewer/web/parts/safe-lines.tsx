/** Text of several lines that people wrote, rendered as text nodes only. */
import type { ReactNode } from 'react';
import { SafeText } from './safe-text.js';

export function SafeLines({ text }: { readonly text: string }): ReactNode {
  return text.split(/\r?\n/).map((line, i) => (
    <span key={i} className="text-line">
      <SafeText text={line} />
    </span>
  ));
}
