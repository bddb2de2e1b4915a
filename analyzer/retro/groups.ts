/**
 * Evaluates many rules over one slice in one pass. Rows that could match any of them are grouped by the fields that the rules read, and
 * the streaming matcher decides each group once: a command that ran a million times is decided once.
 *
 *     rows of a kind in the slice ─► with a literal of some rule ─► grouped: fields, day ─► matcher ─► counts and examples of each rule
 *
 * For a rule about the program of another process, this only shows that a match is possible: whole sessions decide (passes.ts). Both
 * forms of a condition agree (../clickhouse/agreement.test.ts), so it makes no difference which of them decides. Tested in
 * hunt.test.ts.
 */
import type { EventKind, EventSource } from '#schemas/events/kinds.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { literal } from '#stores/events/queries/visible.js';
import { conditionOf } from '../clickhouse/sql.js';
import { eventsWithOther } from '../lineage/relation.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { MatchedRule, Scope } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { all, any as anyOf } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { firstLook } from './first-look.js';
import { asksForOther, hasOther, loosened, requiredOfOther } from './loosened.js';
import { IDENTITY, SHOWN, within } from './statements.js';
import type { Slice } from './statements.js';

/** Sessions that are joined with themselves in one statement. */
export const JOINED_SESSIONS = 500;
/** With more groups than this, the slice is too wide. */
export const MAX_GROUPS = 10_000;
/** Rules per pass: about ten literals each, in a statement of at most 256 KiB. */
const RULES = 400;

export interface NumberedRule {
  readonly number: number;
  readonly scope: Scope;
  readonly predicate: Predicate<Field>;
}

export interface Decided {
  readonly rule: number;
  readonly day: string;
  readonly count: number;
  readonly shown: readonly (readonly unknown[])[];
}

/** The matches of groups; `possible`: rules about another program that the row itself does not rule out. */
export interface Decisions {
  readonly decided: readonly Decided[];
  readonly possible: ReadonlySet<number>;
}

export interface Pass {
  readonly rules: readonly number[];
  /** The statement returns at most `MAX_GROUPS` + 1 rows. */
  statement(slice: Slice, examples: number): string;
  decide(groups: readonly (readonly unknown[])[]): Decisions;
}

/** `unknown`: rules without literals by which rows could be selected. */
export function passesOf(rules: readonly NumberedRule[]): { readonly unknown: readonly number[]; readonly passes: readonly Pass[] } {
  const { unknown } = firstLook(rules);
  const left = new Set(unknown);
  const passes: Pass[] = [];
  for (const kind of kindsOf(rules)) {
    const members = rules.filter(({ number, scope }) => scope.kinds.includes(kind) && !left.has(number));
    for (let i = 0; i < members.length; i += RULES) passes.push(passOf(kind, members.slice(i, i + RULES)));
  }
  return { unknown, passes };
}

function kindsOf(rules: readonly NumberedRule[]): ReadonlySet<EventKind> {
  return new Set(rules.flatMap(({ scope }) => scope.kinds));
}

function passOf(kind: EventKind, rules: readonly NumberedRule[]): Pass {
  const { any } = firstLook(rules);
  const decides = rules.map(({ scope, predicate }) => !hasOther(all([scope.selects, predicate])));
  const groups = new Groups(kind, rules.map(ownRule), false);
  return {
    rules: rules.map(({ number }) => number),
    statement: (slice, examples) => groups.statement('events', [within(slice), any], examples),
    decide: (rows) => {
      const decided: Decided[] = [];
      const possible = new Set<number>();
      for (const one of groups.matches(rows)) {
        if (decides[one.rule]!) decided.push({ ...one, rule: rules[one.rule]!.number });
        else possible.add(rules[one.rule]!.number);
      }
      return { decided, possible };
    },
  };
}

/** Fields of another program are not read: such a rule counts as matching if the row itself allows it. */
function ownRule({ scope, predicate }: MatchedRule): MatchedRule {
  return { scope, predicate: loosened(predicate, (test) => !asksForOther(test)) };
}

/**
 * Rules about another program, which are decided on whole sessions: those that contain both a row that allows a match and an execution
 * that fits the other program.
 */
export interface JoinedPass {
  readonly rules: readonly number[];
  /** Rows without a session, for which no other program is known. */
  free(slice: Slice, examples: number): string;
  /** The sessions worth examining. */
  sessions(slice: Slice): string;
  statement(slice: Slice, examples: number, sessions: readonly string[]): string;
  /** Decides the groups returned by `free` or `statement`. */
  decide(groups: readonly (readonly unknown[])[]): readonly Decided[];
}

export function joinedPassesOf(rules: readonly NumberedRule[]): readonly JoinedPass[] {
  return [...kindsOf(rules)].map((kind) =>
    joinedPassOf(
      kind,
      rules.filter(({ scope }) => scope.kinds.includes(kind)),
    ),
  );
}

function joinedPassOf(kind: EventKind, rules: readonly NumberedRule[]): JoinedPass {
  const { unknown, any } = firstLook(rules.map((rule) => ({ ...ownRule(rule), number: rule.number })));
  const sought = unknown.length > 0 ? [] : [any];
  const groups = new Groups(kind, rules, true);
  const required = rules.map(({ scope, predicate }) => requiredOfOther(all([scope.selects, predicate])));
  const ofKind = `kind = ${literal(kind)}`;
  return {
    rules: rules.map(({ number }) => number),
    free: (slice, examples) =>
      groups.statement(
        "(SELECT *, '' AS other_path, '' AS other_name FROM events WHERE session = '')",
        [within(slice), ...sought],
        examples,
      ),
    sessions: (slice) => {
      const candidates = `SELECT session FROM events WHERE ${[ofKind, within(slice), "session != ''", ...sought].join(' AND ')}`;
      const some = required.includes(null) ? null : anyOf(required as Predicate<Field>[]);
      if (some === null) return `SELECT DISTINCT session FROM (${candidates}) ORDER BY session`;
      const look = firstLook([{ number: 0, predicate: some }]);
      const conditions = ["kind = 'exec'", `session IN (${candidates})`, ...(look.unknown.length > 0 ? [] : [look.any])];
      return `SELECT DISTINCT session FROM events WHERE ${conditions.join(' AND ')} AND (${conditionOf(some, literal)}) ORDER BY session`;
    },
    statement: (slice, examples, sessions) => {
      const ours = `session IN (${sessions.map(literal).join(', ')})`;
      return groups.statement(eventsWithOther(ours, [ofKind, within(slice), ...sought].join(' AND ')), [], examples);
    },
    decide: (rows) => [...groups.matches(rows)].map((one) => ({ ...one, rule: rules[one.rule]!.number })),
  };
}

/** Rows of one kind grouped by the fields that rules read, and the rules that match a group. */
class Groups {
  readonly #kind: EventKind;
  readonly #keys: Keys;
  readonly #columns: readonly string[];
  readonly #withOther: boolean;
  readonly #matcher: RuleMatcher;

  constructor(kind: EventKind, rules: readonly MatchedRule[], withOther: boolean) {
    this.#kind = kind;
    this.#keys = keysOf(rules);
    this.#withOther = withOther;
    this.#columns = [
      ...this.#keys.columns,
      ...this.#keys.members.map((member) => `JSONExtractRaw(data, ${literal(member)})`),
      ...(withOther ? ['other_path', 'other_name'] : []),
    ];
    this.#matcher = new RuleMatcher(rules);
  }

  statement(relation: string, conditions: readonly string[], examples: number): string {
    const names = this.#columns.map((_, i) => `key${i}`);
    const shown = examples === 0 ? '[]' : `groupArraySorted(${2 * examples})(${SHOWN})`;
    return (
      `SELECT ${[...this.#columns.map((column, i) => `${column} AS ${names[i]!}`), "toString(toDate(at, 'UTC')) AS day"].join(', ')}, ` +
      `uniqExact(${IDENTITY}), ${shown} FROM ${relation} WHERE ${[`kind = ${literal(this.#kind)}`, ...conditions].join(' AND ')} ` +
      `GROUP BY ${[...names, 'day'].join(', ')} LIMIT ${MAX_GROUPS + 1}`
    );
  }

  /** `rule`: index of the rule in the given list. */
  *matches(groups: readonly (readonly unknown[])[]): Generator<Decided> {
    const { length } = this.#columns;
    for (const group of groups) {
      const [day, count, shown] = group.slice(length);
      const other = this.#withOther ? { path: String(group[length - 2]), command: String(group[length - 1]) } : null;
      for (const rule of this.#matcher.match(this.#eventOf(group), other))
        yield { rule, day: String(day), count: Number(count), shown: shown as unknown[][] };
    }
  }

  #eventOf(group: readonly unknown[]): EventRow {
    const { columns, members, whole } = this.#keys;
    const raws = members
      .map((member, i) => [member, String(group[columns.length + i])] as const)
      .filter(([, raw]) => raw !== '')
      .map(([member, raw]) => `${JSON.stringify(member)}:${raw}`);
    const read = Object.fromEntries(columns.map((column, i) => [column, valueOf(column, group[i])]));
    return { ...blank, ...read, kind: this.#kind, data: whole ? String(read['data']) : `{${raws.join(',')}}` } as EventRow;
  }
}

const blank = {
  ...{ session: '', source: 'kernel' as EventSource, emitter: '', block: 0, index: 0, at: 0, offset_ms: 0 },
  ...{ user: '', node: '', login: '' },
  ...noFacts,
};

function valueOf(column: string, value: unknown): unknown {
  if (column === 'port' || column === 'size') return value === null ? null : Number(value);
  return String(value);
}

interface Keys {
  readonly columns: readonly string[];
  /** Members of `data`; the column itself if a rule reads more than members. */
  readonly members: readonly string[];
  readonly whole: boolean;
}

function keysOf(rules: readonly MatchedRule[]): Keys {
  const columns = new Set<string>();
  const members = new Set<string>();
  let whole = false;
  const take = (field: Field): void => {
    switch (field.kind) {
      case 'text':
      case 'number':
        if (field.column !== 'kind') columns.add(field.column);
        return;
      case 'data': {
        const [member] = field.path;
        if (typeof member === 'string') members.add(member);
        else whole = true;
        return;
      }
      case 'derived':
        columns.add('name');
        members.add('argv');
        return;
      case 'other':
    }
  };
  const walk = (predicate: Predicate<Field>): void => {
    switch (predicate.kind) {
      case 'truth':
        return;
      case 'not':
        return walk(predicate.of);
      case 'all':
      case 'any':
        return predicate.of.forEach(walk);
      case 'test':
        take(predicate.field);
        if (predicate.test.kind === 'same') take(predicate.test.as);
    }
  };
  for (const { scope, predicate } of rules) {
    walk(scope.selects);
    walk(predicate);
  }
  return { columns: [...columns, ...(whole ? ['data'] : [])], members: whole ? [] : [...members], whole };
}
