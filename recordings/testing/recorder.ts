/**
 * Creates recordings for tests and benchmarks: a recording CA, and a recorder that cuts lines into blocks, chains and signs
 * them as a gateway does. All of them are real parts.
 */
import { createHash, randomBytes } from 'node:crypto';
import { BlockCutter } from '#schemas/recording/block.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from '#schemas/recording/checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { encodeHeader, encodeLine, sessionId, streamOf } from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader, SessionFacts } from '#schemas/recording/line.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { encodeProof } from '#schemas/recording/container.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { sha256 } from '#runtime/sha256.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { fingerprint, generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Zstd } from '#runtime/zstd.js';
import { checkpointFault } from '../read/checkpoint-signature.js';

/** The recording CA and a gateway's recording key, certified. */
export interface RecordingIdentity {
  readonly gateway: string;
  readonly key: SshPrivateKey;
  readonly certificate: Buffer;
  readonly fingerprint: string;
}

export class RecordingAuthority {
  readonly #ca: SshPrivateKey;

  constructor(ca = generateKey()) {
    this.#ca = ca;
  }

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

/** Makes the data that a gateway would send, from lines with the time since the previous line. */
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
    this.#head = chainStart(sha256, session, streamOf(this.header));
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

  /** A checkpoint over the complete blocks; the open one is not covered. */
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
