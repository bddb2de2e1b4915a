/** Close codes of the WebSocket; the page shows the reason that comes with them. */
export const terminalCloses = {
  /** The gateway ended the connection; SSH itself has said why. */
  over: 1000,
  /** A message that no client of ours sends. */
  misuse: 4400,
  signedOut: 4401,
  /** Nothing passed either way for hours. */
  idle: 4408,
  /** The browser does not answer. */
  lost: 4409,
  /** The stream to be resumed has ended. */
  gone: 4410,
  /** Too many terminals, of this user or of all. */
  full: 4429,
  /** No gateway answers, or this server is shutting down. */
  unavailable: 4503,
} as const;
