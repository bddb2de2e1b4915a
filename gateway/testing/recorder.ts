/** Parts for tests of the recorder: a recorder in its own folder, a signing key, and functions to read its output. */
import { createHash, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MemoryIngest, MemoryRecording } from '#runtime/uplink/memory-ingest.js';
import { cutBlocks } from '#schemas/recording/block.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { checkpointText } from '#schemas/recording/checkpoint.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { parseHeader, parseLine, streamOf } from '#schemas/recording/line.js';
import type { RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import type { OpenFacts } from '../recorder/recorder.js';
import type { RecorderDeps } from '../recorder/start.js';
import type { Files } from '../spool/files.js';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
/** The signing key, for child processes: base64 of PKCS#8. */
export const trialKey = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
export const trialSign = (text: string): Uint8Array => sign(null, Buffer.from(text), privateKey);

export function trialFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'steno-recorder-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const facts = (change: Partial<OpenFacts> = {}): OpenFacts => ({
  kind: 'shell',
  user: 'alice',
  roles: ['admin'],
  node: 'web-1',
  login: 'root',
  source_address: '127.0.0.1',
  client_version: 'OpenSSH_10.0',
  certificate_serial: '1',
  certificate_key_id: 'user=alice',
  requests: [],
  tty: true,
  recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 },
  ...change,
});

export interface TrialClock {
  now(): number;
  monotonic(): number;
  /** Advances both clocks by `ms`. Timers do not move. */
  advance(ms: number): void;
}

export function trialClock(): TrialClock {
  let at = 0;
  return { now: () => 1_763_800_000_000 + at, monotonic: () => at, advance: (ms) => void (at += ms) };
}

export function trialDeps(
  ingest: MemoryIngest | null,
  change: { readonly clock?: RecorderDeps['clock']; readonly files?: Files } = {},
): RecorderDeps {
  return {
    sign: trialSign,
    clock: change.clock ?? { now: () => Date.now(), monotonic: () => performance.now() },
    random: (bytes) => randomBytes(bytes),
    log: { info: () => undefined, warn: () => undefined },
    uplink: ingest === null ? null : { url: () => ingest.url, tls: null, certificate: () => 'AAAA' },
    ...(change.files === undefined ? {} : { files: change.files }),
  };
}

/** All lines of one session in the spool. */
export function spooledLines(folder: string, session: string): Buffer {
  const names = readdirSync(folder).filter((name) => name.startsWith(session) && name.endsWith('.cast'));
  // `<session>.cast` is the first; the others are sorted by offset.
  const order = (name: string): number => Number(/\.(\d+)\.cast$/.exec(name)?.[1] ?? 0);
  return Buffer.concat(names.sort((a, b) => order(a) - order(b)).map((name) => readFileSync(join(folder, name))));
}

export interface Parsed {
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];
}

export function parseLines(bytes: Uint8Array): Parsed {
  const [first, ...rest] = Buffer.from(bytes).toString('utf8').split('\n');
  const header = parseHeader(first!);
  return { header, lines: rest.filter((line) => line !== '').map((line) => parseLine(line, streamOf(header))!) };
}

export const textOf = ({ lines }: Parsed, code: 'o' | 'i'): string => lines.map((line) => (line.code === code ? line.data : '')).join('');

export const recordedBytes = (recording: MemoryRecording): Buffer => Buffer.concat(recording.blocks.map(({ content }) => content));

/** Checks a closed recording with the functions that readers use: cuts, chain, every checkpoint and its signature. */
export function checkRecording(recording: MemoryRecording): Parsed {
  const bytes = recordedBytes(recording);
  const parsed = parseLines(bytes);
  const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest();
  };
  let head = chainStart(sha256, parsed.header.steno.session, streamOf(parsed.header));
  let covered = 0;
  const checkpoints = new Map<number, SignedCheckpoint>(recording.parts.map(({ checkpoint }) => [checkpoint.block, checkpoint]));
  let last = 0;
  for (const block of cutBlocks(bytes)) {
    head = chainNext(sha256, head, block.content);
    covered += block.content.length;
    const sent = recording.blocks[block.n - 1];
    if (sent === undefined || Buffer.compare(sent.content, block.content) !== 0) throw new Error(`block ${block.n} was cut differently`);
    if (sent.head !== toHex(head)) throw new Error(`block ${block.n} has another head`);
    last = block.n;
    const checkpoint = checkpoints.get(block.n);
    if (checkpoint === undefined) continue;
    if (checkpoint.head !== sent.head || checkpoint.bytes !== covered || checkpoint.at !== block.until)
      throw new Error(`checkpoint at ${block.n} is wrong`);
    if (!verify(null, Buffer.from(checkpointText(checkpoint)), publicKey, Buffer.from(checkpoint.signature, 'base64')))
      throw new Error('bad signature');
  }
  const end = recording.parts.at(-1);
  if (end === undefined || end.checkpoint.block !== last || end.checkpoint.end === 'open') throw new Error('the recording has no end');
  return parsed;
}
