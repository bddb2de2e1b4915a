/**
 * The statements that look for the matches of rules in one slice of time. Tested in hunt.test.ts.
 *
 *     events of a kind in the slice ─► first look: which rules could match at all ─► each of these by itself: counts, examples
 *
 * A rule about the program of another process (`ParentImage`) needs whole sessions, which are joined with themselves
 * (../lineage/relation.ts). Which sessions are worth that is asked first: those with a row that matches but for the other program, and
 * in which a program ran as the other must be.
 *
 * Conditions of many rules are not put into one statement: the engine then evaluates more than the rule that could match, and runs out of
 * memory (docs/decisions/0104-retro-hunts.md).
 */
import type { EventKind } from '#schemas/events/kinds.js';
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';
import { conditionOf } from '../clickhouse/sql.js';
import { eventsWithOther } from '../lineage/relation.js';
import type { Scope } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { all } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { firstLook } from './first-look.js';
import { asksForOther, hasOther, loosened, requiredOfOther, withoutOther } from './loosened.js';

export interface SearchedRule {
  /** Of its findings; left out where it has none. */
  readonly id?: string;
  readonly scope: Scope;
  readonly predicate: Predicate<Field>;
}

export interface Slice {
  /** ms since 1970; inclusive, exclusive. */
  readonly from: number;
  readonly to: number;
}

/** The search for one rule among events of its kinds. Rows of `counts` are `[day, count, fresh, examples]`. */
export interface Search {
  readonly number: number;
  counts(slice: Slice, examples: number): string;
  /** For rules about another program: what is in sessions, of which `counts` leaves out every row. */
  readonly joined: null | {
    sessions(slice: Slice): string;
    counts(slice: Slice, examples: number, sessions: readonly string[]): string;
  };
  /**
   * Answers `[kept, all]`: how many findings of the rule have a match for evidence or in their session, and how many there are. The evidence of a
   * finding is what came first, which may be the line that was typed and no event at all.
   */
  compared(range: Slice): string;
}

/** Rules in one first look: some ten literals each, in a statement of at most 256 KiB. */
const LOOKED_AT = 400;
const IDENTITY = 'sipHash128(session, source, emitter, block, `index`)';

export function searchOf(rule: SearchedRule, number: number): Search {
  const whole = all([rule.scope.selects, rule.predicate]);
  const { kinds } = rule.scope;
  const id = rule.id ?? '';
  const found = `SELECT session FROM findings WHERE rule = ${literal(id)}`;
  if (!hasOther(whole)) {
    return {
      number,
      counts: (slice, examples) => counted(matches('events', whole, [among(kinds), within(slice)]), id, examples),
      joined: null,
      compared: (range) => compared(id, range, matches('events', whole, [among(kinds), `session IN (${found})`])),
    };
  }
  const own = loosened(whole, (one) => !asksForOther(one));
  const required = requiredOfOther(whole);
  // Of a row of no session no other program is known.
  const free = withoutOther(whole);
  return {
    number,
    counts: (slice, examples) => counted(matches('events', free, [among(kinds), within(slice), "session = ''"]), id, examples),
    compared: (range) => compared(id, range, matches(eventsWithOther(`session IN (${found})`), whole, [among(kinds)])),
    joined: {
      sessions: (slice) => {
        const candidates = `SELECT session FROM (${matches('events', own, [among(kinds), within(slice), "session != ''"])})`;
        if (required === null) return `SELECT DISTINCT session FROM (${candidates}) ORDER BY session`;
        const ran = matches('events', required, [among(['exec']), `session IN (${candidates})`]);
        return `SELECT DISTINCT session FROM (${ran}) ORDER BY session`;
      },
      counts: (slice, examples, sessions) => {
        const relation = eventsWithOther(`session IN (${sessions.map(literal).join(', ')})`);
        return counted(matches(relation, whole, [among(kinds), within(slice)]), id, examples);
      },
    },
  };
}

/** Statements that answer the numbers of rules that could match in a slice; `always`: of which no look can tell. */
export function looksOf(rules: readonly SearchedRule[]): {
  readonly always: readonly number[];
  readonly looks: readonly ((slice: Slice) => string)[];
} {
  const numbered = rules.map(({ scope, predicate }, number) => ({ number, scope, predicate: all([scope.selects, predicate]) }));
  const { unknown } = firstLook(numbered);
  const looks: ((slice: Slice) => string)[] = [];
  for (const kind of new Set(rules.flatMap(({ scope }) => scope.kinds))) {
    const members = numbered.filter(({ number, scope }) => scope.kinds.includes(kind) && !unknown.includes(number));
    for (let i = 0; i < members.length; i += LOOKED_AT) {
      const { signs, ruleOf } = firstLook(members.slice(i, i + LOOKED_AT));
      const rule = `transform(sign, [${ruleOf.map((_, n) => n + 1).join(', ')}], [${ruleOf.join(', ')}], 0)`;
      looks.push(
        (slice) =>
          `SELECT ${rule} AS rule FROM (SELECT arrayJoin(${signs}) AS sign FROM events WHERE ${among([kind])} AND ${within(slice)}) GROUP BY rule ORDER BY rule`,
      );
    }
  }
  return { always: unknown, looks };
}

/** Rows of a relation that satisfy a predicate and further conditions. */
function matches(relation: string, predicate: Predicate<Field>, conditions: readonly string[]): string {
  const { unknown, any } = firstLook([{ number: 0, predicate }]);
  const look = unknown.length > 0 ? [] : [any];
  return `SELECT * FROM ${relation} WHERE ${[...conditions, ...look, `(${conditionOf(predicate, literal)})`].join(' AND ')}`;
}

function among(kinds: readonly EventKind[]): string {
  return `kind IN (${kinds.map(literal).join(', ')})`;
}

function within({ from, to }: Slice): string {
  const moment = (at: number): string => `toDateTime64(${literal(formatMoment(at))}, 3, 'UTC')`;
  return `at >= ${moment(from)} AND at < ${moment(to)}`;
}

/** Rows that the engine holds twice for a while have one identity, and the same moment. */
function counted(found: string, id: string, examples: number): string {
  const shown =
    '(toUnixTimestamp64Milli(at), session, source, emitter, block, `index`, offset_ms, kind, user, node, login, path, name, address)';
  return (
    `SELECT toString(toDate(at, 'UTC')) AS day, uniqExact(${IDENTITY}) AS matches, ` +
    `uniqExactIf(${IDENTITY}, session NOT IN (SELECT session FROM findings WHERE rule = ${literal(id)})) AS fresh, ` +
    `${examples === 0 ? '[]' : `groupArraySorted(${2 * examples})(${shown})`} AS examples FROM (${found}) GROUP BY day ORDER BY day`
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
