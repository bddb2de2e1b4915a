/** Notices on the terminal of a live session: `steno sessions notice`. */
import { z } from 'zod';
import { NOTICE_MS, noticeBody } from '../../session-notice.js';
import { endpoint, noParams } from '../../endpoint/endpoint.js';

export const postSessionNotice = endpoint({
  method: 'POST',
  path: '/v1/session-notices',
  summary: `Show a line on the terminal of a live session. Gateways get it within a second, or when they reconnect within ${NOTICE_MS / 1000} s.`,
  admits: ['lock:create'],
  event: 'session_notice.post',
  params: noParams,
  body: noticeBody,
  answer: z.strictObject({ id: z.string(), expires_at: z.int() }).readonly(),
  errors: ['TOO_MANY'],
});

export const sessionNoticeEndpoints = [postSessionNotice] as const;
