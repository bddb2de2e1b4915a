/** The WebSocket of a terminal in the page: the bytes of one SSH connection from the browser to a gateway. Decision 0129. */
import { z } from 'zod';
import { noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { resumption } from '../../terminal/resumption.js';

/** Most bytes of one message, in either direction: an SSH packet of 32 KiB and its framing. */
export const MAX_TERMINAL_MESSAGE = 64 << 10;

export const openTerminal = viewerEndpoint({
  method: 'GET',
  path: '/api/terminal',
  summary: 'Reach a gateway: a WebSocket of binary messages, the bytes of one SSH connection.',
  admits: ['user'],
  params: noParams,
  /** `resume`: `new` for a stream in frames that can be resumed, or the name of the one to resume. */
  query: z.strictObject({ resume: resumption.exactOptional() }),
  body: noBody,
  answer: z.string(),
  media: 'application/octet-stream',
  errors: [],
});

export const terminalFrontEndpoints = [openTerminal] as const;
