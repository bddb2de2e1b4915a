/**
 * Many rules over one slice in one pass. Rows that could match any of them are grouped by what the rules read of a row, and the streaming
 * matcher decides about each group once: a command that ran a million times is decided about once.
 *
 *     rows of a kind in the slice ─► with a literal of some rule ─► grouped: fields, day ─► matcher ─► counts and examples of each rule
 *
 * A rule about the program of another process is only known to be possible by this: whole sessions decide (passes.ts). Both forms of a
 * condition agree (../clickhouse/agreement.test.ts), so it does not show which of them decided. Tested in hunt.test.ts.
 */
import type { EventKind, EventSource } from '#schemas/events/kinds.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { literal } from '#stores/events/queries/visible.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { MatchedRule, Scope } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { all } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { firstLook } from './first-look.js';
import { asksForOther, hasOther, loosened } from './loosened.js';
import { IDENTITY, SHOWN, within } from './statements.js';
import type { Slice } from './statements.js';

/** More than these, and the slice is too wide. */
export const MAX_GROUPS = 10_000;
/** Rules in one pass: some ten literals each, in a statement of at most 256 KiB. */
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

export interface Pass {
  readonly rules: readonly number[];
  /** Answers at most `MAX_GROUPS` rows and one. */
  statement(slice: Slice, examples: number): string;
  /** What these groups match; `possible`: rules that a statement of their own has to decide about. */
  decide(groups: readonly (readonly unknown[])[]): { readonly decided: readonly Decided[]; readonly possible: ReadonlySet<number> };
}

/** `unknown`: rules that have no literal by which rows could be chosen. */
export function passesOf(rules: readonly NumberedRule[]): { readonly unknown: readonly number[]; readonly passes: readonly Pass[] } {
  const { unknown } = firstLook(rules);
  const left = new Set(unknown);
  const passes: Pass[] = [];
  for (const kind of new Set(rules.flatMap(({ scope }) => scope.kinds))) {
    const members = rules.filter(({ number, scope }) => scope.kinds.includes(kind) && !left.has(number));
    for (let i = 0; i < members.length; i += RULES) passes.push(passOf(kind, members.slice(i, i + RULES)));
  }
  return { unknown, passes };
}

function passOf(kind: EventKind, rules: readonly NumberedRule[]): Pass {
  const { any } = firstLook(rules);
  // Of another program nothing is read: such a rule is taken for what the row itself allows.
  const own = rules.map(({ number, scope, predicate }) => ({
    number,
    scope,
    predicate: loosened(predicate, (test) => !asksForOther(test)),
    decides: !hasOther(all([scope.selects, predicate])),
  }));
  const keys = keysOf(own);
  const columns = [...keys.columns, ...keys.members.map((member) => `JSONExtractRaw(data, ${literal(member)})`)];
  const matcher = new RuleMatcher(own satisfies readonly MatchedRule[]);
  const eventOf = (group: readonly unknown[]): EventRow => {
    const members = keys.members
      .map((member, i) => [member, String(group[keys.columns.length + i])] as const)
      .filter(([, raw]) => raw !== '')
      .map(([member, raw]) => `${JSON.stringify(member)}:${raw}`);
    const read = Object.fromEntries(keys.columns.map((column, i) => [column, valueOf(column, group[i])]));
    return { ...blank, ...read, kind, data: keys.whole ? String(read['data']) : `{${members.join(',')}}` } as EventRow;
  };
  return {
    rules: rules.map(({ number }) => number),
    statement: (slice, examples) => {
      const names = columns.map((_, i) => `key${i}`);
      const shown = examples === 0 ? '[]' : `groupArraySorted(${2 * examples})(${SHOWN})`;
      return (
        `SELECT ${[...columns.map((column, i) => `${column} AS ${names[i]!}`), "toString(toDate(at, 'UTC')) AS day"].join(', ')}, ` +
        `uniqExact(${IDENTITY}), ${shown} FROM events WHERE kind = ${literal(kind)} AND ${within(slice)} AND ${any} ` +
        `GROUP BY ${[...names, 'day'].join(', ')} LIMIT ${MAX_GROUPS + 1}`
      );
    },
    decide: (groups) => {
      const decided: Decided[] = [];
      const possible = new Set<number>();
      for (const group of groups) {
        const [day, count, shown] = group.slice(columns.length);
        for (const i of matcher.match(eventOf(group))) {
          const { number, decides } = own[i]!;
          if (decides) decided.push({ rule: number, day: String(day), count: Number(count), shown: shown as unknown[][] });
          else possible.add(number);
        }
      }
      return { decided, possible };
    },
  };
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
  /** Members of `data`; the column itself where a rule reads more than members. */
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
