import { mkdirSync } from 'node:fs';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { errorCatalogue } from '#schemas/base/errors.js';
import { StenoError } from '#schemas/base/errors.js';
import { bytes, clock, failure, json, table, visible } from './output.js';
import type { Output } from './output.js';
import { displayWidth } from './width.js';

function capture(options: { tty?: boolean; columns?: number } = {}): { output: Output; out: () => string; err: () => string } {
  const collect = (): { stream: Writable & { isTTY?: boolean; columns?: number }; text: () => string } => {
    let text = '';
    const stream: Writable & { isTTY?: boolean; columns?: number } = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString('utf8');
        done();
      },
    });
    if (options.tty !== undefined) stream.isTTY = options.tty;
    if (options.columns !== undefined) stream.columns = options.columns;
    return { stream, text: () => text };
  };
  const out = collect();
  const err = collect();
  return { output: { out: out.stream, err: err.stream, env: {} }, out: out.text, err: err.text };
}

describe('output', () => {
  it('shows control, bidi and invisible characters instead of obeying them', () => {
    expect(visible('a\u001b[31mb\u202ec\u200bd\u009be\nf')).toBe('a\\u{1b}[31mb\\u{202e}c\\u{200b}d\\u{9b}e\\u{a}f');
    expect(visible('naïve 日本 👍')).toBe('naïve 日本 👍');
  });

  it('prints JSON that parses back and cannot drive a terminal', () => {
    const { output, out } = capture();
    const value = [{ text: 'x\u001b]0;t\u0007\u009b1m\u202e' }];
    json(output, value);
    expect(JSON.parse(out())).toEqual(value);
    expect(out()).not.toMatch(/[\u001b\u0007\u009b\u202e]/);
  });

  it.each(['/etc/passwd/deep', '/dev/null/deep'])('says which file cannot be used: %s', (path) => {
    const { output, err } = capture();
    try {
      mkdirSync(path, { recursive: true });
      expect.unreachable();
    } catch (error) {
      expect(failure(output, error, false)).toBe(errorCatalogue.FILE_FAILED.exit);
    }
    expect(err()).toMatch(/^steno: a file or folder .*: E[A-Z]+: .*, mkdir '.*' \[FILE_FAILED\]\n/);
  });

  const columns = [
    { title: 'NAME', value: ({ name }: { name: string }) => name },
    { title: 'SIZE', value: ({ size }: { name: string; size: string }) => size, align: 'right' as const },
    { title: 'WHAT', value: ({ what }: { name: string; size: string; what: string }) => what },
  ];
  const rows = [
    { name: 'web-1', size: '9', what: 'short' },
    { name: '日本', size: '1000', what: 'a rather long last column that does not fit' },
  ];

  it('a table piped elsewhere has no header, no colour and nothing cut', () => {
    const { output, out } = capture();
    table(output, rows, columns);
    expect(out()).toBe('web-1     9  short\n日本   1000  a rather long last column that does not fit\n');
  });

  it('a table on a terminal has a header and ends at its edge', () => {
    const { output, out } = capture({ tty: true, columns: 30 });
    table(output, rows, columns);
    const lines = out()
      .replace(/\u001b\[\d+m/g, '')
      .trimEnd()
      .split('\n');
    expect(lines[0]).toMatch(/^NAME +SIZE +WHAT$/);
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(30);
  });

  it('an error says what happened, its code and what to do, and gives the exit code of the catalogue', () => {
    const { output, err } = capture();
    expect(failure(output, new StenoError('NODE_UNKNOWN', 'web-\u001b9'), false)).toBe(errorCatalogue.NODE_UNKNOWN.exit);
    expect(err()).toBe('steno: no such node: web-\\u{1b}9 [NODE_UNKNOWN]\nRun `steno nodes` to list the nodes.\n');
  });

  it('an error as JSON goes to standard error', () => {
    const { output, out, err } = capture();
    failure(output, new StenoError('NODE_UNKNOWN', 'web-9'), true);
    expect(out()).toBe('');
    expect(JSON.parse(err())).toMatchObject({ error: { code: 'NODE_UNKNOWN', detail: 'web-9' } });
  });

  it('formats sizes and times', () => {
    expect([0, 1023, 1024, 1536, 10_240, 5 << 20].map(bytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '10 KiB', '5.0 MiB']);
    expect([0, 59_999, 60_000, 3_723_000].map(clock)).toEqual(['0:00', '0:59', '1:00', '1:02:03']);
  });
});
