/**
 * A review as Markdown. Text of users and of recordings is escaped so that no dialect reads it as markup, a link or HTML; a screen
 * stands in a fence longer than any run of backticks in it.
 */
import { watermarkText } from '#schemas/offline/watermark.js';
import type { Picture } from '#recordings/render/picture.js';
import { clockOf, headingOf, utc } from './review-form.js';
import type { Review, Shown } from './review-form.js';

const unseen = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * On one line; every ASCII character that could be markup is escaped, and `<`, `>` and `&` are entities, which both CommonMark and HTML
 * read as text.
 */
export function markdownText(text: string): string {
  return text
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .replace(unseen, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*_{}[\]()#+\-.!|~:@/$^=]/g, '\\$&');
}

export function markdownReview(review: Review): string {
  const lines = [
    `# ${markdownText(review.title)}`,
    '',
    ...review.lines.map(([name, value]) => `- **${name}**: ${markdownText(value)}`),
    '',
    ...(review.summary === '' ? [] : [...paragraphs(review.summary), '']),
    ...review.shown.flatMap(entry),
    '---',
    '',
    `Made by ${markdownText(review.madeBy)}, ${utc(review.madeAt)}.${
      review.hidden === 0 ? '' : ` ${review.hidden} more that its maker may not view, or that are not stored any more.`
    } The pictures are no proof: recordings are, and \`steno verify\` checks them.`,
  ];
  return `${lines.join('\n')}\n`;
}

function entry({ entry: one, row, picture, mark }: Shown): readonly string[] {
  const { at, by, text, offset, session } = one;
  const where = row === undefined ? '' : `, ${markdownText(`${row.user} → ${row.login}@${row.node}`)}`;
  const into = offset === null || session === '' ? '' : `, ${clockOf(offset)} into session \`${session}\``;
  const who = by === '' ? '' : `, ${markdownText(by)}`;
  const head = one.kind === 'history' ? `- ${utc(at)}: ${markdownText(by)} ${headingOf(one)}` : `## ${markdownText(headingOf(one))}`;
  if (one.kind === 'history') return [`${head}${text === '' ? '' : `: ${markdownText(text)}`}`, ''];
  const marked = mark === undefined || typeof picture !== 'object' ? [] : [`Viewed by ${markdownText(watermarkText(mark))}`, ''];
  const words = text === '' ? [] : [...paragraphs(text), ''];
  return [head, '', `${utc(at)}${into}${where}${who}`, '', ...words, ...pictureText(picture), ...marked];
}

function paragraphs(text: string): readonly string[] {
  return text.split(/\r?\n/).map((line) => `> ${markdownText(line)}`);
}

function pictureText(picture: Picture | string | null): readonly string[] {
  if (picture === null) return [];
  if (typeof picture === 'string') return [`*No picture: ${markdownText(picture)}.*`, ''];
  const rows = picture.lines.map((runs) => runs.map(({ text }) => text).join(''));
  while (rows.at(-1)?.trim() === '') rows.pop();
  const longest = Math.max(2, ...rows.flatMap((row) => [...row.matchAll(/`+/g)].map(([ticks]) => ticks.length)));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}text`, ...rows, fence, ''];
}
