/**
 * The tail of a live session: blocks that came over the socket and are not in a segment yet, in order. Each is dropped once a segment
 * contains it.
 *
 * The tail may also hold a draft of the next block. The events of a draft are only appended to: whatever the block has beyond its draft
 * follows as further events, so that an index into the events stays valid. A draft may also extend past its block, if the draft's last
 * line was still open and then turned out too long for the block. Tested in tail.test.ts.
 */
import { parseLines } from './segments.js';
import type { ParsedLines, ScreenEvent } from './segments.js';

interface TailBlock {
  readonly n: number;
  readonly events: readonly ScreenEvent[];
  readonly characters: number;
}

/** Text drafted after the last block. */
interface Draft {
  readonly text: string;
  /** The draft's events as they came, with output possibly in pieces; `of` is the index of each in `whole`. */
  readonly pieces: readonly { readonly event: ScreenEvent; readonly of: number }[];
  /** The same events, each output in one piece. */
  readonly whole: readonly ScreenEvent[];
  readonly until: number;
}

export interface Appended {
  readonly events: readonly ScreenEvent[];
  /** The block does not begin like its draft, so the screen shows something that was not recorded. */
  readonly differs: boolean;
}

export class Tail {
  readonly #blocks: TailBlock[] = [];
  readonly #newlines: boolean;
  #block: number;
  #until: number;
  #draft: Draft | null = null;

  /** Starts after block `block`, at session time `until` in ms. */
  constructor(block: number, until: number, newlines: boolean) {
    this.#block = block;
    this.#until = until;
    this.#newlines = newlines;
  }

  /** The last block known here or in a segment. A draft does not count. */
  get block(): number {
    return this.#block;
  }

  /** Session time of the last line. */
  get until(): number {
    return this.#draft?.until ?? this.#until;
  }

  /** Session time of the last line of the last complete block. */
  get cut(): number {
    return this.#until;
  }

  get characters(): number {
    return this.#blocks.reduce((sum, { characters }) => sum + characters, 0);
  }

  get events(): readonly ScreenEvent[] {
    return [...this.#blocks.flatMap(({ events }) => events), ...(this.#draft?.pieces ?? []).map(({ event }) => event)];
  }

  /** Takes the next block's lines and returns the events that its draft did not contain. */
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

  /** Takes the first text drafted after the last block, or (`begins` false) the text that follows it. Returns the new events. */
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
      // The same draft is being sent again, piece by piece.
      this.#draft = { ...before, text: all };
      return { events: [], differs: false };
    }
    this.#draft = { text: all, pieces: events.map((event, of) => ({ event, of })), whole: events, until };
    return { events, differs: true };
  }

  /** Called when segments reach to `block`, at session time `until`. Returns how many events left the tail. */
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

  /** Parses lines of which the last may be incomplete. */
  #drafted(text: string): ParsedLines {
    return parseLines(text.endsWith('\n') ? text : `${text}"]`, this.#until, this.#newlines);
  }
}

/** The part of `events` after `begun`, whose last output may have grown; null unless `events` begins with `begun`. */
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
