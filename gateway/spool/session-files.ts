/**
 * The files of one session in the spool: its lines, and the journal beside them.
 *
 * The lines form one stream of bytes, the signed lines and nothing else, addressed by offset from the start of the
 * recording. The stream is in `<session>.cast`; a long session continues in `<session>.<offset>.cast` every few MiB, so that
 * stored data can be freed while the session runs. The files concatenated in order are the stream.
 *
 * The session's event log, if any, is kept next to it in the same way, as `<session>-events`.
 *
 * Appending is all or nothing: after a failure the file is truncated to its old length, at the latest before the next
 * append. Files are open only while they are written to; 10,000 idle sessions hold no descriptors. Tested in spool.test.ts.
 */
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import type { Stream } from '#schemas/recording/line.js';
import type { Files } from './files.js';
import { writeAll } from './files.js';
import { encodeRecord } from './journal.js';
import type { JournalRecord } from './journal.js';

/** State shared by the files of all sessions; implemented by the spool. */
export interface SpoolShare {
  readonly files: Files;
  readonly folder: string;
  /** Bytes of lines on disk. */
  readonly bytes: number;
  /** Bytes of lines on disk changed by this amount, which may be negative. */
  grew(bytes: number): void;
  wroteTo(session: SessionFiles): void;
  namesChanged(): void;
  /** Whether segments should be short because room is scarce. */
  readonly scarce: boolean;
  /** Descriptors held by all sessions. */
  descriptors: number;
}

const SEGMENT_BYTES = 4 << 20;
const SCARCE_SEGMENT_BYTES = 128 << 10;
/** Beyond this many, descriptors are closed as soon as their file is synced. */
const KEPT_DESCRIPTORS = 256;

interface Segment {
  readonly start: number;
  readonly end: number;
  /** Open until it is synced. */
  fd: number;
}

export class SessionFiles {
  readonly session: string;
  readonly stream: Stream;
  /** Offset of the end of the stream. */
  size: number;
  journalSize = 0;
  /** Nothing more will be appended: synced files need no descriptor, however long ingest takes to store them. */
  over = false;
  /** Up to this offset the journal survives a power cut, and so do all lines that its records refer to. */
  journalSynced = 0;
  /** Called once if the disk fails to sync. */
  onSyncFailure: ((error: StenoError) => void) | null = null;
  readonly #share: SpoolShare;
  /** Earlier files that are still needed, in order. */
  #segments: Segment[] | null = null;
  #start: number;
  #fd = -1;
  #journalFd = -1;
  #torn = false;
  #journalTorn = false;
  #flush: Promise<void> | null = null;
  #flushAgain = false;
  #removed = false;
  /** Data written by a killed process may exist only in the page cache. */
  #inherited = false;

  constructor(
    share: SpoolShare,
    session: string,
    found?: { readonly starts: readonly number[]; readonly sizes: readonly number[]; readonly journalSize: number },
    stream: Stream = 'recording',
  ) {
    this.#share = share;
    this.session = session;
    this.stream = stream;
    this.#start = found?.starts.at(-1) ?? 0;
    this.size = this.#start + (found?.sizes.at(-1) ?? 0);
    if (found === undefined) return;
    this.journalSize = found.journalSize;
    this.#inherited = true;
    this.#share.namesChanged();
    if (found.starts.length > 1) {
      this.#segments = found.starts.slice(0, -1).map((start, i) => ({ start, end: start + found.sizes[i]!, fd: -1 }));
    }
  }

  /** Base name of its files, before the dot. */
  get name(): string {
    return fileName(this.session, this.stream);
  }

  /** Offset of the first byte that is still on disk. */
  get first(): number {
    return this.#segments?.[0]?.start ?? this.#start;
  }

  /** Appends `bytes[0, length)`. Throws RECORDING_IMPOSSIBLE or SPOOL_FULL and leaves the file unchanged. */
  append(bytes: Uint8Array, length: number): void {
    const { files } = this.#share;
    try {
      if (this.size - this.#start >= (this.#share.scarce ? SCARCE_SEGMENT_BYTES : SEGMENT_BYTES)) this.#nextSegment();
      const fd = this.#writable();
      try {
        writeAll(files, fd, bytes, length);
      } catch (error) {
        this.#torn = true;
        this.#repair(fd);
        throw error;
      }
    } catch (error) {
      throw asFailure(error);
    }
    this.size += length;
    this.#share.grew(length);
    this.#share.wroteTo(this);
  }

  /** Truncates the stream to `size`; for recovery, before anything is appended. */
  cutOff(size: number): void {
    if (size === this.size) return;
    while (size < this.#start && this.#segments !== null) {
      this.#share.files.unlink(this.#path(this.#start));
      this.#start = this.#segments.pop()!.start;
      if (this.#segments.length === 0) this.#segments = null;
    }
    this.#share.grew(size - this.size);
    this.size = size;
    this.#torn = true;
    this.#writable();
    this.#share.wroteTo(this);
  }

  /** Starts a new file, so that everything written so far can be freed as soon as it is stored. Failure does no harm. */
  rotate(): void {
    if (this.size === this.#start || this.#removed) return;
    try {
      this.#nextSegment();
    } catch {
      return;
    }
  }

  /** Appends to the journal. Throws as `append` does. */
  note(record: JournalRecord): void {
    const { files } = this.#share;
    const bytes = encodeRecord(record);
    try {
      if (this.#journalFd < 0) {
        this.#journalFd = files.open(this.#journalPath, 'append');
        this.#share.descriptors += 1;
        if (this.journalSize === 0) this.#share.namesChanged();
        this.#journalTorn = true;
      }
      // Cut off the remains of a failed write or of a dead gateway before the next record.
      if (this.#journalTorn) files.truncate(this.#journalFd, this.journalSize);
      this.#journalTorn = true;
      writeAll(files, this.#journalFd, bytes, bytes.length);
      this.#journalTorn = false;
    } catch (error) {
      throw asFailure(error);
    }
    this.journalSize += bytes.length;
    this.#share.wroteTo(this);
  }

  /** Reads up to `length` bytes at `position` of the stream into `into`; returns fewer only at the end of the stream. */
  read(position: number, into: Uint8Array, length: number): number {
    let done = 0;
    while (done < length && position + done < this.size) {
      const segment = this.#segments?.find(({ end }) => position + done < end);
      const start = segment?.start ?? this.#start;
      const end = segment?.end ?? this.size;
      if (position + done < start)
        throw new StenoError('RECORDING_MALFORMED', `spool of ${this.session} lacks bytes at ${position + done}`);
      const wanted = Math.min(length - done, end - position - done);
      const got = this.#readFile(start, segment?.fd ?? this.#fd, into, done, wanted, position + done - start);
      if (got === 0) throw new StenoError('RECORDING_MALFORMED', `spool of ${this.session} is shorter than it was`);
      done += got;
    }
    return done;
  }

  /** The journal from offset `from` on. */
  readJournal(from = 0): Buffer {
    const { files } = this.#share;
    const bytes = Buffer.allocUnsafe(this.journalSize - from);
    if (bytes.length === 0) return bytes;
    if (this.#journalFd >= 0) return bytes.subarray(0, files.read(this.#journalFd, bytes, 0, bytes.length, from));
    const fd = files.open(this.#journalPath, 'read');
    try {
      return bytes.subarray(0, files.read(fd, bytes, 0, bytes.length, from));
    } finally {
      files.close(fd);
    }
  }

  /** Ingest has stored everything before `offset`: files that lie wholly before it are removed. */
  release(offset: number): void {
    while (this.#segments !== null && this.#segments.length > 0 && this.#segments[0]!.end <= offset) {
      const { start, end, fd } = this.#segments.shift()!;
      if (fd >= 0) this.#retire(fd);
      this.#share.files.unlink(this.#path(start));
      this.#share.grew(start - end);
    }
    if (this.#segments?.length === 0) this.#segments = null;
  }

  /** Makes everything written so far survive a power cut. Never rejects: failures go to `onSyncFailure`. */
  flush(): Promise<void> {
    if (this.#flush !== null) {
      this.#flushAgain = true;
      return this.#flush;
    }
    this.#flush = this.#flushAll().finally(() => {
      this.#flush = null;
    });
    return this.#flush;
  }

  async #flushAll(): Promise<void> {
    let synced = -1;
    do {
      this.#flushAgain = false;
      const { journalSize, size } = this;
      const segments = this.#segments?.filter(({ fd }) => fd >= 0) ?? [];
      const journal = journalSize > this.journalSynced ? [this.#journalFd] : [];
      const descriptors = [...segments.map(({ fd }) => fd), this.#fd, ...journal].filter((fd) => fd >= 0);
      try {
        await Promise.all(descriptors.map((fd) => this.#share.files.sync(fd)));
        if (this.#inherited) await this.#syncInherited();
      } catch (error) {
        this.onSyncFailure?.(asFailure(error));
        this.#closeRetired();
        // Retry: otherwise a signed end that was never synced would wait for the next start.
        if (this.#removed) this.#closeAll();
        else this.#share.wroteTo(this);
        return;
      }
      this.journalSynced = Math.max(this.journalSynced, Math.min(journalSize, this.journalSize));
      synced = size;
      for (const segment of segments) {
        if (segment.fd >= 0) this.#close(segment.fd);
        segment.fd = -1;
      }
      this.#closeRetired();
    } while (this.#flushAgain && !this.#removed);
    if (this.#removed) this.#closeAll();
    else if (this.over || this.#share.descriptors > KEPT_DESCRIPTORS) {
      // If data was written in the meantime, keep the descriptor: the next flush syncs open files.
      if (this.size === synced) this.#closeCurrent();
      if (this.journalSize === this.journalSynced) this.#closeJournal();
    }
  }

  /** Must finish before a checkpoint that the previous process journaled but did not send may leave. */
  async #syncInherited(): Promise<void> {
    const { files } = this.#share;
    const starts = [...(this.#segments ?? []).map(({ start }) => start), this.#start];
    for (const path of [...starts.map((start) => this.#path(start)), this.#journalPath]) {
      // Removed in the meantime, or never there.
      if (files.sizeOf(path) < 0) continue;
      const fd = files.open(path, 'read');
      try {
        await files.sync(fd);
      } finally {
        files.close(fd);
      }
    }
    this.#inherited = false;
  }

  /**
   * Forgets the session. 1. the journal says `closed` (the caller wrote it). 2. the line files are removed. 3. the journal
   * is removed. A crash after 1 or 2: recovery finds `closed` and resumes with 2.
   */
  remove(): void {
    this.#removed = true;
    this.#removeLines();
    // Remove the journal even if nothing in it can be read, as after a power cut: left alone it would look like a session
    // without lines.
    this.#share.files.unlink(this.#journalPath);
    this.close();
  }

  /**
   * Forgets a session that never had a complete first line. 1. the journal is removed first, because a journal alone would
   * look like a session that lost its lines; 2. the lines are removed. A crash after 1: recovery finds the lines, still
   * without a complete first line, and resumes with 2.
   */
  discard(): void {
    this.#removed = true;
    this.#share.files.unlink(this.#journalPath);
    this.#removeLines();
    this.close();
  }

  #removeLines(): void {
    this.#share.grew(this.first - this.size);
    for (const { start } of this.#segments ?? []) this.#share.files.unlink(this.#path(start));
    this.#share.files.unlink(this.#path(this.#start));
    this.#segments?.forEach(({ fd }) => fd >= 0 && this.#retire(fd));
    this.#segments = null;
  }

  /** Moves all files into `folder` and never touches them again. They no longer count as spooled. */
  moveTo(folder: string): void {
    this.#removed = true;
    this.#share.grew(this.first - this.size);
    const { files } = this.#share;
    const names = [...(this.#segments ?? []).map(({ start }) => start), this.#start].map((start) => this.#name(start));
    names.push(`${this.name}.state`);
    for (const name of names) {
      const from = join(this.#share.folder, name);
      if (files.sizeOf(from) >= 0) files.rename(from, join(folder, name));
    }
    this.close();
  }

  /** Closes descriptors once a running flush is done. */
  close(): void {
    this.#removed = true;
    if (this.#flush === null) this.#closeAll();
  }

  #nextSegment(): void {
    const { files } = this.#share;
    const fd = files.open(this.#path(this.size), 'append');
    this.#share.descriptors += 1;
    this.#share.namesChanged();
    (this.#segments ??= []).push({ start: this.#start, end: this.size, fd: this.#fd });
    this.#torn = false;
    this.#start = this.size;
    this.#fd = fd;
  }

  #writable(): number {
    if (this.#removed) throw new StenoError('RECORDING_IMPOSSIBLE', 'the recording is closed');
    if (this.#fd < 0) {
      this.#fd = this.#share.files.open(this.#path(this.#start), 'append');
      this.#share.descriptors += 1;
      if (this.size === this.#start) this.#share.namesChanged();
    }
    if (this.#torn) {
      this.#share.files.truncate(this.#fd, this.size - this.#start);
      this.#torn = false;
    }
    return this.#fd;
  }

  #repair(fd: number): void {
    try {
      this.#share.files.truncate(fd, this.size - this.#start);
      this.#torn = false;
    } catch {
      // Still torn: truncation is retried before the next append, and by recovery.
    }
  }

  #readFile(start: number, fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const { files } = this.#share;
    if (fd >= 0) return files.read(fd, into, offset, length, position);
    const own = files.open(this.#path(start), 'read');
    try {
      return files.read(own, into, offset, length, position);
    } finally {
      files.close(own);
    }
  }

  #name(start: number): string {
    return start === 0 ? `${this.name}.cast` : `${this.name}.${String(start).padStart(15, '0')}.cast`;
  }
  #path(start: number): string {
    return join(this.#share.folder, this.#name(start));
  }
  get #journalPath(): string {
    return join(this.#share.folder, `${this.name}.state`);
  }

  #retired: number[] | null = null;
  /** Closes a descriptor once no flush uses it. */
  #retire(fd: number): void {
    if (this.#flush === null) this.#close(fd);
    else (this.#retired ??= []).push(fd);
  }
  #closeRetired(): void {
    for (const fd of this.#retired ?? []) this.#close(fd);
    this.#retired = null;
  }
  #close(fd: number): void {
    this.#share.files.close(fd);
    this.#share.descriptors -= 1;
  }
  #closeAll(): void {
    this.#segments?.forEach((segment) => {
      if (segment.fd >= 0) this.#close(segment.fd);
      segment.fd = -1;
    });
    this.#closeCurrent();
    this.#closeJournal();
  }
  #closeCurrent(): void {
    if (this.#fd >= 0) this.#close(this.#fd);
    this.#fd = -1;
  }
  #closeJournal(): void {
    if (this.#journalFd >= 0) this.#close(this.#journalFd);
    this.#journalFd = -1;
  }
}

export function fileName(session: string, stream: Stream): string {
  return stream === 'events' ? `${session}-events` : session;
}

function asFailure(error: unknown): StenoError {
  if (error instanceof StenoError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  return new StenoError(code === 'ENOSPC' || code === 'EDQUOT' ? 'SPOOL_FULL' : 'RECORDING_IMPOSSIBLE', code, { cause: error });
}
