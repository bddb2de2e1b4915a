/**
 * ClickHouse's HTTP interface, served from chDB, for machines where no server can be installed.
 *
 * It serves what Steno's engine uses, as a server does: POST / with the statement in the body, or in `query` with rows in the
 * body; parameters (`param_NAME`), settings and the database in the query string; gzip both ways; the code of an exception in
 * `X-ClickHouse-Exception-Code` and its text in the body. It is not a real server: one machine, no users, no replication, and it
 * reads a whole result before sending the first byte. Faults can be planned for the next request. For tests only.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Session } from 'chdb';

export type HttpFault =
  /** The statement is run or not; then `after` bytes of the response, head and body, are sent before the connection is cut. */
  | { readonly kind: 'cut'; readonly after: number; readonly run: boolean }
  /** The first half of the response, then an exception in the stream, as a server writes it once it has begun to respond. */
  | { readonly kind: 'exception' }
  | { readonly kind: 'status'; readonly status: number; readonly body: string }
  /** No response is sent, whether or not the statement runs. */
  | { readonly kind: 'silence'; readonly run: boolean };

export interface HttpFront {
  readonly url: string;
  /** Requests so far, failed ones included. */
  readonly requests: number;
  /** Bytes of the last response on the wire, including its end. */
  readonly answered: number;
  /** Sets the fault of the next request; several faults queue. */
  plan(fault: HttpFault): void;
  close(): Promise<void>;
}

/** Parameters of the HTTP interface rather than of the engine. */
const transport = new Set(['query', 'query_id', 'database', 'default_format', 'session_id', 'enable_http_compression']);
const served = new Set(['wait_end_of_query', 'send_progress_in_http_headers', 'http_headers_progress_interval_ms', 'role']);
const TAG = 'steno0000exception';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** One connection of the engine, used by one request at a time, and reopened after a failure. */
class Worker {
  readonly #path: string;
  #session: Session;
  #last: Promise<unknown> = Promise.resolve();
  waiting = 0;

  constructor(path: string) {
    this.#path = path;
    this.#session = new Session(path);
  }

  run(statements: readonly string[]): Promise<Buffer> {
    this.waiting += 1;
    const done = this.#last.then(async () => {
      try {
        let result = Buffer.alloc(0);
        for (const statement of statements)
          result = Buffer.from((await this.#session.queryAsync(statement, { format: 'TabSeparated' })).bytes());
        return result;
      } catch (error) {
        const old = this.#session;
        this.#session = new Session(this.#path);
        old.close();
        throw error;
      } finally {
        this.waiting -= 1;
      }
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#last;
    this.#session.close();
  }
}

export async function openHttpFront(path: string): Promise<HttpFront> {
  // Fewer than libuv's threads, since a long statement occupies one.
  const workers = [new Worker(path), new Worker(path), new Worker(path)];
  const faults: HttpFault[] = [];
  let requests = 0;
  let answered = 0;

  const answer = async (request: IncomingMessage, url: URL): Promise<Answer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const sent = Buffer.concat(chunks);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const query = url.searchParams.get('query');
    const statement = query === null ? body.toString('utf8') : `${query}\n${body.toString('utf8')}`;
    const database = url.searchParams.get('database') ?? 'default';
    const before = [`USE ${database}`];
    for (const [name, value] of url.searchParams) {
      if (transport.has(name) || served.has(name)) continue;
      if (!/^\w+$/.test(name)) return exception(400, 36, 'BAD_ARGUMENTS');
      before.push(`SET ${name} = ${name.startsWith('param_') ? literal(value) : /^\d+$/.test(value) ? value : literal(value)}`);
    }
    const worker = workers.reduce((best, one) => (one.waiting < best.waiting ? one : best));
    try {
      const result = await worker.run([...before, statement]);
      return { status: 200, headers: { 'content-type': 'text/plain; charset=UTF-8' }, body: result };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const code = /Code: (\d+)/.exec(text)?.[1] ?? '1002';
      return {
        status: code === '60' || code === '81' ? 404 : code === '516' ? 403 : 500,
        headers: { 'x-clickhouse-exception-code': code },
        body: Buffer.from(`${text}\n`),
      };
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    requests += 1;
    const fault = faults.shift();
    const url = new URL(request.url ?? '/', 'http://front');
    if (fault?.kind === 'status') {
      request.resume();
      response.writeHead(fault.status, { 'content-type': 'text/plain' }).end(fault.body);
      return;
    }
    if ((fault?.kind === 'cut' || fault?.kind === 'silence') && !fault.run) request.resume();
    const made =
      (fault?.kind === 'cut' || fault?.kind === 'silence') && !fault.run ? exception(500, 1002, 'not run') : await answer(request, url);
    if (fault?.kind === 'silence') return;
    const zipped =
      /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? '')) && url.searchParams.get('enable_http_compression') === '1';
    const headers = {
      ...made.headers,
      'x-clickhouse-server-display-name': 'front',
      'x-clickhouse-timezone': 'UTC',
      'x-clickhouse-query-id': url.searchParams.get('query_id') ?? '',
      'x-clickhouse-summary':
        '{"read_rows":"0","read_bytes":"0","written_rows":"0","written_bytes":"0","result_rows":"0","result_bytes":"0","elapsed_ns":"0"}',
      'x-clickhouse-exception-tag': TAG,
    };
    let body = made.body;
    if (fault?.kind === 'exception') {
      const text = 'Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)\n';
      const end = `\r\n__exception__\r\n${TAG}\r\n${text}${text.length} ${TAG}\r\n__exception__\r\n`;
      body = Buffer.concat([body.subarray(0, body.length >> 1), Buffer.from(end)]);
    }
    const packed = zipped ? gzipSync(body) : body;
    const all = { ...headers, ...(zipped ? { 'content-encoding': 'gzip' } : {}) };
    const head = `HTTP/1.1 ${made.status} OK\r\n${Object.entries(all)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}transfer-encoding: chunked\r\n\r\n`;
    const whole = Buffer.concat([Buffer.from(`${head}${packed.length.toString(16)}\r\n`), packed, Buffer.from('\r\n0\r\n\r\n')]);
    answered = whole.length;
    if (fault?.kind === 'cut') {
      const { socket } = response;
      socket?.write(whole.subarray(0, Math.min(fault.after, whole.length - 1)), () => socket.destroy());
      return;
    }
    response.writeHead(made.status, all).end(packed);
  };

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    get answered() {
      return answered;
    },
    plan: (fault) => void faults.push(fault),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      for (const worker of workers) await worker.close();
    },
  };
}

function exception(status: number, code: number, text: string): Answer {
  return { status, headers: { 'x-clickhouse-exception-code': String(code) }, body: Buffer.from(`Code: ${code}. DB::Exception: ${text}\n`) };
}

function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
