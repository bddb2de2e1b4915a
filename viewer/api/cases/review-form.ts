/** The structure of a review, and the texts that both formats share. */
import type { TimelineEntry } from '#schemas/api/cases/workbench.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { Picture } from '#recordings/render/picture.js';

/** One timeline entry as it is exported. */
export interface Shown {
  readonly entry: TimelineEntry;
  readonly row: Pick<SessionRow, 'user' | 'login' | 'node'> | undefined;
  /** The screen, the reason why there is none, or null if the entry has no screen. */
  readonly picture: Picture | string | null;
  /** The watermark of the picture. */
  readonly mark?: Watermark | undefined;
}

export interface Review {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly state: string;
  readonly lines: readonly (readonly [name: string, value: string])[];
  readonly shown: readonly Shown[];
  readonly hidden: number;
  readonly madeBy: string;
  readonly madeAt: number;
}

/** `2026-05-03 09:30:00 UTC`. */
export function utc(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `1:02:03` or `2:03`. */
export function clockOf(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const acts: Readonly<Record<string, string>> = {
  create: 'opened the case',
  describe: 'described it anew',
  assign: 'assigned it',
  investigate: 'began to investigate',
  close: 'asked to close it',
  sign: 'signed it off',
  return: 'sent it back',
  reopen: 'opened it again',
  remove: 'took something out',
};

/** Labels an entry in our own words; text of users is separate. */
export function headingOf({ kind, title, severity }: TimelineEntry): string {
  switch (kind) {
    case 'started':
      return 'Session begins';
    case 'ended':
      return 'Session ends';
    case 'moment':
      return 'Moment';
    case 'finding':
      return `Finding (${severity}): ${title}`;
    case 'search':
      return `Search: ${title}`;
    case 'note':
      return 'Note';
    case 'history':
      return acts[title] ?? title;
  }
}
