/**
 * The statements that look for the matches of one rule in a slice of time. Tested in hunt.test.ts.
 *
 * A rule about the program of another process (`ParentImage`) needs whole sessions, which are joined with themselves
 * (../lineage/relation.ts). A first query selects the sessions that are worth a join: those with a row that matches apart from the
 * other program, and with an execution that fits the other program.
 *
 * Conditions of many rules are not combined into one statement: the engine would evaluate more than the rule that could match, and run
 * out of memory (docs/decisions/0104-retro-hunts.md). groups.ts handles many rules.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import { literal } from '#stores/events/queries/visible.js';
import { conditionOf } from '../clickhouse/sql.js';
import { eventsWithOther } from '../lineage/relation.js';
import type { Scope } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { all } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { firstLook } from './first-look.js';
import { asksForOther, hasOther, loosened, requiredOfOther, withoutOther } from './loosened.js';
import { IDENTITY, SHOWN, within } from './statements.js';
import type { Slice } from './statements.js';
import { wordCondition } from './tokens.js';

export interface SearchedRule {
  /** Id of the rule in its findings; omitted if it has none. */
  readonly id?: string;
  readonly scope: Scope;
  readonly predicate: Predicate<Field>;
}

/** The search for one rule among events of its kinds. Rows of `counts` are `[day, count, fresh, examples]`. */
export interface Search {
  readonly number: number;
  counts(slice: Slice, examples: number): string;
  /** For rules about another program: the rows in sessions, all of which `counts` leaves out. */
  readonly joined: null | {
    sessions(slice: Slice): string;
    counts(slice: Slice, examples: number, sessions: readonly string[]): string;
  };
  /**
   * Returns `[kept, all]`: how many findings of the rule have a match as evidence or in their session, and how many findings there are.
   * The evidence of a finding is its first occurrence, which may be a typed line and not an event.
   */
  compared(range: Slice): string;
}

/** `indexed`: whether the word index can be used. */
export function searchOf(rule: SearchedRule, number: number, indexed: boolean): Search {
  const whole = all([rule.scope.selects, rule.predicate]);
  const sought = rule.predicate;
  const { kinds } = rule.scope;
  const id = rule.id ?? '';
  const found = `SELECT session FROM findings WHERE rule = ${literal(id)}`;
  if (!hasOther(whole)) {
    return {
      number,
      counts: (slice, examples) => counted(matches('events', whole, sought, [among(kinds), within(slice)], indexed), id, examples),
      joined: null,
      compared: (range) => compared(id, range, matches('events', whole, sought, [among(kinds), `session IN (${found})`], indexed)),
    };
  }
  const isOwn: Parameters<typeof loosened>[1] = (one) => !asksForOther(one);
  const own = loosened(whole, isOwn);
  const required = requiredOfOther(whole);
  // For a row without a session, no other program is known.
  const free = withoutOther(whole);
  return {
    number,
    counts: (slice, examples) =>
      counted(matches('events', free, withoutOther(sought), [among(kinds), within(slice), "session = ''"], indexed), id, examples),
    compared: (range) => compared(id, range, matches(eventsWithOther(`session IN (${found})`), whole, sought, [among(kinds)])),
    joined: {
      sessions: (slice) => {
        const candidates = `SELECT session FROM (${matches('events', own, loosened(sought, isOwn), [among(kinds), within(slice), "session != ''"], indexed)})`;
        if (required === null) return `SELECT DISTINCT session FROM (${candidates}) ORDER BY session`;
        const ran = matches('events', required, required, [among(['exec']), `session IN (${candidates})`], indexed);
        return `SELECT DISTINCT session FROM (${ran}) ORDER BY session`;
      },
      counts: (slice, examples, sessions) => {
        const relation = eventsWithOther(`session IN (${sessions.map(literal).join(', ')})`);
        return counted(matches(relation, whole, sought, [among(kinds), within(slice)]), id, examples);
      },
    },
  };
}

/**
 * Rows of a relation that satisfy a predicate and further conditions. `sought`: the part of the predicate whose literals are worth
 * searching for first; the conditions of a log source (`outcome` is `success`) are longer than most literals, and true of nearly all
 * rows.
 */
function matches(
  relation: string,
  predicate: Predicate<Field>,
  sought: Predicate<Field>,
  conditions: readonly string[],
  indexed = false,
): string {
  const { unknown, any } = firstLook([{ number: 0, predicate: sought }]);
  const words = indexed ? wordCondition(sought) : null;
  const look = [...(words === null ? [] : [words]), ...(unknown.length > 0 ? [] : [any])];
  return `SELECT * FROM ${relation} WHERE ${[...conditions, ...look, `(${conditionOf(predicate, literal)})`].join(' AND ')}`;
}

function among(kinds: readonly EventKind[]): string {
  return `kind IN (${kinds.map(literal).join(', ')})`;
}

function counted(found: string, id: string, examples: number): string {
  return (
    `SELECT toString(toDate(at, 'UTC')) AS day, uniqExact(${IDENTITY}) AS matches, ` +
    `uniqExactIf(${IDENTITY}, session NOT IN (SELECT session FROM findings WHERE rule = ${literal(id)})) AS fresh, ` +
    `${examples === 0 ? '[]' : `groupArraySorted(${2 * examples})(${SHOWN})`} AS examples FROM (${found}) GROUP BY day ORDER BY day`
  );
}

function compared(id: string, range: Slice, found: string): string {
  const events = `SELECT concat(session, ':', source, ':', emitter, ':', toString(block), '.', toString(\`index\`)) FROM (${found})`;
  const own = `SELECT id, session, arrayJoin(evidence) AS event FROM findings WHERE rule = ${literal(id)} AND ${within(range)}`;
  return (
    `SELECT (SELECT uniqExact(id) FROM (${own}) WHERE event IN (${events}) OR (session != '' AND session IN (SELECT session FROM (${found})))), ` +
    `(SELECT uniqExact(id) FROM findings WHERE rule = ${literal(id)} AND ${within(range)})`
  );
}
