/**
 * Fetches the newest statements of trusted clusters, so that a rotation of their CAs reaches us before it takes effect.
 *
 * The address was given by an administrator; what comes from it counts only by its signature, so it may be any server.
 * Answers are bounded in bytes and time, redirects are not followed. Tested in clusters.test.ts.
 */
import type { SignedStatement } from '#schemas/cluster.js';
import { MAX_STATEMENT, signedStatement } from '#schemas/cluster.js';
import { StenoError } from '#schemas/errors.js';

const TIMEOUT_MS = 10_000;
/** The text of the statement is JSON in JSON, and signatures come beside it. */
const MAX_ANSWER = MAX_STATEMENT * 3;

/** Rejects NOT_RUNNING when nothing answers, BAD_REQUEST when the answer is no statement. */
export async function fetchStatement(url: string): Promise<SignedStatement> {
  let text: string;
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS), headers: { accept: 'application/json' } });
    if (!response.ok) throw new Error(`status ${response.status}`);
    text = await bounded(response);
  } catch (cause) {
    throw new StenoError('NOT_RUNNING', `no statement from ${url}`, { cause });
  }
  try {
    return signedStatement.parse(JSON.parse(text));
  } catch (cause) {
    throw new StenoError('BAD_REQUEST', `what ${url} answers is no statement`, { cause });
  }
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_ANSWER) throw new Error('the answer is too long');
    text += decoder.decode(chunk as Uint8Array, { stream: true });
  }
  return text + decoder.decode();
}
