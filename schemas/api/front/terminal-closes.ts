/** How the WebSocket closes; the page shows the reason that comes along. */
export const terminalCloses = {
  /** The gateway ended the connection; SSH itself has said why. */
  over: 1000,
  /** What no client of ours sends. */
  misuse: 4400,
  signedOut: 4401,
  /** Nothing passed either way for hours. */
  idle: 4408,
  /** The browser does not answer. */
  lost: 4409,
  /** What was to be resumed is over. */
  gone: 4410,
  /** Too many terminals, of this user or of all. */
  full: 4429,
  /** No gateway answers, or this server is shutting down. */
  unavailable: 4503,
} as const;
