/**
 * Epochs: runs of blocks over which the screen index is derived with no memory of what was before.
 *
 * Where an epoch begins is a function of the blocks alone, not of checkpoints or of when ingest was restarted. For a
 * terminal it begins with an anchor: a keyframe of which the terminal is made anew, so whoever starts there goes on
 * exactly as whoever came through. A frame holds at most one epoch in a part, and whole epochs in a sealed recording.
 * Tested in ingest/writing/session-writer.test.ts.
 */

/** With its keyframe and one more block an epoch fits one zstd frame (512 KiB). */
export const EPOCH_MAX_BYTES = 440 << 10;
export const EPOCH_MAX_MS = 900_000;

export class EpochCutter {
  #bytes = 0;
  #start = 0;

  /** Takes the next block: `bytes` of content, `at` the session time of its first line in ms. */
  startsEpoch(bytes: number, at: number): boolean {
    const starts = this.#bytes === 0 || this.#bytes + bytes > EPOCH_MAX_BYTES || at - this.#start >= EPOCH_MAX_MS;
    if (starts) {
      this.#bytes = 0;
      this.#start = at;
    }
    this.#bytes += bytes;
    return starts;
  }
}
