/**
 * OCSF as JSON lines by POST: a batch is delivered when the response is 2xx. Statuses about the content (400, 413, 422) refuse the
 * batch; any other response, including redirects, is retried. Tested in exporter.test.ts.
 */
import { request as plainRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { RefusedLines, TIMEOUT_MS, secureContext } from './sending.js';
import type { Line, ReadCredentials, WayOut } from './sending.js';

const REFUSALS: ReadonlySet<number> = new Set([400, 413, 415, 422]);

export class HttpsWayOut implements WayOut {
  readonly #url: string;
  readonly #credentials: ReadCredentials;
  readonly #timeoutMs: number;
  #agent: Agent | null = null;

  constructor({ url }: { readonly url: string }, credentials: ReadCredentials, timeoutMs = TIMEOUT_MS) {
    this.#url = url;
    this.#credentials = credentials;
    this.#timeoutMs = timeoutMs;
  }

  async send(lines: readonly Line[], signal: AbortSignal): Promise<void> {
    const body = Buffer.from(lines.map(({ json }) => `${json}\n`).join(''));
    const url = this.#url;
    const credentials = this.#credentials();
    const { token } = credentials;
    const isPlain = url.startsWith('http:');
    if (!isPlain) this.#agent ??= new Agent({ keepAlive: true, maxSockets: 1, ...secureContext(credentials) });
    const options = {
      method: 'POST',
      signal,
      timeout: this.#timeoutMs,
      headers: {
        'content-type': 'application/x-ndjson',
        'content-length': body.length,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    };
    try {
      const status = await new Promise<number>((resolve, reject) => {
        const take = (response: IncomingMessage): void => {
          response.on('error', reject);
          response.on('end', () => resolve(response.statusCode ?? 0));
          response.resume();
        };
        const sent = isPlain ? plainRequest(url, options, take) : request(url, { ...options, agent: this.#agent! }, take);
        // A time limit for the whole response, not for silence, so that a collector that trickles bytes delays nobody for ever.
        const timer = setTimeout(() => sent.destroy(new Error('the collector does not answer')), this.#timeoutMs);
        sent.on('close', () => clearTimeout(timer));
        sent.on('timeout', () => sent.destroy(new Error('the collector does not answer')));
        sent.on('error', reject);
        sent.end(body);
      });
      if (status >= 200 && status < 300) return;
      if (REFUSALS.has(status)) throw new RefusedLines(`the collector answered ${status}`);
      throw new Error(`the collector answered ${status}`);
    } catch (error) {
      // The next connection then presents the current credentials.
      if (!(error instanceof RefusedLines)) this.close();
      throw error;
    }
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = null;
  }
}
