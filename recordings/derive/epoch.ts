/**
 * Epochs: runs of blocks over which the screen index is derived without state from earlier blocks.
 *
 * Epoch boundaries are a function of the blocks alone, not of checkpoints or restarts of ingest. For a terminal, an epoch
 * begins with an anchor: a keyframe from which the terminal is rebuilt, so deriving from there gives exactly the same result
 * as deriving from the start. A frame holds at most one epoch in a part, and whole epochs in a sealed recording. Tested in
 * ingest/writing/session-writer.test.ts.
 */

/** An epoch with its keyframe and one more block fits one zstd frame (512 KiB). */
export const EPOCH_MAX_BYTES = 440 << 10;
const EPOCH_MAX_MS = 900_000;

export class EpochCutter {
  #bytes = 0;
  #start = 0;

  /** Processes the next block: `bytes` of content, `at` the session time of its first line in ms. */
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
