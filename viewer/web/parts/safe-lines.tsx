/** What people wrote in several lines, as text alone. */
import type { ReactNode } from 'react';
import { SafeText } from './safe-text.js';

export function SafeLines({ text }: { readonly text: string }): ReactNode {
  return text.split(/\r?\n/).map((line, i) => (
    <span key={i} className="text-line">
      <SafeText text={line} />
    </span>
  ));
}
