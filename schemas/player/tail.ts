/**
 * The tail of a live session: blocks that came over the socket and are not in a segment yet, in order. Dropped block by
 * block as segments take them over.
 *
 * Of the block that comes next, a draft may be here. Its events are only added to: what the block has beyond its draft
 * follows as further events, so that a place among the events stays good. A draft may also go beyond its block: its last line was open,
 * and too long for the block. Tested in tail.test.ts.
 */
import { parseLines } from './segments.js';
import type { ParsedLines, ScreenEvent } from './segments.js';

interface TailBlock {
  readonly n: number;
  readonly events: readonly ScreenEvent[];
  readonly characters: number;
}

/** What was drafted after the last block. */
interface Draft {
  readonly text: string;
  /** Its events as they came, output perhaps in pieces, each with its number among `whole`. */
  readonly pieces: readonly { readonly event: ScreenEvent; readonly of: number }[];
  /** The same, each output whole. */
  readonly whole: readonly ScreenEvent[];
  readonly until: number;
}

export interface Appended {
  readonly events: readonly ScreenEvent[];
  /** The block does not begin as its draft did, so what was drawn is not what was recorded. */
  readonly differs: boolean;
}

export class Tail {
  readonly #blocks: TailBlock[] = [];
  readonly #newlines: boolean;
  #block: number;
  #until: number;
  #draft: Draft | null = null;

  /** After block `block`, at session time `until` in ms. */
  constructor(block: number, until: number, newlines: boolean) {
    this.#block = block;
    this.#until = until;
    this.#newlines = newlines;
  }

  /** The last block that is known here or in a segment. A draft is no block yet. */
  get block(): number {
    return this.#block;
  }

  /** Session time of the last line. */
  get until(): number {
    return this.#draft?.until ?? this.#until;
  }

  /** Session time of the last line of a block. */
  get cut(): number {
    return this.#until;
  }

  get characters(): number {
    return this.#blocks.reduce((sum, { characters }) => sum + characters, 0);
  }

  get events(): readonly ScreenEvent[] {
    return [...this.#blocks.flatMap(({ events }) => events), ...(this.#draft?.pieces ?? []).map(({ event }) => event)];
  }

  /** Takes the next block's lines and returns the events that its draft did not have. */
  append(text: string): Appended {
    const start = this.#until;
    const { events, until, characters } = parseLines(text, start, this.#newlines);
    const draft = this.#draft;
    this.#draft = null;
    this.#block += 1;
    this.#until = until;
    const keep = (all: readonly ScreenEvent[]): unknown => this.#blocks.push({ n: this.#block, events: all, characters });
    if (draft === null) {
      keep(events);
      return { events, differs: false };
    }
    if (draft.text.length > text.length && draft.text.startsWith(text)) {
      const rest = draft.text.slice(text.length);
      keep(draft.pieces.filter(({ of }) => of < events.length).map(({ event }) => event));
      const pieces = draft.pieces.flatMap(({ event, of }) => (of < events.length ? [] : [{ event, of: of - events.length }]));
      this.#draft = { text: rest, pieces, whole: this.#drafted(rest).events, until: draft.until };
      return { events: [], differs: false };
    }
    const rest = beyond(draft.whole, events);
    keep(rest === null ? events : [...draft.pieces, ...rest].map(({ event }) => event));
    return rest === null ? { events, differs: true } : { events: rest.map(({ event }) => event), differs: false };
  }

  /** Takes the first text that was drafted after the last block, or (`begins` false) text that follows. Returns the events that are new. */
  draft(text: string, begins: boolean): Appended {
    const before = this.#draft ?? { text: '', pieces: [], whole: [], until: this.#until };
    const all = begins ? text : before.text + text;
    const { events, until } = this.#drafted(all);
    const rest = beyond(before.whole, events);
    if (rest !== null) {
      this.#draft = { text: all, pieces: [...before.pieces, ...rest], whole: events, until: Math.max(before.until, until) };
      return { events: rest.map(({ event }) => event), differs: false };
    }
    if (beyond(events, before.whole) !== null) {
      // The same draft comes again, piece by piece.
      this.#draft = { ...before, text: all };
      return { events: [], differs: false };
    }
    this.#draft = { text: all, pieces: events.map((event, of) => ({ event, of })), whole: events, until };
    return { events, differs: true };
  }

  /** Segments now reach to `block`, at session time `until`. Returns how many events left the tail. */
  stored(block: number, until: number): number {
    let dropped = 0;
    while (this.#blocks.length > 0 && this.#blocks[0]!.n <= block) dropped += this.#blocks.shift()!.events.length;
    if (block > this.#block) {
      dropped += this.#draft?.pieces.length ?? 0;
      this.#draft = null;
      this.#block = block;
      this.#until = until;
    }
    return dropped;
  }

  /** Lines of which the last may lack its end. */
  #drafted(text: string): ParsedLines {
    return parseLines(text.endsWith('\n') ? text : `${text}"]`, this.#until, this.#newlines);
  }
}

/** What `events` have beyond `begun`, of which the last output may go on; null unless they begin with them. */
function beyond(begun: readonly ScreenEvent[], events: readonly ScreenEvent[]): Draft['pieces'] | null {
  const last = begun.length - 1;
  for (const [i, before] of begun.entries()) {
    const event = events[i];
    if (event === undefined || event.at !== before.at || event.kind !== before.kind) return null;
    if (event.kind === 'resize' && before.kind === 'resize' && (event.cols !== before.cols || event.rows !== before.rows)) return null;
    if (event.kind !== 'output' || before.kind !== 'output') continue;
    if (i < last ? event.text !== before.text : !event.text.startsWith(before.text)) return null;
  }
  const rest = events.slice(begun.length).map((event, i) => ({ event, of: begun.length + i }));
  const [grown, before] = [events[last], begun[last]];
  if (grown?.kind !== 'output' || before?.kind !== 'output' || grown.text.length === before.text.length) return rest;
  return [{ event: { ...grown, text: grown.text.slice(before.text.length) }, of: last }, ...rest];
}
