/**
 * One file open over SFTP, from the reply to OPEN until CLOSE is answered, and the facts about it.
 *
 * A read is complete if the content passed from offset 0 up to the server's end-of-file (or up to a short reply before it,
 * or up to the size given by FSTAT, or by STAT, LSTAT or a listing before the file was opened). Reads and writes may arrive
 * in any order within `MAX_EARLY_BYTES`. A write is complete if the file was empty when opened (truncated, created exclusively,
 * or set to its final length through FSETSTAT, as scp does), every piece from offset 0 passed, and every WRITE was answered
 * with success. Only a complete transfer has a digest; otherwise a note says why not.
 */
import type { FileFact } from '#schemas/recording/line.js';
import { Budget, MAX_EARLY_BYTES, fileFact } from '../observing/budget.js';
import { Content } from '../observing/content.js';
import { openFlags } from './packets.js';

export class SftpFile {
  readonly path: string;
  readonly cost: number;
  readonly reads: Content;
  readonly writes: Content;
  mode: number | undefined;
  /** Number of READ, WRITE, FSTAT and FSETSTAT requests not yet answered. */
  waiting = 0;
  closed = false;
  /** The server's text for the first refused request. */
  failure: string | undefined;
  /** Lowest offset at which the server reported end-of-file; `statSize`: the size that FSTAT gave for the open file. */
  endOfFile: number | undefined;
  statSize: number | undefined;
  /** The size given for the path before the file was opened. */
  private readonly knownSize: number | undefined;
  private shortEnd = -1;
  private shortAsked = -1;
  /** Length of the file as far as the writes tell; undefined while old content may remain behind them. */
  private extent: number | undefined;
  private readonly flags: number;
  private wrote = false;

  /** `early`: the budget for content that arrives early. */
  constructor(path: string, flags: number, mode: number | undefined, early: Budget, cost: number, knownSize?: number) {
    this.path = path;
    this.knownSize = knownSize;
    this.flags = flags;
    this.cost = cost;
    this.mode = (flags & openFlags.create) !== 0 ? mode : undefined;
    const budget = new Budget(0, MAX_EARLY_BYTES, early);
    this.reads = new Content(budget, 'ignored');
    this.writes = new Content(budget, 'break');
    const fresh =
      (flags & openFlags.truncate) !== 0 || (flags & (openFlags.create | openFlags.exclusive)) === (openFlags.create | openFlags.exclusive);
    if (fresh) this.extent = 0;
  }

  startWrite(offset: number, length: number): void {
    // The continuation of an upload: nothing before it will ever come, so nothing waits for it.
    if (!this.wrote && offset > 0 && this.extent === undefined) this.writes.breakDigest(`written from byte ${offset} on`);
    this.wrote = true;
    this.writes.startPiece(offset, length);
  }

  endWrite(): void {
    this.writes.endPiece();
    if (this.extent !== undefined && this.writes.top > this.extent) this.extent = this.writes.top;
  }

  /** FSETSTAT with a size. */
  resize(size: number): void {
    if (size < this.writes.top) this.writes.breakDigest('the file was truncated after writing');
    this.extent = size;
  }

  resizeFailed(): void {
    this.extent = undefined;
  }

  /** A reply was shorter than requested: by section 6.4 of the draft, a regular file ends there. */
  shortRead(end: number, asked: number): void {
    if (end < this.shortEnd) return;
    this.shortEnd = end;
    this.shortAsked = asked;
  }

  private get readWhole(): boolean {
    const { reads, endOfFile } = this;
    if (reads.broken !== null) return false;
    if (endOfFile === undefined) return !reads.hasEarly && (this.statSize ?? this.knownSize) === reads.next;
    // After a short reply, psftp sends no read at the end itself, only beyond the range of its last request.
    return reads.next >= endOfFile || (reads.next === this.shortEnd && endOfFile <= this.shortAsked);
  }

  facts(): FileFact[] {
    const facts: FileFact[] = [];
    const writing = this.wrote || (this.flags & openFlags.write) !== 0;
    if (writing) facts.push(this.writeFact());
    if (this.reads.moved > 0 || this.endOfFile !== undefined || !writing) facts.push(this.readFact());
    this.reads.release();
    this.writes.release();
    return facts;
  }

  private readFact(): FileFact {
    const { reads } = this;
    const whole = this.readWhole;
    const note =
      this.failure ??
      reads.broken ??
      (whole ? undefined : reads.hasEarly || reads.moved !== reads.next ? 'only parts were read' : 'not read to its end');
    return fileFact({
      protocol: 'sftp',
      operation: 'read',
      path: this.path,
      size: whole ? reads.next : reads.moved,
      sha256: whole && this.failure === undefined ? (reads.digest() ?? undefined) : undefined,
      outcome: this.outcome(),
      note,
    });
  }

  private writeFact(): FileFact {
    const { writes } = this;
    const whole = writes.broken === null && this.extent === writes.next && !writes.hasEarly;
    const note =
      this.failure ??
      writes.broken ??
      (whole ? undefined : this.extent === undefined ? 'the file was not truncated: older content may remain' : 'only parts were written');
    return fileFact({
      protocol: 'sftp',
      operation: 'write',
      path: this.path,
      size: this.extent ?? writes.top,
      sha256: whole && this.failure === undefined && this.closed && this.waiting === 0 ? (writes.digest() ?? undefined) : undefined,
      mode: this.mode,
      outcome: this.outcome(),
      note,
    });
  }

  private outcome(): FileFact['outcome'] {
    if (this.failure !== undefined) return 'failure';
    return this.closed && this.waiting === 0 ? 'success' : 'unfinished';
  }
}
