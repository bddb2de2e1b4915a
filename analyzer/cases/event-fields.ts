/** A row in terms of its log source: the fields that are present, by their names in rules. Tested in cases.test.ts. */
import type { EventRow } from '#schemas/events/rows.js';
import { EventView, evaluationOf } from '../matching/evaluate.js';
import type { Program } from '../predicate/field.js';
import type { Source } from '../sources/source.js';

export function eventFields(source: Source, row: EventRow, other: Program | null = null): Readonly<Record<string, string>> {
  const view = new EventView();
  const readers = Object.entries(source.fields).map(([name, field]) => {
    if (field.kind === 'cases') {
      const cases = field.of.map(({ text, when }) => ({ text, holds: evaluationOf(when, view) }));
      return [name, () => cases.find(({ holds }) => holds(view))?.text ?? ''] as const;
    }
    const number = view.numberOf(field);
    return [name, () => view.text(number)] as const;
  });
  view.set(row, other);
  return Object.fromEntries(readers.map(([name, read]) => [name, read()] as const).filter(([, text]) => text !== ''));
}
