/**
 * Support shared by the tests and benchmarks of ingest, beside the recorder of recordings/testing: an x509 CA for the
 * services, a temporary folder, and a gateway that speaks the uplink. All of them are real parts.
 */
import 'reflect-metadata';
import { generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { BasicConstraintsExtension, PublicKey, X509CertificateGenerator } from '@peculiar/x509';
import { WebSocket } from 'ws';
import type { UplinkFrame } from '#schemas/uplink.js';
import { UPLINK_PROTOCOL, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import { openLog } from '#runtime/log.js';
import type { Made, RecordingIdentity } from '#recordings/testing/recorder.js';

export const quiet = openLog('test', 'silent');

export async function temporaryFolder(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'steno-ingest-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export function encodeMade(session: string, made: Made, stream?: 'events'): Uint8Array {
  if (made.kind === 'block') return encodeUplink('block', { session, stream, n: made.n, head: made.head }, made.content);
  return encodeUplink(made.kind, { session, stream, part: made.part, checkpoint: made.checkpoint });
}

/** An x509 CA for mutual TLS between stages. */
export class ServiceAuthority {
  readonly #keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  #pem = '';

  static async create(): Promise<ServiceAuthority> {
    const authority = new ServiceAuthority();
    authority.#pem = await authority.#issue(
      'CN=test service CA',
      authority.#keys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      true,
    );
    return authority;
  }

  async certify(name: string): Promise<TlsOptions & { readonly key: string; readonly cert: string; readonly ca: string }> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const cert = await this.#issue(`CN=${name}`, publicKey.export({ type: 'spki', format: 'pem' }).toString(), false);
    return {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      cert,
      ca: this.#pem,
      requestCert: true,
      rejectUnauthorized: true,
    };
  }

  async #issue(subject: string, spki: string, ca: boolean): Promise<string> {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const pkcs8 = this.#keys.privateKey.export({ type: 'pkcs8', format: 'der' });
    const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: randomBytes(8).toString('hex'),
      subject,
      issuer: 'CN=test service CA',
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      signingAlgorithm: algorithm,
      publicKey: new PublicKey(spki),
      signingKey: signingKey as never,
      extensions: [new BasicConstraintsExtension(ca, undefined, true)],
    });
    return certificate.toString('pem');
  }
}

/** The gateway's end of an uplink. */
export class UplinkClient {
  readonly socket: WebSocket;
  readonly frames: UplinkFrame[] = [];
  readonly closed: Promise<number>;
  #waiters: (() => void)[] = [];
  #over = false;

  constructor(url: string, tls: TlsOptions) {
    this.socket = new WebSocket(url, UPLINK_PROTOCOL, {
      key: tls.key as string,
      cert: tls.cert as string,
      ca: tls.ca as string,
      checkServerIdentity: () => undefined as never,
      // As the gateway's own client does (runtime/uplink/client.ts).
      generateMask: (mask) => void mask.fill(0),
    });
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(decodeUplink(data));
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code) => {
        this.#over = true;
        this.#wake();
        resolve(code);
      });
    });
  }

  static async connect(address: string, tls: TlsOptions, identity: RecordingIdentity, version = 1): Promise<UplinkClient> {
    const client = new UplinkClient(`wss://${address}/uplink`, tls);
    await client.opened();
    client.send(encodeUplink('hello', { version, name: identity.gateway, certificate: identity.certificate.toString('base64') }));
    await client.next((frame) => frame.kind === 'hello');
    return client;
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.once('open', () => resolve());
      this.socket.once('error', reject);
    });
  }

  send(frame: Uint8Array): void {
    this.socket.send(frame);
  }

  /** The first frame that matches, including frames received earlier. */
  async next(fits: (frame: UplinkFrame) => boolean): Promise<UplinkFrame> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.#over)
        throw new Error(`connection closed; had ${this.frames.map(({ kind, header }) => `${kind} ${JSON.stringify(header)}`).join(', ')}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /**
   * Opens the session, sends everything after the last durable block, and waits until all of it is durable. Returns the
   * block it resumed after.
   */
  async deliver(session: string, made: readonly Made[], stream?: 'events'): Promise<number> {
    const isOurs = (header: object): boolean =>
      'session' in header && header.session === session && ('stream' in header ? header.stream : undefined) === stream;
    const from = this.frames.length;
    this.send(encodeUplink('open', { session, stream }));
    const resume = await this.next(
      (frame) => this.frames.indexOf(frame) >= from && (frame.kind === 'resume' || frame.kind === 'refuse') && isOurs(frame.header),
    );
    if (resume.kind !== 'resume') throw new Error(`refused: ${JSON.stringify(resume.header)}`);
    const { stored, closed } = resume.header;
    if (closed) return stored;
    const rest = made.filter((each) => (each.kind === 'block' ? each.n > stored : each.checkpoint.block > stored || each.kind === 'close'));
    for (const each of rest) this.send(encodeMade(session, each, stream));
    const last = rest.findLast((each) => each.kind !== 'block');
    if (last?.kind === 'close' || last?.kind === 'checkpoint') {
      const end = await this.next(
        (frame) =>
          (frame.kind === 'refuse' && isOurs(frame.header)) ||
          (frame.kind === 'ack' &&
            'session' in frame.header &&
            isOurs(frame.header) &&
            frame.header.stored >= last.checkpoint.block &&
            (last.kind === 'checkpoint' || frame.header.closed)),
      );
      if (end.kind === 'refuse') throw new Error(`refused: ${JSON.stringify(end.header)}`);
    }
    return stored;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
