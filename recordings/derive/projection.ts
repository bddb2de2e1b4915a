/**
 * Derives from the blocks of one session, in order, the rows for search and the anchors at which deriving can restart.
 *
 * Live ingest, restarts and `steno reindex` all use this path: the same blocks give the same rows and keyframes, byte for
 * byte, whether deriving began at block 1 or at an anchor. Tested in ingest/writing/session-writer.test.ts.
 */
import type { Keyframe, RecordingHeader } from '#schemas/recording/line.js';
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';
import type { ReadBlock } from '../read/block-reader.js';
import { EpochCutter } from './epoch.js';
import { bounded, eventRow, eventRows, momentOf, placeOf } from './event-rows.js';
import type { Place } from './event-rows.js';
import { PlainIndex } from '../render/plain-index.js';
import { ScreenIndex } from '../render/screen-index.js';
import type { SeenBlock, ShellMark } from '../render/screen-index.js';

export interface Rows {
  readonly screen: readonly ScreenRow[];
  readonly events: readonly EventRow[];
}

export interface Projected extends Rows {
  /** Whether a frame must begin with this block. */
  readonly startsEpoch: boolean;
  /** The keyframe before this block if a terminal's epoch begins here; null at block 1. */
  readonly anchor: Keyframe | null;
}

export interface Anchor {
  readonly keyframe: Keyframe;
  /** Session time in ms. */
  readonly at: number;
}

export class Projection {
  readonly #header: RecordingHeader;
  readonly #place: Place;
  readonly #epochs = new EpochCutter();
  #index: ScreenIndex | PlainIndex;
  #fresh = true;
  #last = { n: 0, at: 0, screen: 0, events: 0 };

  /** `anchor`: of the epoch that starts with the next block to be added; without one, that is block 1. */
  constructor(header: RecordingHeader, anchor?: Anchor) {
    this.#header = header;
    this.#place = placeOf(header);
    this.#index = header.steno.tty ? new ScreenIndex(header.term, anchor) : new PlainIndex();
  }

  block(block: ReadBlock): Projected {
    const startsEpoch = this.#epochs.startsEpoch(block.content.length, block.at);
    let anchor: Keyframe | null = null;
    if (startsEpoch && !this.#fresh && this.#index instanceof ScreenIndex) {
      anchor = this.#index.keyframe(true);
      this.#index.dispose();
      this.#index = new ScreenIndex(anchor, { keyframe: anchor, at: block.from });
    }
    this.#fresh = false;
    for (const { line, at } of block.lines) this.#index.line(line, at);
    this.#last = { n: block.n, at: block.until, screen: 0, events: 0 };
    return { ...this.#rows(this.#index.endBlock(), eventRows(this.#header, block)), startsEpoch, anchor };
  }

  /** Rows still pending at the end of the session; they belong to the last block. */
  finish(): Rows {
    return this.#rows(this.#index.finish(), []);
  }

  /** The screen after the last block; null without a terminal. */
  snapshot(): Keyframe | null {
    return this.#index instanceof ScreenIndex ? this.#index.keyframe(false) : null;
  }

  dispose(): void {
    if (this.#index instanceof ScreenIndex) this.#index.dispose();
  }

  #rows(seen: SeenBlock, events: EventRow[]): Rows {
    const { n, at } = this.#last;
    const { session, user, node, login } = this.#place;
    // Written out: an object spread per row is half the cost of a row.
    const screen = seen.lines.map((line, i): ScreenRow => ({
      session,
      block: n,
      index: this.#last.screen + i,
      at: momentOf(this.#header, line.at),
      offset_ms: line.at,
      row: line.row,
      text: bounded(line.text, 65_536),
      user,
      node,
      login,
    }));
    for (const mark of seen.marks) events.push(eventRow(this.#header, n, this.#last.events + events.length, mark.at, shellFacts(mark)));
    if (seen.dropped > 0) {
      events.push(
        eventRow(this.#header, n, this.#last.events + events.length, at, {
          kind: 'gap',
          reason: 'screen_index',
          name: 'more lines in one block than the index holds',
          count: seen.dropped,
        }),
      );
    }
    this.#last = { n, at, screen: this.#last.screen + screen.length, events: this.#last.events + events.length };
    return { screen, events };
  }
}

function shellFacts(mark: ShellMark): Parameters<typeof eventRow>[4] {
  if (mark.mark === 'begin')
    return { kind: 'shell', name: bounded(mark.text, 4096), reason: bounded(mark.prompt, 4096), data: JSON.stringify({ mark: 'begin' }) };
  const outcome = mark.exit === '' ? '' : mark.exit === '0' ? 'success' : 'failure';
  return { kind: 'shell', outcome, data: JSON.stringify({ mark: 'end', exit: mark.exit }) };
}
