/**
 * Leaves out tables in which a search cannot find anything.
 *
 * Words are matched with a regular expression over the classes of Unicode, which the engine compiles many times while it plans a
 * statement: 5 to 10 ms for each table, however few rows that has. Tables without an index of words are therefore first asked, all
 * in one statement, whether any row has the letters of the words. Tested in search.test.ts and candidates.test.ts.
 */
import type { SearchExpression } from '#schemas/search/expression.js';
import type { BoundValues, Engine } from '../engine/engine.js';
import { Conditions } from '../queries/conditions.js';
import { readSettings } from '../queries/paging.js';
import { escapeLike, splitWords } from '../queries/text-match.js';
import type { Bind } from '../queries/text-match.js';
import type { SearchScope } from '../search-contract.js';
import { addScope } from './scope.js';
import type { SearchTable } from './tables.js';
import { writeSearch } from './write-search.js';
import type { Written } from './write-search.js';

export async function withCandidates<Asked extends { readonly table: SearchTable }>(
  engine: Engine,
  { expression, scope }: { readonly expression: SearchExpression; readonly scope: SearchScope },
  asked: readonly Asked[],
): Promise<readonly Asked[]> {
  if (!hasWords(expression)) return asked;
  const parameters: Record<string, BoundValues[string]> = {};
  const left = new Set<string>();
  const parts = asked.flatMap(({ table }, rank) => {
    if (table.text.indexed) return [];
    const conditions = new Conditions();
    const needed = necessary(expression, table, conditions.bind);
    if (needed === true) return [];
    left.add(table.name);
    if (needed === false) return [];
    conditions.add(needed, {});
    // How long a search takes must not depend on rows that the user may not find.
    addScope(conditions, table, scope);
    const own = conditions.renamed(`t${rank}_`);
    Object.assign(parameters, own.parameters);
    return [`SELECT * FROM (SELECT ${rank} FROM ${table.name} WHERE ${own.where} LIMIT 1)`];
  });
  const found =
    parts.length === 0 ? [] : await engine.read(`${parts.join(' UNION ALL ')} ${readSettings('search_candidates')}`, parameters);
  for (const [rank] of found) left.delete(asked[Number(rank)]!.table.name);
  return asked.filter(({ table }) => !left.has(table.name));
}

function hasWords(expression: SearchExpression): boolean {
  switch (expression.kind) {
    case 'all':
    case 'any':
      return expression.of.some(hasWords);
    case 'not':
      return hasWords(expression.of);
    case 'text':
      return expression.match.kind === 'word';
    case 'field':
      return false;
  }
}

/** What every row that the search finds fulfils, without classes of Unicode. */
function necessary(expression: SearchExpression, table: SearchTable, bind: Bind): Written {
  switch (expression.kind) {
    case 'all':
    case 'any': {
      const decisive = expression.kind === 'any';
      const parts: string[] = [];
      for (const one of expression.of) {
        const part = necessary(one, table, bind);
        if (part === decisive) return decisive;
        if (typeof part === 'string') parts.push(`(${part})`);
      }
      return parts.length === 0 ? !decisive : parts.join(decisive ? ' OR ' : ' AND ');
    }
    case 'not':
      return true;
    case 'text': {
      if (expression.match.kind !== 'word') return writeSearch(expression, table, bind);
      const words = splitWords(expression.match.text, table.text.separators);
      return words.length === 0 || words.map((word) => `${table.text.folded} LIKE ${bind(`%${escapeLike(word)}%`)}`).join(' AND ');
    }
    case 'field':
      return writeSearch(expression, table, bind);
  }
}
