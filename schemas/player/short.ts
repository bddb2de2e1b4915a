/**
 * A recording shorter than this, in ms, is a command rather than a session: what it left on the screen says more than how it began, and
 * its moments need hundredths of a second.
 */
export const SHORT_MS = 2_000;
