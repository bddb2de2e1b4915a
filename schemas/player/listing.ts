/**
 * Waits until a session is listed, for whoever opened it by its id before the store knew of it: the page, and `steno join` going back.
 *
 *     waiting ──`look` says so──► listed          `look` fails ──► rejected
 *        └──after `WAIT_MS`, or `stopped`──► unlisted
 *
 * A session that does not exist and one that the user may not list look the same, so the wait is bounded. Tested in listing.test.ts, and in
 * the page in test/end-to-end/early-page.test.ts.
 */

/** A gateway that reaches ingest hands over the first block within a second or two of the session's start. */
export const WAIT_MS = 120_000;
export const LOOK_MS = 1_000;

export interface ListingParts {
  /** Whether the session is listed now. */
  readonly look: () => Promise<boolean>;
  /** See `ReplayParts`. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly stopped: () => boolean;
}

export async function untilListed({ look, after, stopped }: ListingParts): Promise<boolean> {
  for (let waited = 0; waited < WAIT_MS && !stopped(); waited += LOOK_MS) {
    if (await look()) return !stopped();
    await new Promise<void>((resolve) => void after(LOOK_MS, resolve));
  }
  return false;
}
