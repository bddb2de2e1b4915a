/**
 * Fetches the newest statements of trusted clusters, so that a rotation of their CAs reaches us before it takes effect.
 *
 * An administrator gave the address; answers are trusted by their signature alone, so it may be any server. Answers are
 * limited in size and time, and redirects are not followed. Tested in clusters.test.ts.
 */
import type { SignedStatement } from '#schemas/documents/cluster.js';
import { MAX_NODES_STATEMENT, MAX_STATEMENT, signedNodes, signedStatement } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';

const TIMEOUT_MS = 10_000;
/** The statement is JSON within JSON, accompanied by signatures. */
const MAX_ANSWER = MAX_STATEMENT * 3;
/** Short, because a person is waiting. */
const NODES_TIMEOUT_MS = 3_000;
const MAX_NODES_ANSWER = MAX_NODES_STATEMENT * 3;

/** Rejects with NOT_RUNNING if nothing answers, or BAD_REQUEST if the answer is not a statement. */
export function fetchStatement(url: string): Promise<SignedStatement> {
  return fetchSigned(
    url,
    { headers: { accept: 'application/json' } },
    { schema: signedStatement, timeoutMs: TIMEOUT_MS, most: MAX_ANSWER },
  );
}

/** Asks a cluster which of its nodes a user may reach: `URL/nodes`. */
export function askNodes(url: string, question: SignedStatement): Promise<SignedStatement> {
  const body = JSON.stringify(question);
  // Browsers name the requesting page in Origin; this server requests for itself.
  return fetchSigned(
    `${url}/nodes`,
    { method: 'POST', body, headers: { accept: 'application/json', 'content-type': 'application/json' } },
    { schema: signedNodes, timeoutMs: NODES_TIMEOUT_MS, most: MAX_NODES_ANSWER },
  );
}

/** `most`: maximum bytes of the answer. */
async function fetchSigned(
  url: string,
  request: RequestInit,
  {
    schema,
    timeoutMs,
    most,
  }: { readonly schema: typeof signedStatement | typeof signedNodes; readonly timeoutMs: number; readonly most: number },
): Promise<SignedStatement> {
  let text: string;
  try {
    const response = await fetch(url, { ...request, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    text = await bounded(response, most);
  } catch (cause) {
    throw new StenoError('NOT_RUNNING', `no statement from ${url}`, { cause });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new StenoError('BAD_REQUEST', `what ${url} answers is no statement`, { cause });
  }
}

async function bounded(response: Response, most: number): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > most) throw new Error('the answer is too long');
    text += decoder.decode(chunk as Uint8Array, { stream: true });
  }
  return text + decoder.decode();
}
