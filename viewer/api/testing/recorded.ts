/**
 * Recordings for tests, made as the gateway and ingest make them: cut into blocks, chained, signed by a certified
 * recording key, framed with keyframes, put into a real store, with the rows that go with them.
 */
import { createHash, randomBytes } from 'node:crypto';
import xterm from '@xterm/headless';
import { SerializeAddon } from '@xterm/addon-serialize';
import { BlockCutter } from '#schemas/recording/block.js';
import { chainNext, chainStart, toHex, TAG_BYTES } from '#schemas/recording/chain.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from '#schemas/recording/checkpoint.js';
import type { Checkpoint } from '#schemas/recording/checkpoint.js';
import { encodeProof, encodeSeekTable } from '#schemas/recording/container.js';
import { certificateKey, encodeManifest, manifestKey, partKey, recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import type { ManifestSegment } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { encodeIndex } from '#schemas/recording/sealed.js';
import { encodeHeader, encodeLine, parseSize, sessionId } from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader, SessionKind } from '#schemas/recording/line.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { fingerprint, generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import type { Zstd } from '#runtime/zstd.js';

const encoder = new TextEncoder();
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export interface Recorder {
  readonly ca: SshPrivateKey;
  readonly key: SshPrivateKey;
  readonly certificate: Buffer;
}

/** A recording CA and the recording key of gateway gw-1. */
export function makeRecorder(): Recorder {
  const ca = generateKey();
  const key = generateKey();
  const certificate = issueCertificate(ca, {
    publicKey: key.publicBlob,
    serial: 1n,
    kind: 'user',
    keyId: 'gw-1',
    principals: ['gw-1'],
    validAfter: 0n,
    validBefore: 4_000_000_000n,
    criticalOptions: new Map(),
    extensions: new Map(),
  });
  return { ca, key, certificate };
}

export interface Recorded {
  readonly id: string;
  readonly startedAt: number;
  /** Encoded blocks in order. */
  readonly blocks: readonly { readonly n: number; readonly lines: string }[];
  readonly row: SessionRow;
  /** Stores the rest of a live session and lists it as sealed. */
  readonly seal: () => Promise<void>;
}

export interface RecordedOptions {
  readonly user?: string;
  readonly node?: string;
  readonly login?: string;
  readonly kind?: SessionKind;
  readonly command?: string;
  readonly startedAt?: number;
  readonly tty?: boolean;
  readonly cols?: number;
  readonly rows?: number;
  /** Session time in ms, then what happened. */
  readonly lines: Iterable<readonly [at: number, body: LineBody]>;
  /** Labels of the node; null: the recording does not contain them. */
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly exitCode?: number;
  /** Blocks per part; by default all are in one part. */
  readonly blocksPerPart?: number;
  /** live: as much as `storedParts` says is stored. parts: all, without manifest. sealed: with manifest. repacked: one object. */
  readonly state: 'live' | 'parts' | 'sealed' | 'repacked';
  readonly storedParts?: number;
  readonly events?: readonly Partial<EventRow>[];
  readonly screen?: readonly Partial<ScreenRow>[];
}

export interface Stores {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly zstd: Zstd;
  readonly recorder: Recorder;
}

let counter = 0;

export async function record({ objects, events, zstd, recorder }: Stores, options: RecordedOptions): Promise<Recorded> {
  const startedAt = options.startedAt ?? Date.UTC(2026, 4, 3, 9, 30);
  const id = sessionId(startedAt, randomBytes(10));
  const { user = 'alice', node = 'web-3', login = 'deploy', kind = 'shell', tty = true, cols = 80, rows = 24, command = '' } = options;
  counter += 1;
  const header: RecordingHeader = {
    version: 3,
    term: { cols, rows, type: 'xterm-256color' },
    timestamp: Math.floor(startedAt / 1000),
    ...(command === '' ? {} : { command }),
    steno: {
      format: 1,
      session: id,
      kind,
      gateway: 'gw-1',
      counter,
      user,
      roles: ['operator'],
      node,
      login,
      source_address: '192.0.2.7',
      client_version: 'SSH-2.0-OpenSSH_9.9',
      certificate_serial: '7',
      certificate_key_id: `user=${user}`,
      requests: [],
      tty,
      started_at: startedAt,
      recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 },
      ...(options.labels === null ? {} : { labels: options.labels ?? { env: 'dev' } }),
    },
  };
  // Blocks, with the screen at the start of each part.
  const terminal = new xterm.Terminal({ cols, rows, scrollback: 0, allowProposedApi: true });
  const serializer = new SerializeAddon();
  terminal.loadAddon(serializer);
  let output = '';
  const flush = (): Promise<void> =>
    new Promise((resolve) => {
      terminal.write(output, resolve);
      output = '';
    });
  const cutter = new BlockCutter();
  const blocks: { n: number; text: string; at: number; until: number; before: number; keyframe: string }[] = [];
  let last = 0;
  const add = async (text: string, at: number): Promise<void> => {
    if (cutter.startsBlock(encoder.encode(text).length, at)) {
      const perPart = options.blocksPerPart ?? Number.POSITIVE_INFINITY;
      let keyframe = '';
      if (tty && blocks.length > 0 && blocks.length % perPart === 0) {
        await flush();
        keyframe = encodeLine(0, { code: 'k', data: { cols: terminal.cols, rows: terminal.rows, screen: serializer.serialize() } });
      }
      blocks.push({ n: blocks.length + 1, text, at, until: at, before: last, keyframe });
    } else {
      blocks.at(-1)!.text += text;
    }
    blocks.at(-1)!.until = at;
    last = at;
  };
  await add(encodeHeader(header), 0);
  for (const [at, body] of options.lines) {
    await add(encodeLine(at - last, body), at);
    if (body.code === 'o') output += body.data;
    if (output.length > 1 << 16) await flush();
    if (body.code === 'r') {
      await flush();
      const size = parseSize(body.data);
      if (size !== null) terminal.resize(size.cols, size.rows);
    }
  }
  terminal.dispose();

  // Parts: frame, proof, seek table.
  const prefix = recordingPrefix(id, startedAt);
  const certificate = certificateId(fingerprint(recorder.certificate));
  await objects.put(certificateKey(certificate), recorder.certificate);
  const perPart = options.blocksPerPart ?? blocks.length;
  const parts: { bytes: Uint8Array; frame: Uint8Array; raw: number; first: (typeof blocks)[number]; proof: PartProof }[] = [];
  let head = chainStart(sha256, id);
  let signedBytes = 0;
  let storedBytes = 0;
  const open = options.state === 'live';
  for (let from = 0; from < blocks.length; from += perPart) {
    const mine = blocks.slice(from, from + perPart);
    const tags: Uint8Array[] = [];
    for (const block of mine) {
      const content = encoder.encode(block.text);
      head = chainNext(sha256, head, content);
      signedBytes += content.length;
      tags.push(head.subarray(0, TAG_BYTES));
    }
    const lines = encoder.encode(mine.map(({ keyframe, text }) => keyframe + text).join(''));
    const frame = zstd.compress(lines, 3);
    const checkpoint: Checkpoint = {
      session: id,
      gateway: 'gw-1',
      counter,
      block: mine.at(-1)!.n,
      bytes: signedBytes,
      at: mine.at(-1)!.until,
      time: startedAt + mine.at(-1)!.until,
      head: toHex(head),
      end: from + perPart >= blocks.length && !open ? 'complete' : 'open',
    };
    const digest = createHash('sha512').update(checkpointText(checkpoint)).digest();
    const signature = recorder.key.sign(sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', digest)).toString('base64');
    const proof: PartProof = {
      kind: 'part',
      part: parts.length + 1,
      first_block: mine[0]!.n,
      tags: Buffer.concat(tags),
      checkpoint: { ...checkpoint, signature },
      certificate,
    };
    const framed = encodeProof(proof);
    const table = encodeSeekTable([
      { compressed: frame.length, decompressed: lines.length },
      { compressed: framed.length, decompressed: 0 },
    ]);
    parts.push({ bytes: Buffer.concat([frame, framed, table]), frame, raw: lines.length, first: mine[0]!, proof });
    storedBytes += parts.at(-1)!.bytes.length;
  }
  const stored = open ? (options.storedParts ?? 0) : parts.length;
  const repacked = options.state === 'repacked';
  if (!repacked) for (let i = 0; i < stored; i++) await objects.put(partKey(prefix, i + 1), parts[i]!.bytes);
  const segmentOf = ({ first }: (typeof parts)[number]): ManifestSegment => ({ offset: 0, start: first.before, first_block: first.n });
  if (repacked) {
    const proof: PartProof = {
      ...parts.at(-1)!.proof,
      part: 1,
      first_block: 1,
      tags: Buffer.concat(parts.map(({ proof: { tags } }) => tags)),
    };
    const table = encodeSeekTable(parts.map(({ frame, raw }) => ({ compressed: frame.length, decompressed: raw })));
    const index = encodeIndex(
      { cols, rows },
      parts.map((part) => ({ segments: [segmentOf(part)] })),
    );
    const whole = Buffer.concat([...parts.map(({ frame }) => frame), encodeProof(proof), index, table]);
    await objects.put(sealedKey(prefix), whole);
    storedBytes = whole.length;
  } else if (options.state === 'sealed') {
    await objects.put(
      manifestKey(prefix),
      encodeManifest({
        version: 1,
        session: id,
        started_at: startedAt,
        duration: last,
        cols,
        rows,
        blocks: blocks.length,
        bytes: signedBytes,
        head: toHex(head),
        end: 'complete',
        certificates: [certificate],
        objects: parts.map(({ bytes }, i) => ({ key: partKey(prefix, i + 1), bytes: bytes.length })),
        frames: parts.map((part, i) => ({
          object: i,
          offset: 0,
          compressed: part.frame.length,
          decompressed: part.raw,
          segments: [segmentOf(part)],
        })),
      }),
    );
  }
  const row: SessionRow = {
    session: id,
    version: 1,
    kind,
    user,
    roles: ['operator'],
    node,
    login,
    gateway: 'gw-1',
    counter,
    source_address: '192.0.2.7',
    client_version: 'SSH-2.0-OpenSSH_9.9',
    certificate_serial: '7',
    certificate_key_id: `user=${user}`,
    command,
    tty,
    cols,
    rows,
    started_at: startedAt,
    ended_at: open ? null : startedAt + last,
    state: open ? 'live' : options.state === 'parts' ? 'ended' : 'sealed',
    exit_code: open ? null : (options.exitCode ?? 0),
    exit_signal: null,
    bytes_in: 512,
    bytes_out: signedBytes,
    blocks: blocks.length,
    recording_bytes: signedBytes,
    stored_bytes: storedBytes,
    chain_head: toHex(head),
    request_id: '',
    cluster: '',
    namespace: '',
    pod: '',
    container: '',
    image: '',
    labels: options.labels === null ? {} : (options.labels ?? { env: 'dev' }),
    labels_known: options.labels !== null,
  };
  await events.insert('sessions', [row], `${id}:1`);
  const common = { session: id, user, node, login };
  if (options.events !== undefined) {
    const rowsOf = options.events.map((event, i): EventRow => ({
      source: 'recording',
      emitter: '',
      block: 1,
      index: i,
      at: startedAt + (event.offset_ms ?? 0),
      offset_ms: 0,
      kind: 'sftp',
      ...noFacts,
      ...common,
      ...event,
    }));
    await events.insert('events', rowsOf, `${id}:events`);
  }
  if (options.screen !== undefined) {
    const rowsOf = options.screen.map((line, i): ScreenRow => ({
      block: 1,
      index: i,
      at: startedAt + (line.offset_ms ?? 0),
      offset_ms: 0,
      row: 0,
      text: '',
      ...common,
      ...line,
    }));
    await events.insert('screen', rowsOf, `${id}:screen`);
  }
  const seal = async (): Promise<void> => {
    for (let i = stored; i < parts.length; i++) await objects.put(partKey(prefix, i + 1), parts[i]!.bytes);
    await events.insert('sessions', [{ ...row, version: 2, state: 'sealed', ended_at: startedAt + last, exit_code: 0 }], `${id}:2`);
  };
  return { id, startedAt, seal, blocks: blocks.map(({ n, text }) => ({ n, lines: text })), row };
}
