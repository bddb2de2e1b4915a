/** Random searches for property tests: trees as the parser creates them. */
import fc from 'fast-check';
import { escapePattern } from '../search/expression.js';
import type { FieldMatch, SearchExpression, TextMatch } from '../search/expression.js';
import { fieldFacts, searchFields } from '../search/fields.js';
import type { SearchField } from '../search/fields.js';

interface Vocabulary {
  /** Texts that occur in the rows that are searched. */
  readonly texts: readonly string[];
  /** Occurring values by field; other fields use the texts. */
  readonly values: Readonly<Partial<Record<SearchField, readonly string[]>>>;
  readonly moments: readonly number[];
}

/** Regular expressions that every engine interprets in the same way. */
const regexes = ['s.*o', '^root', 'e[a-d]c', 'shadow$', '[0-9]+', 'x|etc'];

export function anySearch({ texts, values, moments }: Vocabulary): fc.Arbitrary<SearchExpression> {
  const piece = fc.constantFrom(...texts);
  const isWord = (text: string): boolean => /^[\p{L}\p{M}\p{N}]+$/u.test(text);
  const text: fc.Arbitrary<TextMatch> = fc.oneof(
    piece.map((found): TextMatch => (isWord(found) ? { kind: 'word', text: found } : { kind: 'phrase', text: found })),
    fc.tuple(piece, fc.nat(3), fc.integer({ min: 1, max: 6 })).map(([found, from, length]): TextMatch => {
      const part = [...found].slice(from, from + length).join('');
      return { kind: 'phrase', text: part.trim() === '' ? found : part };
    }),
    fc
      .array(
        piece.map((found) => escapePattern(found.replace(/\s/g, ''))),
        { minLength: 1, maxLength: 2 },
      )
      .map((pieces): TextMatch => ({ kind: 'glob', pattern: `${pieces.join('*')}*` })),
    fc.constantFrom(...regexes).map((source): TextMatch => ({ kind: 'regex', source })),
  );
  const fieldMatch = (field: SearchField): fc.Arbitrary<FieldMatch> => {
    const { takes, choices } = fieldFacts(field);
    if (choices !== undefined) return fc.constantFrom(...choices).map((pattern) => ({ kind: 'pattern', pattern }));
    if (takes === 'number' || takes === 'bytes')
      return fc.tuple(fc.nat(70_000), fc.nat(70_000)).map(([a, b]) => ({ kind: 'range', from: Math.min(a, b), to: Math.max(a, b) }));
    if (takes === 'moment') {
      const at = fc.constantFrom(...moments);
      if (field === 'after') return at.map((from) => ({ kind: 'range', from, to: null }));
      if (field === 'before') return at.map((to) => ({ kind: 'range', from: null, to }));
      return fc.tuple(at, fc.integer({ min: 1, max: 5000 })).map(([from, length]) => ({ kind: 'range', from, to: from + length }));
    }
    const value = fc.constantFrom(...(values[field] ?? texts));
    const pattern = fc.oneof(
      value.map(escapePattern),
      value.map((found) => `${escapePattern(found.slice(0, 3))}*`),
      value.map((found) => `*${escapePattern(found.slice(-3))}`),
    );
    const patterns = pattern.map((found): FieldMatch => ({ kind: 'pattern', pattern: found }));
    if (takes === 'label') return patterns;
    return fc.oneof(
      { weight: 4, arbitrary: patterns },
      fc.constantFrom(...regexes).map((source): FieldMatch => ({ kind: 'regex', source })),
    );
  };
  const term: fc.Arbitrary<SearchExpression> = fc.oneof(
    text.map((match): SearchExpression => ({ kind: 'text', match })),
    fc
      .constantFrom(...(Object.keys(searchFields) as SearchField[]))
      .chain((field) => fieldMatch(field).map((match): SearchExpression => ({ kind: 'field', field, match }))),
  );
  return fc.letrec<{ tree: SearchExpression }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      term,
      tie('tree').map((of): SearchExpression => ({ kind: 'not', of })),
      fc
        .tuple(fc.constantFrom('all' as const, 'any' as const), fc.array(tie('tree'), { minLength: 2, maxLength: 3 }))
        .map(([kind, of]): SearchExpression => ({ kind, of: of.flatMap((one) => (one.kind === kind ? one.of : [one])) })),
    ),
  })).tree;
}
