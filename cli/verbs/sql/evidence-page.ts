/**
 * The page of an evidence pack: one HTML file without scripts, for reading and printing. Everything that comes from Steno is escaped, and characters that
 * are not seen are written out: names and reasons are what people typed.
 */
import type { SqlAnswered } from './run.js';

export interface VerifiedSession {
  readonly session: string;
  /** `verified`, or the code of what is wrong. */
  readonly verdict: string;
  /** The signed head of the hash chain. */
  readonly head: string;
  readonly detail: string;
}

export interface EvidenceAnswer {
  readonly id: string;
  readonly criterion: string;
  readonly title: string;
  readonly proves: string;
  readonly answer: SqlAnswered;
}

export interface EvidenceManifest {
  readonly version: 1;
  /** Version of the `steno` that made it. */
  readonly steno: string;
  /** ms since 1970. */
  readonly made_at: number;
  readonly made_by: string;
  /** A principal of the certificate that signs: `ssh-keygen -Y verify -I` asks for one. Its key id is `made_by`. */
  readonly principal: string;
  readonly roles: readonly string[];
  readonly cluster: string;
  readonly period: { readonly from: number; readonly to: number };
  readonly sample: { readonly seed: string; readonly size: number; readonly population: number; readonly hash: string };
  /** `hash`: as in the audit rows `recording.query` of whoever made it. */
  readonly answers: readonly { readonly id: string; readonly rows: number; readonly truncated: boolean; readonly hash: string }[];
  readonly sampled: readonly VerifiedSession[];
  /** Public keys of the recording CA that recordings were checked with. */
  readonly recording_ca: readonly string[];
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** Rows shown; the files have all. */
const SHOWN = 50;

export function evidencePage(facts: Omit<EvidenceManifest, 'files'>, answers: readonly EvidenceAnswer[], stored: SqlAnswered): string {
  const bad = facts.sampled.filter(({ verdict }) => verdict !== 'verified');
  const criteria = [...new Set(answers.map(({ criterion }) => criterion))];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evidence ${day(facts.period.from)} to ${day(facts.period.to)}</title>
<style>${style}</style></head><body><main>
<h1>Evidence, ${day(facts.period.from)} to ${day(facts.period.to)}</h1>
<p class="facts">Made by <b>${text(facts.made_by)}</b> (${text(facts.roles.join(', '))}) on ${moment(facts.made_at)}${facts.cluster === '' ? '' : ` from ${text(facts.cluster)}`}, with Steno ${text(facts.steno)}.
It shows what this person may see. Every file is named in <code>manifest.json</code> by its SHA-256, and <code>manifest.json.sig</code> signs that; docs/evidence.md says how to check it.</p>
<h2>Sample</h2>
<p>${facts.sampled.length} of ${facts.sample.population} sealed sessions of the period, picked by the seed <code>${text(facts.sample.seed)}</code>:
<b class="${bad.length === 0 ? 'good' : 'bad'}">${facts.sampled.length - bad.length} verified, ${bad.length} not</b>. The recordings are in <code>recordings/</code>; <code>steno verify FILE</code> checks one again.</p>
${
  facts.sampled.length === 0
    ? ''
    : grid(
        ['session', 'verdict', 'head'],
        facts.sampled.map(({ session, verdict, head, detail }) => [session, detail === '' ? verdict : `${verdict}: ${detail}`, head]),
      )
}
${criteria
  .map(
    (criterion) =>
      `<h2>${text(criterion)}</h2>${answers
        .filter((one) => one.criterion === criterion)
        .map(section)
        .join('')}`,
  )
  .join('')}
<h2>Retention</h2>
<p>What is stored now, by month. Access as it is held now is in <code>access.json</code>.</p>
${ofAnswer(stored)}
</main></body></html>
`;
}

function section({ id, title, proves, answer }: EvidenceAnswer): string {
  const count = answer.rows.length === 1 ? '1 row' : `${answer.rows.length} rows`;
  return `<section><h3>${text(title)}</h3><p>${text(proves)}</p>${ofAnswer(answer)}
<p class="facts">${count}${answer.truncated ? ', and more' : ''} in <code>queries/${text(id)}.csv</code>, by <code>queries/${text(id)}.sql</code>; sha256 <code>${answer.hash}</code></p></section>`;
}

function ofAnswer({ columns, rows }: SqlAnswered): string {
  if (rows.length === 0) return '<p><i>No rows.</i></p>';
  const shown = rows
    .slice(0, SHOWN)
    .map((row) => row.map((value) => (value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value))));
  const more = rows.length > SHOWN ? `<p class="facts">The first ${SHOWN} of ${rows.length}.</p>` : '';
  return (
    grid(
      columns.map(({ name }) => name),
      shown,
    ) + more
  );
}

function grid(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${text(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="scroll"><table><thead>${line(heads, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table></div>`;
}

const unseen = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function text(value: string): string {
  return value.replace(unseen, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`).replace(/[&<>"']/g, (char) => entities[char]!);
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const moment = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

const style = `:root{color-scheme:light dark}body{margin:0;background:#f6f4ef;color:#1d1f24;font:14px/1.55 system-ui,sans-serif}main{max-width:1080px;margin:0 auto;padding:36px 22px 80px}
h1{font-size:25px;margin:0 0 8px}h2{font-size:18px;margin:38px 0 8px;padding-top:12px;border-top:1px solid #dcd7cb}h3{font-size:15px;margin:24px 0 4px}p{margin:0 0 10px;max-width:80ch}
.facts{color:#565a63;font-size:13px}.good{color:#1f7a4d}.bad{color:#c8321f}code{font:12.5px ui-monospace,monospace;overflow-wrap:anywhere}
.scroll{overflow-x:auto;border:1px solid #dcd7cb;border-radius:8px;background:#fffefb;margin:0 0 8px}table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:5px 11px;vertical-align:top;border-top:1px solid #e9e5db;overflow-wrap:anywhere;max-width:420px}thead th{border-top:0;font-weight:500;color:#565a63;white-space:nowrap}
@media(prefers-color-scheme:dark){body{background:#121316;color:#e9e7e1}.scroll{background:#191b1f;border-color:#2e3138}th,td{border-color:#24272d}h2{border-color:#2e3138}.facts,thead th{color:#a9adb6}.good{color:#63c793}.bad{color:#ff6b57}}
@media print{body{background:#fff}.scroll{overflow:visible}section{break-inside:avoid-page}}`;
