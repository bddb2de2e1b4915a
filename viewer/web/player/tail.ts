/**
 * The tail of a live session: blocks that came over the socket and are not in a segment yet, in order. Dropped block by
 * block as segments take them over. Tested in tail.test.ts.
 */
import { parseLines } from './segments.js';
import type { ScreenEvent } from './segments.js';

export class Tail {
  readonly #blocks: { readonly n: number; readonly events: readonly ScreenEvent[]; readonly characters: number }[] = [];
  readonly #newlines: boolean;
  #block: number;
  #until: number;

  /** After block `block`, at session time `until` in ms. */
  constructor(block: number, until: number, newlines: boolean) {
    this.#block = block;
    this.#until = until;
    this.#newlines = newlines;
  }

  /** The last block that is known here or in a segment. */
  get block(): number {
    return this.#block;
  }

  /** Session time of the last line. */
  get until(): number {
    return this.#until;
  }

  get characters(): number {
    return this.#blocks.reduce((sum, { characters }) => sum + characters, 0);
  }

  get events(): readonly ScreenEvent[] {
    return this.#blocks.flatMap(({ events }) => events);
  }

  /** Takes the next block's lines and returns its events. */
  append(text: string): readonly ScreenEvent[] {
    const { events, until, characters } = parseLines(text, this.#until, this.#newlines);
    this.#block += 1;
    this.#until = until;
    this.#blocks.push({ n: this.#block, events, characters });
    return events;
  }

  /** Segments now reach to `block`, at session time `until`. Returns how many events left the tail. */
  stored(block: number, until: number): number {
    let dropped = 0;
    while (this.#blocks.length > 0 && this.#blocks[0]!.n <= block) dropped += this.#blocks.shift()!.events.length;
    if (block > this.#block) {
      this.#block = block;
      this.#until = until;
    }
    return dropped;
  }
}
