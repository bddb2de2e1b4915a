/**
 * What one observer may hold. Everything that grows with what the peers send is taken from the budget first and
 * given back when it is dropped; when nothing is left, the thing is not followed and counted as a gap instead.
 */
import type { FileFact } from '#schemas/recording/line.js';
import type { Report } from './observer.js';

/** Bytes a stream may hold for paths, requests in flight and content that came out of order. */
export const MAX_HELD_BYTES = 192 * 1024;
/** Files and directories followed at a time. */
export const MAX_OPEN_FILES = 64;
/** Longest path or name that is looked at, in bytes: PATH_MAX of Linux. */
export const MAX_PATH_BYTES = 4096;

export class Budget {
  held = 0;
  private readonly limit: number;

  constructor(limit = MAX_HELD_BYTES) {
    this.limit = limit;
  }

  take(bytes: number): boolean {
    if (this.held + bytes > this.limit) return false;
    this.held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.held -= bytes;
  }
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

/** The members of a fact, where what is absent may also be `undefined`. */
export type FactParts = { readonly [K in keyof Omit<FileFact, 'fact'>]: FileFact[K] | undefined } & Pick<FileFact, 'protocol' | 'operation' | 'path' | 'outcome'>;

export function fileFact(parts: FactParts): FileFact {
  const fact: Record<string, unknown> = { fact: 'file' };
  for (const [key, value] of Object.entries(parts)) if (value !== undefined) fact[key] = value;
  return fact as unknown as FileFact;
}

/** A server's text for a note: one line of printable characters, at most 200 long. */
export function plainText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim().slice(0, 200);
}
