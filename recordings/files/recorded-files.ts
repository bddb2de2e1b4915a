/**
 * Lists the files in a recording, and extracts the content of those recorded in full.
 *
 *     transfer   sftp, scp, rsync, git: a file read or written, as the gateway's file facts report it
 *     stream     a whole stream: standard input, output or error of a command, or one direction of a forwarded connection
 *     unechoed   data that went into a terminal without being shown
 *
 * Files of sftp and scp are reassembled from the packets that carried them. rsync and git send deltas and packs; there, the whole
 * stream can be extracted. Content is handed out only if its digest equals the one that the gateway recorded. Memory holds what a
 * protocol reader waits for, never a file. Tested in recorded-files.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { FileFact, RecordingHeader, StreamName } from '#schemas/recording/line.js';
import type { Carried, Carrying } from './carried.js';
import { passedBytes } from './passed-bytes.js';
import { ScpContent } from './scp-content.js';
import { SftpContent } from './sftp-content.js';

export interface RecordedFile {
  /** Counts from 1, in the order of the recording. */
  readonly n: number;
  /** Session time in ms at which it ended. */
  readonly at: number;
  readonly kind: 'transfer' | 'stream' | 'unechoed';
  readonly protocol: FileFact['protocol'] | null;
  /** `write`: onto the node. */
  readonly operation: 'read' | 'write';
  /** Its path on the node; for a stream, the stream's name. */
  readonly path: string;
  readonly size: number | null;
  readonly sha256: string | null;
  readonly outcome: string;
  /** Why its content is not in the recording; null if it can be extracted. */
  readonly missing: string | null;
}

export interface RecordedFiles {
  readonly header: RecordingHeader;
  readonly files: readonly RecordedFile[];
  /** Number of files beyond `MAX_FILES`. */
  readonly more: number;
}

export const MAX_FILES = 100_000;

/** Takes content in pieces, each with its offset, in whatever order they passed. */
export interface ContentSink {
  /** Discards everything written so far. */
  reset(): void;
  write(offset: number, bytes: Buffer): void;
  /** Bytes from 0 to the end of the last piece, and their SHA-256 in hex. */
  digest(): { readonly size: number; readonly sha256: string };
}

/** Directions with missing bytes, named by stream and channel. */
type Cut = ReadonlySet<string>;
const directionOf = (stream: StreamName, channel: number | undefined): string =>
  channel === undefined ? stream : `channel ${channel} ${stream}`;
const streamNames = { in: 'stdin', out: 'stdout', err: 'stderr' } as const;

export async function listFiles(chunks: AsyncIterable<Uint8Array>): Promise<RecordedFiles> {
  let header: RecordingHeader | null = null;
  const found: Omit<RecordedFile, 'n' | 'missing'>[] = [];
  const directions: (string | null)[] = [];
  const cut = new Set<string>();
  let more = 0;
  const add = (file: Omit<RecordedFile, 'n' | 'missing'>, direction: string | null): void => {
    if (found.length >= MAX_FILES) return void (more += 1);
    found.push(file);
    directions.push(direction);
  };
  for await (const passed of passedBytes(chunks)) {
    if (passed.kind === 'header') header = passed.header;
    if (passed.kind === 'gap' && passed.gap.reason === 'body_limit' && passed.gap.stream !== undefined)
      cut.add(directionOf(passed.gap.stream, passed.gap.channel));
    if (passed.kind !== 'fact') continue;
    const { at, fact } = passed;
    if (fact.fact === 'file' && (fact.operation === 'read' || fact.operation === 'write')) {
      const { protocol, operation, path, size = null, sha256 = null, outcome } = fact;
      add({ at, kind: 'transfer', protocol, operation, path, size, sha256, outcome }, operation === 'write' ? 'in' : 'out');
    } else if (fact.fact === 'total' && header?.steno.tty !== true && fact.bytes > 0) {
      const { stream, channel, bytes: size, sha256 } = fact;
      const path = streamName(stream, channel);
      const operation = stream === 'in' ? 'write' : 'read';
      add({ at, kind: 'stream', protocol: null, operation, path, size, sha256, outcome: 'success' }, directionOf(stream, channel));
    } else if (fact.fact === 'unechoed') {
      const { bytes: size, sha256 } = fact;
      add({ at, kind: 'unechoed', protocol: null, operation: 'write', path: 'typed-without-echo', size, sha256, outcome: 'success' }, null);
    }
  }
  if (header === null) throw new StenoError('RECORDING_MALFORMED', 'a recording without header');
  const { recording } = header.steno;
  const files = found.map((file, i) => ({
    n: i + 1,
    ...file,
    missing: missingOf(file, directions[i]!, cut, recording.unechoed === 'full'),
  }));
  return { header, files, more };
}

function missingOf(file: Omit<RecordedFile, 'n' | 'missing'>, direction: string | null, cut: Cut, unechoed: boolean): string | null {
  if (file.kind === 'unechoed') return unechoed ? null : 'the role keeps its digest alone (recording.unechoed)';
  if (direction !== null && cut.has(direction)) return 'the stream went over its limit (recording.streams)';
  if (file.kind === 'stream') return null;
  if (file.protocol === 'rsync' || file.protocol === 'git') return `${file.protocol} sends differences: take the stream instead`;
  return file.sha256 === null ? 'it did not pass as a whole' : null;
}

/** Each call reads the lines of the recording from the beginning. */
export type Chunks = () => AsyncIterable<Uint8Array>;

/**
 * Writes the content of a file that `listFiles` listed without `missing`. Throws FILE_MISSING if the content does not match the
 * digest that the gateway recorded; the sink's content is then invalid.
 */
export async function extractFile(chunks: Chunks, file: RecordedFile, sink: ContentSink): Promise<void> {
  if (file.missing !== null) throw new StenoError('FILE_MISSING', file.missing);
  sink.reset();
  if (file.kind === 'stream') await extractStream(chunks(), file, sink);
  else if (file.kind === 'unechoed') await extractUnechoed(chunks(), file, sink);
  else if (await extractTransfer(chunks(), file, sink)) return;
  const { size, sha256 } = sink.digest();
  if (size !== file.size || sha256 !== file.sha256)
    throw new StenoError('FILE_MISSING', 'what the recording holds is not what its digest is of');
}

async function extractStream(chunks: AsyncIterable<Uint8Array>, file: RecordedFile, sink: ContentSink): Promise<void> {
  let offset = 0;
  for await (const passed of passedBytes(chunks)) {
    if (passed.kind !== 'bytes') continue;
    const { stream, channel, bytes } = passed;
    if (streamName(stream, channel) !== file.path) continue;
    sink.write(offset, bytes);
    offset += bytes.length;
  }
}

/** Unechoed data is the `b` lines since the preceding fact. `i` lines of a terminal were echoed, so they are not part of it. */
async function extractUnechoed(chunks: AsyncIterable<Uint8Array>, file: RecordedFile, sink: ContentSink): Promise<void> {
  let offset = 0;
  for await (const passed of passedBytes(chunks)) {
    if (passed.kind === 'bytes' && passed.stream === 'in' && passed.raw) {
      sink.write(offset, passed.bytes);
      offset += passed.bytes.length;
    }
    if (passed.kind !== 'fact' || passed.fact.fact !== 'unechoed') continue;
    if (passed.fact.sha256 === file.sha256 && passed.at === file.at) return;
    sink.reset();
    offset = 0;
  }
}

/** Returns whether a file with the right digest was found. */
async function extractTransfer(chunks: AsyncIterable<Uint8Array>, file: RecordedFile, sink: ContentSink): Promise<boolean> {
  let found = false;
  let busy = false;
  const carrying: Carrying = {
    begin(operation, path, size) {
      const fits = (path === null || baseOf(path) === baseOf(file.path)) && (size === null || size === file.size);
      if (found || busy || operation !== file.operation || !fits) return ignored;
      busy = true;
      sink.reset();
      let beyond = false;
      return {
        piece(offset, bytes) {
          // A file longer than the recorded size cannot match its digest.
          if (offset + bytes.length > (file.size ?? 0)) beyond = true;
          else if (!beyond) sink.write(offset, bytes);
        },
        end() {
          busy = false;
          if (beyond) return;
          const { size: taken, sha256 } = sink.digest();
          found = taken === file.size && sha256 === file.sha256;
        },
      };
    },
  };
  const sftp = file.protocol === 'sftp' ? new SftpContent(carrying) : null;
  const scp = file.protocol === 'scp' ? new ScpContent(carrying, file.operation === 'write') : null;
  const source = file.operation === 'write' ? 'in' : 'out';
  for await (const passed of passedBytes(chunks)) {
    if (found) break;
    if (passed.kind !== 'bytes' || passed.channel !== undefined) continue;
    if (passed.stream === 'in') sftp?.input(passed.bytes);
    if (passed.stream === 'out') sftp?.output(passed.bytes);
    if (passed.stream === source) scp?.push(passed.bytes);
  }
  sftp?.end();
  scp?.end();
  return found;
}

const ignored: Carried = { piece: () => undefined, end: () => undefined };

function streamName(stream: StreamName, channel: number | undefined): string {
  return channel === undefined ? streamNames[stream] : `channel-${channel}-${stream}`;
}

/** The last component. */
export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
