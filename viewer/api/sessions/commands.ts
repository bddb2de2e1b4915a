/**
 * Reads the rows from which the commands of a session are derived, a limited number at a time. Tested in
 * viewer/api/replay-page.test.ts.
 *
 * One answer reads `MAX_LINES` lines, as many shell marks and `MAX_EVENTS` kernel events; it says where it ends, and the next answer
 * begins there. Results for sealed sessions are cached for a while, since a page asks again when a user returns.
 */
import { LRUCache } from 'lru-cache';
import type { CommandList } from '#schemas/api/recordings/commands.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { LoginRows } from '#schemas/kernel/login-rows.js';
import type { EventStore, ScreenLine } from '#stores/events/contract.js';
import { deriveCommands } from '#recordings/derive/commands.js';
import type { Marked, Ran, ShownLine } from '#recordings/derive/commands.js';

const MAX_LINES = 10_000;
const MAX_EVENTS = 20_000;
const EVENTS_A_PAGE = 1_000;
const KEPT = 50;

type Store = Pick<EventStore, 'events' | 'screenLines' | 'screenAround'>;
type Session = Pick<SessionRow, 'session' | 'state' | 'started_at' | 'ended_at'>;

export class CommandLists {
  readonly #events: Store;
  readonly #clock: () => number;
  readonly #kept = new LRUCache<string, CommandList>({ max: KEPT });

  constructor(events: Store, clock: () => number) {
    this.#events = events;
    this.#clock = clock;
  }

  async of(row: Session, from: number): Promise<CommandList> {
    const key = `${row.session} ${from}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const made = await this.#read(row, from);
    if (row.state === 'sealed') this.#kept.set(key, made);
    return made;
  }

  async #read(row: Session, from: number): Promise<CommandList> {
    const lines = await this.#lines(row.session, from);
    const kernel = await this.#kernel(row, from);
    const marks = await this.#marks(row, from);
    const ends = [lines.until, kernel.until, marks.until].filter((end) => end !== null);
    // Nothing is concluded if either side is missing.
    const until = ends.length === 0 ? null : Math.max(from + 1, Math.min(...ends));
    const within = <T extends { readonly offset: number }>(all: readonly T[]): readonly T[] =>
      until === null ? all : all.filter(({ offset }) => offset < until);
    const end = until ?? Math.max(0, (row.ended_at ?? this.#clock()) - row.started_at);
    return {
      ...deriveCommands(within(lines.lines), within(kernel.ran), end, within(marks.marks)),
      watched: kernel.ran.some(({ kind }) => kind === 'exec'),
      ...{ from, until },
    };
  }

  async #lines(session: string, from: number): Promise<{ readonly lines: readonly ShownLine[]; readonly until: number | null }> {
    let after: { readonly block: number; readonly index: number } | null = null;
    if (from > 0) {
      const [around = []] = await this.#events.screenAround([{ session, offset_ms: from }], 1);
      const before = around.findLast(({ offset_ms: offset }) => offset <= from);
      if (before !== undefined) after = { block: before.block, index: before.index };
    }
    const found: readonly ScreenLine[] = await this.#events.screenLines(session, after, MAX_LINES);
    const lines = found.map(({ block, index, offset_ms: offset, text }) => ({ place: `${block}.${index}`, offset, text }));
    return { lines, until: lines.length < MAX_LINES ? null : (lines.at(-1)?.offset ?? null) };
  }

  async #marks(
    { session, started_at: started }: Session,
    from: number,
  ): Promise<{ readonly marks: readonly Marked[]; readonly until: number | null }> {
    const marks: Marked[] = [];
    for (let cursor: string | undefined; ;) {
      const { rows, next } = await this.#events.events({
        ...{ session, order: 'session', source: 'recording', kinds: ['shell'], limit: EVENTS_A_PAGE, cursor },
        from: from === 0 ? undefined : started + from,
      });
      marks.push(...rows.flatMap((row) => markOf(row) ?? []));
      if (next === null) return { marks, until: null };
      if (marks.length >= MAX_LINES) return { marks, until: marks.at(-1)!.offset };
      cursor = next;
    }
  }

  async #kernel(
    { session, started_at: started }: Session,
    from: number,
  ): Promise<{ readonly ran: readonly Ran[]; readonly until: number | null }> {
    const ran: Ran[] = [];
    // The node service's login is no command, and a screen shows nothing of it.
    const login = new LoginRows();
    for (let cursor: string | undefined; ;) {
      const { rows, next } = await this.#events.events({
        ...{ session, order: 'session', source: 'kernel', kinds: ['fork', 'exec', 'exit', 'gap'], limit: EVENTS_A_PAGE, cursor },
        from: from === 0 ? undefined : started + from,
      });
      ran.push(...rows.flatMap((row) => (from === 0 && login.take(row) ? [] : (ranOf(row) ?? []))));
      if (next === null) break;
      if (ran.length >= MAX_EVENTS) return { ran, until: ran.at(-1)!.offset };
      cursor = next;
    }
    const gaps = await this.#events.events({ session, order: 'session', source: 'recording', kinds: ['gap'], limit: EVENTS_A_PAGE });
    ran.push(...gaps.rows.filter(({ reason }) => reason === 'kernel_events').flatMap((row) => ranOf(row) ?? []));
    return { ran, until: null };
  }
}

function markOf({ offset_ms: offset, name: text, reason: prompt, data }: EventRow): Marked | null {
  const { mark, exit } = valuesOf(data);
  if (mark === 'begin') return { kind: 'begin', offset, prompt, text };
  return mark === 'end' ? { kind: 'end', offset, exit: typeof exit === 'string' ? exit : '' } : null;
}

/** Null for a row without a process: it identifies no process of this session. */
function ranOf(row: EventRow): Ran | null {
  const offset = row.offset_ms;
  const data = valuesOf(row.data);
  const number = (name: string): number | null => (typeof data[name] === 'number' ? data[name] : null);
  if (row.kind === 'gap') {
    const from = number('first_ms') ?? number('from') ?? offset;
    return { kind: 'gap', offset: from, until: Math.max(from, number('last_ms') ?? number('to') ?? offset) };
  }
  const pid = number('pid');
  const child = number('child');
  if (pid === null) return null;
  if (row.kind === 'fork') return child === null ? null : { kind: 'fork', offset, pid, child };
  if (row.kind === 'exec') return { kind: 'exec', offset, pid, parent: number('ppid'), path: row.path, text: row.name };
  return row.kind === 'exit' ? { kind: 'exit', offset, pid, how: row.name } : null;
}

function valuesOf(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
