/**
 * A retro-hunt: rules over every stored event of a range of time, slice by slice.
 *
 *     slice ─► one pass for all rules (groups.ts) ─► decided: counts, examples
 *                  │                              └► possible: rules about other programs ─► one pass for all of them, over whole sessions
 *                  └── too many groups ─► half the slice
 *
 * A rule gets statements of its own (passes.ts) if it has findings, which determine which matches are fresh, if no literal selects rows
 * for it, if the engine refuses a pass, or if a slice that is already short has too many groups.
 *
 * A single rule gets a statement and no pass. The width follows from how long statements took, so that a cancelled hunt ends within a
 * few seconds, on a thousand events and on a hundred million. Matches are counted by their identity, each once, with the earliest as
 * examples; nothing is written. Deterministic for what is stored: no answer depends on the slices.
 *
 * A rule whose statement the engine refuses, for instance because it is too heavy, is reported as failed, and the others continue.
 * Tested in hunt.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { HuntExample, HuntMatches } from '#schemas/api/recordings/hunts.js';
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';
import { JOINED_SESSIONS, MAX_GROUPS, joinedPassesOf, passesOf } from './groups.js';
import type { Decided, JoinedPass } from './groups.js';
import { searchOf } from './passes.js';
import type { Search, SearchedRule } from './passes.js';
import type { Slice } from './statements.js';

/** Reads events; the SQL comes from this folder, with every text of a rule as a literal. */
export interface EventReader {
  /** The caller may view everything: tables are read directly, so their indexes can be used. */
  readonly indexed?: boolean;
  read(sql: string): Promise<readonly (readonly unknown[])[]>;
}

export interface HuntRange {
  /** ms since 1970; by default the first and the last stored event. */
  readonly from?: number | undefined;
  /** Exclusive. */
  readonly to?: number | undefined;
  /** For each rule, 0 to 100. */
  readonly examples: number;
}

/** Includes the place of the event, by which its finding is recognized. */
export interface Example extends HuntExample {
  readonly source: string;
  readonly emitter: string;
  readonly block: number;
  readonly index: number;
}

export interface RuleMatches extends HuntMatches {
  readonly examples: readonly Example[];
}

export type HuntStep =
  /** `done`: progress from 0 to 1. */
  | { readonly kind: 'progress'; readonly done: number; readonly matches: number }
  /** `rules`: in the given order. `range`: the range that was searched; null if there are no events. */
  | { readonly kind: 'result'; readonly range: Slice | null; readonly rules: readonly RuleMatches[] };

const SLICES = 16;
/** A slice should take a time between these bounds. */
const SHORT_MS = 1_000;
const LONG_MS = 4_000;
/** Slices are not narrowed below this, in ms. */
const NARROWEST = 60_000;

/** Ends early, without a result, once `signal` is aborted. */
export async function* hunt(
  reader: EventReader,
  rules: readonly SearchedRule[],
  { from, to, examples }: HuntRange,
  clock: () => number,
  signal?: AbortSignal,
): AsyncGenerator<HuntStep> {
  const isOver = (): boolean => signal?.aborted === true;
  const range = await rangeOf(reader, from, to);
  const found = rules.map(() => new Found(examples));
  if (range !== null && rules.length > 0) {
    const searches = rules.map((rule, number) => searchOf(rule, number, reader.indexed === true));
    const numbered = rules.map((rule, number) => ({ ...rule, number }));
    const { unknown, passes } = rules.length > 1 ? passesOf(numbered) : { unknown: [0], passes: [] };
    const known = await withFindings(reader, rules);
    let joined: { readonly key: string; readonly passes: readonly JoinedPass[] } = { key: '', passes: [] };
    let width = Math.max(1, Math.ceil((range.to - range.from) / SLICES));
    let widest = Infinity;
    for (let at = range.from; at < range.to;) {
      const slice = { from: at, to: Math.min(range.to, at + width) };
      let longest = 0;
      const timed = async <T>(act: () => Promise<T>): Promise<T> => {
        const began = clock();
        const done = await act();
        longest = Math.max(longest, clock() - began);
        return done;
      };
      const groups = async (sql: string): Promise<Groups> => (isOver() ? 'refused' : timed(() => groupsOf(reader, sql)));
      /** Rules with statements of their own in this slice. */
      const alone = new Set(unknown);
      const decided: Decided[] = [];
      const possible = new Set<number>();
      let isNarrow = true;
      for (const pass of passes) {
        const answer = await groups(pass.statement(slice, examples));
        isNarrow = answer !== 'many' || width <= NARROWEST;
        if (!isNarrow) break;
        if (typeof answer === 'string') {
          for (const rule of pass.rules) alone.add(rule);
          continue;
        }
        const decisions = pass.decide(answer);
        decided.push(...decisions.decided);
        for (const rule of decisions.possible) possible.add(rule);
      }
      if (isOver()) return;
      if (!isNarrow) {
        width = widest = Math.ceil(width / 2);
        continue;
      }
      for (const rule of new Set([...possible, ...decided.map((one) => one.rule)])) if (known.has(rules[rule]!.id ?? '')) alone.add(rule);
      const others = [...possible].filter((rule) => !alone.has(rule)).sort((a, b) => a - b);
      const key = others.join();
      if (joined.key !== key) joined = { key, passes: joinedPassesOf(others.map((rule) => numbered[rule]!)) };
      for (const pass of joined.passes) {
        const found = await decideJoined(pass, slice, { examples, groups, read: (sql) => timed(() => reader.read(sql)) });
        if (found === null) for (const rule of pass.rules) alone.add(rule);
        else decided.push(...found);
        if (isOver()) return;
      }
      for (const { rule, day, count, shown } of decided) if (!alone.has(rule)) found[rule]!.add(day, count, count, shown);
      for (const one of searches) {
        if (isOver()) return;
        if (alone.has(one.number)) await timed(() => search(reader, one, slice, examples, found[one.number]!, signal));
      }
      if (isOver()) return;
      at = slice.to;
      if (longest < SHORT_MS) width = Math.min(widest, width * 2);
      else if (longest > LONG_MS) width = Math.max(1, Math.ceil(width / 2));
      const matches = found.reduce((sum, { count }) => sum + count, 0);
      yield { kind: 'progress', done: (at - range.from) / (range.to - range.from), matches };
    }
    for (const { number, compared } of searches) {
      if (isOver()) return;
      if (known.has(rules[number]!.id ?? '')) await found[number]!.compare(reader, () => compared(range));
    }
  }
  yield { kind: 'result', range, rules: found.map((one) => one.result()) };
}

type Groups = readonly (readonly unknown[])[] | 'many' | 'refused';

async function groupsOf(reader: EventReader, sql: string): Promise<Groups> {
  try {
    const groups = await reader.read(sql);
    return groups.length > MAX_GROUPS ? 'many' : groups;
  } catch (error) {
    if (!(error instanceof StenoError) || error.code === 'STORE_UNAVAILABLE') throw error;
    return 'refused';
  }
}

/** Null: the rules need statements of their own. */
async function decideJoined(
  pass: JoinedPass,
  slice: Slice,
  {
    examples,
    groups,
    read,
  }: { readonly examples: number; readonly groups: (sql: string) => Promise<Groups>; readonly read: EventReader['read'] },
): Promise<readonly Decided[] | null> {
  const free = await groups(pass.free(slice, examples));
  if (typeof free === 'string') return null;
  const decided = [...pass.decide(free)];
  try {
    const sessions = (await read(pass.sessions(slice))).map(([session]) => String(session));
    for (let i = 0; i < sessions.length; i += JOINED_SESSIONS) {
      const answer = await groups(pass.statement(slice, examples, sessions.slice(i, i + JOINED_SESSIONS)));
      if (typeof answer === 'string') return null;
      decided.push(...pass.decide(answer));
    }
  } catch (error) {
    if (!(error instanceof StenoError) || error.code === 'STORE_UNAVAILABLE') throw error;
    return null;
  }
  return decided;
}

/** Ids of the rules that have findings. */
async function withFindings(reader: EventReader, rules: readonly SearchedRule[]): Promise<ReadonlySet<string>> {
  const ids = new Set(rules.flatMap(({ id }) => (id === undefined ? [] : [id])));
  if (ids.size === 0) return ids;
  const rows = await reader.read(`SELECT DISTINCT rule FROM findings WHERE rule IN (${[...ids].map(literal).join(', ')})`);
  return new Set(rows.map(([rule]) => String(rule)));
}

async function rangeOf(reader: EventReader, from: number | undefined, to: number | undefined): Promise<Slice | null> {
  if (from !== undefined && to !== undefined) return from < to ? { from, to } : null;
  const moment = (at: number): string => `toDateTime64(${literal(formatMoment(at))}, 3, 'UTC')`;
  const where = [...(from === undefined ? [] : [`at >= ${moment(from)}`]), ...(to === undefined ? [] : [`at < ${moment(to)}`])];
  const [row] = await reader.read(
    `SELECT count() > 0, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)) FROM events WHERE ${where.join(' AND ') || '1'}`,
  );
  if (row === undefined || Number(row[0]) === 0) return null;
  return { from: from ?? Number(row[1]), to: to ?? Number(row[2]) + 1 };
}

async function search(
  reader: EventReader,
  { counts, joined }: Search,
  slice: Slice,
  examples: number,
  found: Found,
  signal: AbortSignal | undefined,
): Promise<void> {
  const take = (rows: readonly (readonly unknown[])[]): void => {
    for (const [day, count, fresh, shown] of rows) found.add(String(day), Number(count), Number(fresh), shown as unknown[][]);
  };
  try {
    take(await reader.read(counts(slice, examples)));
    if (joined === null) return;
    const sessions = (await reader.read(joined.sessions(slice))).map(([session]) => String(session));
    for (let i = 0; i < sessions.length && signal?.aborted !== true; i += JOINED_SESSIONS)
      take(await reader.read(joined.counts(slice, examples, sessions.slice(i, i + JOINED_SESSIONS))));
  } catch (error) {
    found.fail(error);
  }
}

class Found {
  readonly #examples: number;
  readonly #days = new Map<string, number>();
  #shown: Example[] = [];
  #failure: RuleMatches['failure'] = null;
  #findings = { kept: 0, gone: 0 };
  #fresh = 0;
  count = 0;

  constructor(examples: number) {
    this.#examples = examples;
  }

  add(day: string, count: number, fresh: number, shown: readonly (readonly unknown[])[]): void {
    this.count += count;
    this.#fresh += fresh;
    this.#days.set(day, (this.#days.get(day) ?? 0) + count);
    if (this.#examples === 0) return;
    const seen = new Set(this.#shown.map(identity));
    for (const values of shown) {
      const example = exampleOf(values);
      if (!seen.has(identity(example))) this.#shown.push(example);
      seen.add(identity(example));
    }
    this.#shown = this.#shown.toSorted(earlier).slice(0, this.#examples);
  }

  async compare(reader: EventReader, sql: () => string): Promise<void> {
    try {
      const [[kept, all] = []] = await reader.read(sql());
      this.#findings = { kept: Number(kept), gone: Number(all) - Number(kept) };
    } catch (error) {
      this.fail(error);
    }
  }

  /** Throws errors that are not a rule's fault: without the store, no rule could be searched for. */
  fail(error: unknown): void {
    if (!(error instanceof StenoError) || error.code === 'STORE_UNAVAILABLE') throw error;
    this.#failure ??= { code: error.code, detail: error.detail ?? '' };
  }

  result(): RuleMatches {
    const days = [...this.#days].sort(([a], [b]) => (a < b ? -1 : 1)).map(([day, count]) => ({ day, count }));
    return { count: this.count, fresh: this.#fresh, findings: this.#findings, days, examples: this.#shown, failure: this.#failure };
  }
}

const identity = ({ session, source, emitter, block, index }: Example): string => `${session} ${source} ${emitter} ${block} ${index}`;

function earlier(a: Example, b: Example): number {
  if (a.at !== b.at) return a.at - b.at;
  if (a.session !== b.session) return a.session < b.session ? -1 : 1;
  if (a.source !== b.source) return a.source < b.source ? -1 : 1;
  if (a.emitter !== b.emitter) return a.emitter < b.emitter ? -1 : 1;
  return a.block === b.block ? a.index - b.index : a.block - b.block;
}

/** In the order of the tuple in passes.ts. */
function exampleOf(values: readonly unknown[]): Example {
  const [at, session, source, emitter, block, index, offset, kind, user, node, login, path, name, address] = values;
  return {
    at: Number(at),
    session: String(session),
    source: String(source),
    emitter: String(emitter),
    block: Number(block),
    index: Number(index),
    offset_ms: Number(offset),
    kind: String(kind),
    user: String(user),
    node: String(node),
    login: String(login),
    path: String(path),
    name: String(name),
    address: String(address),
  };
}
