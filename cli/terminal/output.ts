/**
 * What the command prints. Written rules:
 * results go to standard output, everything else to standard error; `--json` prints exactly one JSON value; tables have
 * a header only on a terminal; colour only on a terminal and never with NO_COLOR; text that came from recordings or
 * users is escaped, so that it cannot drive the reader's terminal. Tested in output.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { displayWidth, fitted } from './width.js';

export interface Output {
  readonly out: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  readonly err: NodeJS.WritableStream & { isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}

export const standardOutput: Output = { out: process.stdout, err: process.stderr, env: process.env };

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const codes: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

export function styled(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv, style: Style, text: string): string {
  return stream.isTTY === true && env['NO_COLOR'] === undefined ? `\u001b[${codes[style]}m${text}\u001b[0m` : text;
}

// Control characters (C0, DEL, C1), bidirectional overrides and other invisible formatting.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;

/** Makes hostile text harmless on a terminal: what is invisible or moves the cursor is shown as `\u{…}`. */
export function visible(text: string): string {
  return text.replace(unsafe, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

/**
 * JSON that moves no reader's terminal: JSON.stringify leaves C1 controls, DEL and bidirectional marks as they are.
 */
export function escapedJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function json(output: Output, value: unknown): void {
  output.out.write(`${escapedJson(value, 2)}\n`);
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  readonly style?: (row: Row) => Style | null;
}

/** Columns as wide as their content; the last one is cut at the terminal's edge. */
export function table<Row>(output: Output, rows: readonly Row[], columns: readonly Column<Row>[]): void {
  const tty = output.out.isTTY === true;
  const cells = rows.map((row) => columns.map((column) => visible(column.value(row))));
  const widths = columns.map((column, i) => Math.max(tty ? displayWidth(column.title) : 0, ...cells.map((line) => displayWidth(line[i]!))));
  const limit = tty ? (output.out.columns ?? 80) : Number.POSITIVE_INFINITY;
  const line = (values: readonly string[], paint: (text: string, i: number) => string): void => {
    let used = 0;
    const parts = values.map((value, i) => {
      const last = i === values.length - 1;
      const room = limit - used;
      const text = last ? fitted(value, room) : value;
      const padding = ' '.repeat(Math.max(0, widths[i]! - displayWidth(text)));
      used += widths[i]! + 2;
      const painted = paint(text, i);
      return columns[i]!.align === 'right' ? padding + painted : last ? painted : painted + padding;
    });
    output.out.write(`${parts.join('  ').trimEnd()}\n`);
  };
  if (tty)
    line(
      columns.map(({ title }) => title),
      (text) => styled(output.out, output.env, 'dim', text),
    );
  cells.forEach((values, r) => {
    line(values, (text, i) => {
      const style = columns[i]!.style?.(rows[r]!) ?? null;
      return style === null ? text : styled(output.out, output.env, style, text);
    });
  });
}

/** RFC 4180. A cell that a spreadsheet would take for a formula is led by an apostrophe: names and reasons are what people wrote. */
export function csv<Row>(
  output: Output,
  rows: readonly Row[],
  columns: readonly (readonly [title: string, value: (row: Row) => string])[],
): void {
  const cell = (text: string): string => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const lines = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, value]) => cell(visible(value(row)))))];
  output.out.write(lines.map((line) => `${line.join(',')}\r\n`).join(''));
}

/** Explains the system's refusal to open or write a file that the user named, or one of the command's own. */
const fileCodes: ReadonlySet<string> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ENAMETOOLONG',
]);

function fileError(error: unknown): StenoError | undefined {
  const { code = '', syscall, path } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  if (typeof path !== 'string' || syscall === undefined || syscall === 'connect' || !fileCodes.has(code)) return undefined;
  return new StenoError('FILE_FAILED', messageOf(error), { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function failure(output: Output, error: unknown, asJson: boolean): number {
  const known = error instanceof StenoError ? error : (fileError(error) ?? new StenoError('INTERNAL', messageOf(error)));
  const { message, fix, exit } = known.entry;
  if (asJson) {
    json(
      { ...output, out: output.err },
      { error: { code: known.code, message, fix, ...(known.detail === undefined ? {} : { detail: known.detail }) } },
    );
  } else {
    // Further lines of a detail show a place in a file.
    const [first = '', ...more] = (known.detail ?? '').split('\n').map(visible);
    output.err.write(
      `${styled(output.err, output.env, 'red', 'steno:')} ${message}${first === '' ? '' : `: ${first}`} [${known.code}]\n${more.map((line) => `${line}\n`).join('')}${fix}\n`,
    );
  }
  return exit;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Milliseconds as `1:02:03`, `2:03` or `0:03`. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** Local time to the second: `2026-11-22 10:27:20`. */
export function moment(ms: number): string {
  const date = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
