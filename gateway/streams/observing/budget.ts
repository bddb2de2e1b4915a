/**
 * What one observer may hold. Everything that grows with what the peers send is taken from the budget first and
 * given back when it is dropped; when nothing is left, the thing is not followed and counted as a gap instead.
 */
import type { FileFact } from '#schemas/recording/line.js';
import type { Report } from './observer.js';

/** Bytes a stream may hold for paths and requests in flight. */
export const MAX_HELD_BYTES = 192 * 1024;
/** Files and directories followed at a time. */
export const MAX_OPEN_FILES = 64;
/** Longest path or name that is looked at, in bytes: PATH_MAX of Linux. */
export const MAX_PATH_BYTES = 4096;

/** A file list of rsync may hold this much more, from a pool that all streams of the process share. */
export const MAX_LIST_BYTES = 4 * 1024 * 1024;
const POOL_BYTES = 16 * 1024 * 1024;

/**
 * Content of files that came before its turn: clients read and write at many offsets at once, ssh2 64 pieces of 32 KiB, asyncssh
 * 128 of up to 254 KiB (which OpenSSH answers in order). So much for one file, one connection, and all of the process.
 */
export const MAX_EARLY_BYTES = 4 * 1024 * 1024;
const CONNECTION_EARLY_BYTES = 8 * 1024 * 1024;
const EARLY_POOL_BYTES = 64 * 1024 * 1024;

export class Budget {
  held = 0;
  private readonly own: number;
  private readonly limit: number;
  private readonly pool: Budget | null;

  /** `own` bytes are always there; up to `limit` are borrowed from the pool while it has them. */
  constructor(own = MAX_HELD_BYTES, limit = own, pool: Budget | null = null) {
    this.own = own;
    this.limit = limit;
    this.pool = pool;
  }

  /** Whether `bytes` more would go over the limit of this budget itself, whatever the pool has. */
  wouldExceed(bytes: number): boolean {
    return this.held + bytes > this.limit;
  }

  take(bytes: number): boolean {
    const after = this.held + bytes;
    if (after > this.limit) return false;
    const more = Math.max(0, after - this.own) - this.borrowed;
    if (more > 0 && this.pool?.take(more) !== true) return false;
    this.held = after;
    return true;
  }

  give(bytes: number): void {
    const before = this.borrowed;
    this.held -= bytes;
    this.pool?.give(before - this.borrowed);
  }

  /** Gives back everything: whoever borrows must call it at the end. */
  release(): void {
    this.give(this.held);
  }

  private get borrowed(): number {
    return Math.max(0, this.held - this.own);
  }
}

export const listPool = new Budget(POOL_BYTES);
export const earlyPool = new Budget(EARLY_POOL_BYTES);

/** What all streams of one connection may hold of content that came before its turn. */
export function connectionBudget(): Budget {
  return new Budget(0, CONNECTION_EARLY_BYTES, earlyPool);
}

/** What a text costs in memory, at worst: two bytes a character and the object. */
export function textCost(text: string): number {
  return 48 + 2 * text.length;
}

/** Counts operations that are not followed: the first is reported at once, the rest in one gap at the end. */
export class Unfollowed {
  private readonly report: Report;
  private readonly detail: string;
  private first = true;
  private count = 0;

  constructor(report: Report, detail: string) {
    this.report = report;
    this.detail = detail;
  }

  add(): void {
    if (this.first) {
      this.first = false;
      this.report({ gap: { reason: 'file_operations', count: 1, detail: this.detail } });
    } else {
      this.count++;
    }
  }

  end(): void {
    if (this.count > 0) this.report({ gap: { reason: 'file_operations', count: this.count, detail: this.detail } });
    this.count = 0;
  }
}

/** The members of a fact, where what is absent may also be `undefined`. A size that a number cannot hold exactly (2^53 or more) is left out. */
export type FactParts = { readonly [K in keyof Omit<FileFact, 'fact'>]: FileFact[K] | undefined } & Pick<
  FileFact,
  'protocol' | 'operation' | 'path' | 'outcome'
>;

export function fileFact(parts: FactParts): FileFact {
  const fact: Record<string, unknown> = { fact: 'file' };
  for (const [key, value] of Object.entries(parts)) {
    if (value === undefined || (key === 'size' && !Number.isSafeInteger(value))) continue;
    fact[key] = value;
  }
  return fact as unknown as FileFact;
}

/** A server's text for a note: one line of printable characters, at most `limit` long. */
export function plainText(text: string, limit = 200): string {
  return flat(
    text
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .trim()
      .slice(0, limit),
  );
}

/** A copy: a part of a long string otherwise keeps the whole of it in memory. */
export function flat(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}
