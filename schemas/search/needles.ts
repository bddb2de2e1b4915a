/** The texts to mark in a hit: those that the search requires, in any field. A visual aid only. Tested in needles.test.ts. */
import type { SearchExpression } from './expression.js';
import { piecesOf } from './expression.js';
import { fieldFacts } from './fields.js';

const MAX_NEEDLES = 32;

export function needlesOf(expression: SearchExpression): readonly string[] {
  return [...new Set(collect(expression))].slice(0, MAX_NEEDLES);
}

function collect(expression: SearchExpression): readonly string[] {
  switch (expression.kind) {
    case 'all':
    case 'any':
      return expression.of.flatMap(collect);
    case 'not':
      return [];
    case 'text':
      switch (expression.match.kind) {
        case 'word':
        case 'phrase':
          return [expression.match.text];
        case 'glob':
          return piecesOf(expression.match.pattern).filter((piece) => piece.length > 1);
        case 'regex':
          return [];
      }
      break;
    case 'field': {
      const { field, match } = expression;
      const { takes } = fieldFacts(field);
      // User and node are shown in the heading of a hit, not in its text.
      if (
        match.kind !== 'pattern' ||
        (takes !== 'path' && takes !== 'address' && !['argv', 'dns', 'reason', 'rule', 'verb'].includes(field))
      )
        return [];
      return piecesOf(match.pattern).filter((piece) => piece.length > 1);
    }
  }
}
