/**
 * A review as one HTML file: no script, no external resource, and a policy in the file that forbids both. All text is passed through
 * `escaped`; the colours of a screen are `#rrggbb` values that Steno generates (recordings/render/picture.ts).
 */
import { watermarkSvg, watermarkText } from '#schemas/offline/watermark.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { Picture, Run } from '#recordings/render/picture.js';
import { clockOf, headingOf, utc } from './review-form.js';
import type { Review, Shown } from './review-form.js';

// Controls except line feeds, invisible formatting and bidirectional marks: replaced by U+FFFD.
const unseen = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escaped(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(unseen, '\ufffd')
    .replace(/[&<>"']/g, (char) => entities[char]!);
}

const style = `
:root { color-scheme: light dark; --paper: #f6f4ef; --sheet: #fffefb; --ink: #1d1f24; --soft: #565a63; --line: #dcd7cb; }
@media (prefers-color-scheme: dark) { :root { --paper: #121316; --sheet: #191b1f; --ink: #e9e7e1; --soft: #a9adb6; --line: #2e3138; } }
body { margin: 0 auto; max-width: 1000px; padding: 32px 20px 64px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 12px; } h2 { font-size: 16px; margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 0 0 18px; } dt { color: var(--soft); } dd { margin: 0; white-space: pre-wrap; }
ol { list-style: none; margin: 0; padding: 0; } li { padding: 14px 0; border-top: 1px solid var(--line); }
.when, .where { color: var(--soft); margin: 0; } .text { margin: 4px 0 0; white-space: pre-wrap; } .history h2 { font-weight: 400; color: var(--soft); font-size: 15px; }
pre { margin: 10px 0 0; padding: 12px; border-radius: 8px; background: #101114; color: #d9d7d0; font: 12.5px/1.33 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; }
.marked { position: relative; } .marked svg { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.none { color: var(--soft); font-style: italic; } footer { margin-top: 28px; color: var(--soft); font-size: 13px; }
@media print { li { break-inside: avoid; } }
`;

export function htmlReview(review: Review): string {
  const facts = review.lines.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`).join('');
  const more = review.hidden === 0 ? '' : ` ${review.hidden} more that its maker may not view, or that are not stored any more.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(review.title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escaped(review.title)}</h1>
<dl>${facts}</dl>
${review.summary === '' ? '' : `<p class="text">${escaped(review.summary)}</p>\n`}<ol>
${review.shown.map(entry).join('\n')}
</ol>
<footer>Made by ${escaped(review.madeBy)}, ${utc(review.madeAt)}.${more} The pictures are no proof: recordings are, and <code>steno verify</code> checks them.</footer>
</body>
</html>
`;
}

function entry({ entry: one, row, picture, mark }: Shown): string {
  const where = row === undefined ? '' : `${row.user} → ${row.login}@${row.node}`;
  const into = one.offset === null || one.session === '' ? '' : `, ${clockOf(one.offset)} into session ${one.session}`;
  const by = one.by === '' ? '' : ` · ${one.by}`;
  return `<li class="${one.kind}"><p class="when">${utc(one.at)}${escaped(into)}${escaped(by)}</p><h2>${escaped(headingOf(one))}</h2>${
    where === '' ? '' : `<p class="where">${escaped(where)}</p>`
  }${one.text === '' ? '' : `<p class="text">${escaped(one.text)}</p>`}${pictureHtml(picture, mark)}</li>`;
}

function pictureHtml(picture: Picture | string | null, mark: Watermark | undefined): string {
  if (picture === null) return '';
  if (typeof picture === 'string') return `<p class="none">No picture: ${escaped(picture)}.</p>`;
  const screen = `<pre>${picture.lines.map((runs) => runs.map(runHtml).join('')).join('\n')}</pre>`;
  if (mark === undefined) return screen;
  const drawn = watermarkSvg(watermarkText(mark), { width: '100%', height: '100%' }, escaped);
  return `<div class="marked">${screen}<svg aria-hidden="true">${drawn}</svg></div>`;
}

function runHtml({ text, fg, bg, bold, dim, italic, underline, inverse }: Run): string {
  const [front, back] = inverse ? [bg ?? '#101114', fg ?? '#d9d7d0'] : [fg, bg];
  const css = [
    front === null ? '' : `color:${front}`,
    back === null ? '' : `background:${back}`,
    bold ? 'font-weight:700' : '',
    dim ? 'opacity:.6' : '',
    italic ? 'font-style:italic' : '',
    underline ? 'text-decoration:underline' : '',
  ].filter((part) => part !== '');
  return css.length === 0 ? escaped(text) : `<span style="${css.join(';')}">${escaped(text)}</span>`;
}
