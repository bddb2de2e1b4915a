/**
 * The after-action review of a case as a file: its timeline, and for each moment the screen as it was. For sessions that the user may
 * view but not export, the review contains only the text, and says so. Each session whose screens are included is reported to the
 * authority as exported.
 *
 * Text of users and of recordings is escaped for the format in review-html.ts and review-markdown.ts only. Tested in
 * test/cases/review.test.ts.
 */
import type { ReviewFormat } from '#schemas/api/cases/workbench.js';
import { stepsOf } from '#schemas/api/cases/steps.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { RecordingReader } from '#recordings/read/recording-reader.js';
import { pictureAt } from '#recordings/render/picture.js';
import type { Picture } from '#recordings/render/picture.js';
import type { Viewer } from '../access/access.js';
import { readableCase } from './book.js';
import type { CaseParts } from './book.js';
import { htmlReview } from './review-html.js';
import { utc } from './review-form.js';
import type { Review, Shown } from './review-form.js';
import { markdownReview } from './review-markdown.js';

export interface ReviewParts extends CaseParts {
  readonly reader: RecordingReader;
  readonly clock: () => number;
}

export interface ReviewWanted {
  readonly viewer: Viewer;
  readonly source: string;
  readonly id: string;
  readonly format: ReviewFormat;
}

/** Moments beyond this number have no picture. */
const MAX_PICTURES = 200;

export const reviewTypes: Readonly<Record<ReviewFormat, string>> = {
  md: 'text/markdown; charset=utf-8',
  html: 'text/html; charset=utf-8',
};

export async function makeReview(parts: ReviewParts, { viewer, source, id, format }: ReviewWanted): Promise<string> {
  const { book, sessions, timeline, hidden } = await readableCase(parts, viewer, id);
  const infos = [...sessions.values()].map((row) => parts.sessions.info(row));
  const steps = new Map(stepsOf({ timeline, sessions: infos }).map((step) => [step.entry, step]));
  const exported = new Map<string, SessionRow | string>();
  const shown: Shown[] = [];
  let pictures = 0;
  for (const entry of timeline) {
    const step = steps.get(entry);
    const row = sessions.get(entry.session);
    if (step === undefined) {
      shown.push({ entry, row, picture: null });
      continue;
    }
    const known = exported.get(step.session) ?? (await mayExport(parts, viewer, source, step.session, format));
    exported.set(step.session, known);
    if (typeof known === 'string' || pictures >= MAX_PICTURES) {
      shown.push({ entry, row, picture: typeof known === 'string' ? known : `only ${MAX_PICTURES} pictures go along` });
      continue;
    }
    pictures += 1;
    const mark = parts.sessions.watermark(viewer, known);
    shown.push({ entry, row: known, picture: await screenOf(parts.reader, known, step.offset), mark });
  }
  const { head } = book;
  const lines = [
    ['Case', head.id],
    ['State', head.state],
    ['Opened', `${utc(head.created_at)} by ${head.created_by}`],
    ['Assignee', head.assignee ?? ''],
    ['Closing', head.closing === null ? '' : `asked by ${head.closing.by}, ${utc(head.closing.at)}: ${head.closing.reason}`],
    ['Signed off', head.signed === null ? '' : `by ${head.signed.by}, ${utc(head.signed.at)}`],
  ] as const;
  const review: Review = {
    ...{ id: head.id, title: head.title, summary: book.summary, state: head.state, shown, hidden },
    ...{ lines: lines.filter(([, value]) => value !== ''), madeBy: viewer.user, madeAt: parts.clock() },
  };
  return format === 'html' ? htmlReview(review) : markdownReview(review);
}

/** The session, or the reason why its screens are not included. */
async function mayExport(
  { sessions }: ReviewParts,
  viewer: Viewer,
  source: string,
  session: string,
  format: ReviewFormat,
): Promise<SessionRow | string> {
  try {
    return await sessions.row({ viewer, action: 'export', source, format: `case.${format}` }, session);
  } catch (error) {
    if (error instanceof StenoError && (error.code === 'ACCESS_DENIED' || error.code === 'SESSION_UNKNOWN'))
      return 'the roles of who made this export do not let them export this session';
    throw error;
  }
}

async function screenOf(
  reader: RecordingReader,
  { session, started_at: startedAt }: SessionRow,
  offset: number,
): Promise<Picture | string> {
  try {
    const { index, n, lines } = await reader.opening(session, startedAt, ({ segments }) => {
      const found = segments.findLastIndex(({ start }) => start <= offset);
      return segments.length === 0 ? null : Math.max(0, found);
    });
    if (index === null || n === null) return 'nothing of this moment is stored';
    return await pictureAt(lines, index.segments[n]!.start, offset);
  } catch (error) {
    if (error instanceof StenoError) return `the recording cannot be read here (${error.code})`;
    throw error;
  }
}
