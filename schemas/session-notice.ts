/**
 * Notices to the participants of a live session: `steno sessions notice`.
 *
 *     POST /v1/session-notices {session, text} → authority → every gateway, with the watch → the session's terminal
 *
 * The authority publishes a notice for NOTICE_MS, so that a briefly disconnected gateway still shows it; each gateway shows a
 * notice once. The line on the terminal names its sender, so that it cannot pass for a message of Steno itself.
 */
import { z } from 'zod';
import { isSessionId } from './recording/line.js';

/** How long a notice is published. */
export const NOTICE_MS = 30_000;
/** Most notices published at the same time, which every watcher must hold. */
export const MAX_NOTICES = 200;

export const noticeBody = z.strictObject({
  session: z.string().refine(isSessionId, 'is not a session id'),
  /** One line for somebody's terminal: no control characters, and none that change the order of others. */
  text: z
    .string()
    .min(1)
    .max(300)
    .regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'is not one line of plain text'),
});

export interface SessionNotice {
  readonly id: string;
  readonly session: string;
  readonly text: string;
  /** Name of the user who sent it. */
  readonly by: string;
  /** ms since 1970. */
  readonly expires_at: number;
}
