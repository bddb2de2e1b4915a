/**
 * What the tests and benchmarks of ingest share: a certificate authority, stores in a temporary folder, a recorder that
 * makes blocks and signed checkpoints of lines, and a gateway that speaks the uplink. Real parts all of them.
 */
import 'reflect-metadata';
import { createHash, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { BasicConstraintsExtension, PublicKey, X509CertificateGenerator } from '@peculiar/x509';
import { WebSocket } from 'ws';
import { BlockCutter } from '#schemas/recording/block.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from '#schemas/recording/checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { encodeHeader, encodeLine, sessionId } from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader, SessionFacts } from '#schemas/recording/line.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { encodeProof } from '#schemas/recording/container.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { UplinkFrame } from '#schemas/uplink.js';
import { UPLINK_PROTOCOL, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import { openLog } from '#runtime/log.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { fingerprint, generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Zstd } from '#runtime/zstd.js';
import { checkpointFault } from './signature.js';
import { sha256 } from './session-writer.js';

export const quiet = openLog('test', 'silent');

export async function temporaryFolder(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'steno-ingest-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** The recording CA and a gateway's recording key, certified. */
export interface RecordingIdentity {
  readonly gateway: string;
  readonly key: SshPrivateKey;
  readonly certificate: Buffer;
  readonly fingerprint: string;
}

export class RecordingAuthority {
  readonly #ca = generateKey();

  get line(): string {
    return formatPublicLine(this.#ca.publicBlob);
  }

  certify(gateway: string, validity: { readonly from?: number; readonly until?: number } = {}): RecordingIdentity {
    const key = generateKey();
    const certificate = issueCertificate(this.#ca, {
      publicKey: key.publicBlob,
      serial: 1n,
      kind: 'user',
      keyId: gateway,
      principals: [gateway],
      validAfter: BigInt(validity.from ?? 0),
      validBefore: BigInt(validity.until ?? 4_000_000_000),
      criticalOptions: new Map(),
      extensions: new Map(),
    });
    return { gateway, key, certificate, fingerprint: fingerprint(certificate) };
  }
}

export function signCheckpoint(checkpoint: Checkpoint, key: SshPrivateKey): SignedCheckpoint {
  const digest = createHash('sha512').update(checkpointText(checkpoint)).digest();
  return { ...checkpoint, signature: key.sign(sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', digest)).toString('base64') };
}

export interface MadeBlock {
  readonly kind: 'block';
  readonly n: number;
  readonly head: string;
  readonly content: Buffer;
}
export interface MadeCheckpoint {
  readonly kind: 'checkpoint' | 'close';
  readonly part: number;
  readonly checkpoint: SignedCheckpoint;
}
export type Made = MadeBlock | MadeCheckpoint;

/** Makes what a gateway would send, from lines with the time since the line before. */
export class Recorder {
  readonly header: RecordingHeader;
  readonly made: Made[] = [];
  readonly #identity: RecordingIdentity;
  readonly #cutter = new BlockCutter();
  #open: Buffer[] = [];
  #head: Uint8Array;
  #n = 0;
  #bytes = 0;
  #at = 0;
  #openUntil = 0;
  #part = 1;

  constructor(
    identity: RecordingIdentity,
    facts: Partial<SessionFacts> & { readonly cols?: number; readonly rows?: number; readonly startedAt?: number } = {},
  ) {
    const { cols = 80, rows = 24, startedAt = Date.UTC(2026, 0, 31, 12), ...rest } = facts;
    this.#identity = identity;
    const session = rest.session ?? sessionId(startedAt, randomBytes(10));
    this.header = {
      version: 3,
      term: { cols, rows },
      timestamp: Math.floor(startedAt / 1000),
      steno: {
        format: 1,
        session,
        kind: 'shell',
        gateway: identity.gateway,
        counter: 1,
        user: 'ana',
        roles: ['admin'],
        node: 'web-1',
        login: 'root',
        source_address: '127.0.0.1',
        client_version: 'OpenSSH_9.9',
        certificate_serial: '7',
        certificate_key_id: 'user=ana',
        requests: [],
        tty: true,
        started_at: startedAt,
        recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 },
        ...rest,
      },
    };
    this.#head = chainStart(sha256, session);
    this.#line(Buffer.from(encodeHeader(this.header)), 0);
  }

  get session(): string {
    return this.header.steno.session;
  }

  line(interval: number, body: LineBody): this {
    this.#line(Buffer.from(encodeLine(interval, body)), interval);
    return this;
  }

  output(interval: number, data: string): this {
    return this.line(interval, { code: 'o', data });
  }

  input(interval: number, data: string): this {
    return this.line(interval, { code: 'i', data });
  }

  /** A checkpoint over the blocks that are whole; the open one is not covered. */
  checkpoint(): this {
    this.made.push({ kind: 'checkpoint', part: this.#part++, checkpoint: this.#sign('open') });
    return this;
  }

  close(end: 'complete' | 'interrupted' = 'complete'): this {
    this.#cut();
    this.made.push({ kind: 'close', part: this.#part, checkpoint: this.#sign(end) });
    return this;
  }

  /** Bytes of lines since the last checkpoint, whole blocks. */
  get uncovered(): number {
    const last = this.made.findLastIndex(({ kind }) => kind !== 'block');
    return this.made.slice(last + 1).reduce((sum, made) => sum + (made.kind === 'block' ? made.content.length : 0), 0);
  }

  #sign(end: Checkpoint['end']): SignedCheckpoint {
    const { session, gateway, counter } = this.header.steno;
    return signCheckpoint(
      {
        session,
        gateway,
        counter,
        block: this.#n,
        bytes: this.#bytes,
        at: this.#at,
        time: this.header.steno.started_at + this.#at,
        head: toHex(this.#head),
        end,
      },
      this.#identity.key,
    );
  }

  #time = 0;
  #line(bytes: Buffer, interval: number): void {
    this.#time += interval;
    if (this.#cutter.startsBlock(bytes.length, this.#time)) this.#cut();
    this.#open.push(bytes);
    this.#openUntil = this.#time;
  }

  #cut(): void {
    if (this.#open.length === 0) return;
    const content = Buffer.concat(this.#open);
    this.#open = [];
    this.#n += 1;
    this.#bytes += content.length;
    this.#at = this.#openUntil;
    this.#head = chainNext(sha256, this.#head, content);
    this.made.push({ kind: 'block', n: this.#n, head: toHex(this.#head), content });
  }
}

export function encodeMade(session: string, made: Made): Uint8Array {
  if (made.kind === 'block') return encodeUplink('block', { session, n: made.n, head: made.head }, made.content);
  return encodeUplink(made.kind, { session, part: made.part, checkpoint: made.checkpoint });
}

/** Verifies objects in order as the file that they make, with the certificates given. */
export function verifyFile(
  objects: readonly Uint8Array[],
  certificates: readonly Uint8Array[],
  trusted: readonly string[],
  zstd: Zstd,
): Verdict {
  const proofs = certificates.map((certificate) => encodeProof({ kind: 'certificate', certificate }));
  return verifyRecording(Buffer.concat([...proofs, ...objects]), {
    sha256,
    decompress: (frame) => zstd.decompress(frame),
    fingerprint,
    checkSignature: (checkpoint, certificate) => checkpointFault(checkpoint, certificate, trusted),
  });
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

  static async connect(address: string, tls: TlsOptions, identity: RecordingIdentity): Promise<UplinkClient> {
    const client = new UplinkClient(`wss://${address}/uplink`, tls);
    await client.opened();
    client.send(encodeUplink('hello', { version: 1, name: identity.gateway, certificate: identity.certificate.toString('base64') }));
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

  /** The first frame that fits, also of those that came before. */
  async next(fits: (frame: UplinkFrame) => boolean): Promise<UplinkFrame> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.#over)
        throw new Error(`connection closed; had ${this.frames.map(({ kind, header }) => `${kind} ${JSON.stringify(header)}`).join(', ')}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Opens, sends what comes after the last durable block, waits until all of it is durable. Returns where it went on. */
  async deliver(session: string, made: readonly Made[]): Promise<number> {
    const from = this.frames.length;
    this.send(encodeUplink('open', { session }));
    const resume = await this.next(
      (frame) =>
        this.frames.indexOf(frame) >= from && (frame.kind === 'resume' || frame.kind === 'refuse') && frame.header.session === session,
    );
    if (resume.kind !== 'resume') throw new Error(`refused: ${JSON.stringify(resume.header)}`);
    const { stored, closed } = resume.header;
    if (closed) return stored;
    const rest = made.filter((each) => (each.kind === 'block' ? each.n > stored : each.checkpoint.block > stored || each.kind === 'close'));
    for (const each of rest) this.send(encodeMade(session, each));
    const last = rest.findLast((each) => each.kind !== 'block');
    if (last?.kind === 'close' || last?.kind === 'checkpoint') {
      const end = await this.next(
        (frame) =>
          (frame.kind === 'refuse' && frame.header.session === session) ||
          (frame.kind === 'ack' &&
            'session' in frame.header &&
            frame.header.session === session &&
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
