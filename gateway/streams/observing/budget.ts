/**
 * Bounds the memory of one observer. Memory that grows with the peers' input is taken from the budget first and given back
 * when it is freed; if the budget is exhausted, the operation is not followed and is counted in a gap instead.
 */
import type { FileFact } from '#schemas/recording/line.js';
import type { Report } from './observer.js';

/** Bytes a stream may hold for paths and requests in flight. */
export const MAX_HELD_BYTES = 192 * 1024;
/** Files and directories followed at the same time. */
export const MAX_OPEN_FILES = 64;
/** Longest path or name that is parsed, in bytes: PATH_MAX of Linux. */
export const MAX_PATH_BYTES = 4096;

/** Additional bytes that an rsync file list may hold, from a pool that all streams of the process share. */
export const MAX_LIST_BYTES = 4 * 1024 * 1024;
const POOL_BYTES = 16 * 1024 * 1024;

/**
 * File content that arrives before the content that precedes it: clients read and write at many offsets at once, ssh2 64 pieces of
 * 32 KiB, asyncssh 128 of up to 254 KiB (which OpenSSH answers in order). Limits per file, per connection, and per process.
 */
export const MAX_EARLY_BYTES = 4 * 1024 * 1024;
const CONNECTION_EARLY_BYTES = 8 * 1024 * 1024;
const EARLY_POOL_BYTES = 64 * 1024 * 1024;

export class Budget {
  held = 0;
  private readonly own: number;
  private readonly limit: number;
  private readonly pool: Budget | null;

  /** `own` bytes are always available; above that, up to `limit`, bytes are borrowed from the pool as long as it has some. */
  constructor(own = MAX_HELD_BYTES, limit = own, pool: Budget | null = null) {
    this.own = own;
    this.limit = limit;
    this.pool = pool;
  }

  /** Whether `bytes` more would exceed this budget's own limit, regardless of the pool. */
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

  /** Gives back everything. Every borrower must call this at the end. */
  release(): void {
    this.give(this.held);
  }

  private get borrowed(): number {
    return Math.max(0, this.held - this.own);
  }
}

export const listPool = new Budget(POOL_BYTES);
export const earlyPool = new Budget(EARLY_POOL_BYTES);

/** The budget for early content that all streams of one connection share. */
export function connectionBudget(): Budget {
  return new Budget(0, CONNECTION_EARLY_BYTES, earlyPool);
}

/** Memory of a text, at worst: two bytes per character, plus the object. */
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

/** The members of a fact; absent ones may also be `undefined`. A size of 2^53 or more, which a number cannot hold exactly, is left out. */
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

/** Turns a server's text into a note: one line of at most `limit` printable characters. */
export function plainText(text: string, limit = 200): string {
  return flat(
    text
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .trim()
      .slice(0, limit),
  );
}

/** Copies a string, because a substring keeps the whole original string in memory. */
export function flat(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}
