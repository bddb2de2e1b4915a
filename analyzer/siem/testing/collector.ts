/** A collector of JSON lines over HTTPS with injectable faults, and a certificate for it. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** The outcome of the next request: answered, refused for good, accepted but not answered, or cut off before it is read. */
export type Fate = 'take' | 'take, and cut off' | 'cut off' | 'busy' | 'refuse' | 'redirect';

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** A self-signed certificate for localhost and 127.0.0.1; returns the paths of both files. */
export function makeCertificate(folder: string): Certificate {
  const [certificate, key] = [join(folder, 'server.pem'), join(folder, 'server.key')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
      ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate],
    ],
    { stdio: 'ignore' },
  );
  return { certificate, key };
}

export class Collector {
  /** `metadata.uid` of every accepted line, in order. */
  readonly taken: string[] = [];
  /** The outcomes of the next requests, one each; later requests are accepted. */
  fates: Fate[] = [];
  /** A batch that contains a line with this text is refused. */
  poison: string | null = null;
  readonly authorizations = new Set<string | undefined>();
  readonly #server;

  constructor({ certificate, key }: Certificate) {
    this.#server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) =>
      this.#take(request, response),
    );
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ingest`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const fate = this.fates.shift() ?? 'take';
    this.authorizations.add(request.headers.authorization);
    request.on('error', () => undefined);
    if (fate === 'cut off') return void request.socket.destroy();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const lines = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
      if (fate === 'busy') return void response.writeHead(503).end();
      if (fate === 'redirect') return void response.writeHead(307, { location: 'https://elsewhere.example/' }).end();
      if (fate === 'refuse' || (this.poison !== null && lines.some((line) => line.includes(this.poison!))))
        return void response.writeHead(400).end('no');
      for (const line of lines) this.taken.push((JSON.parse(line) as { readonly metadata: { readonly uid: string } }).metadata.uid);
      if (fate === 'take, and cut off') return void request.socket.destroy();
      response.writeHead(204).end();
    });
  }
}
