import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node-pty';
import { describe, expect, test } from 'vitest';
import type { RecordingLine } from '#schemas/recording/line.js';
import { MAX_BLOCK_ROWS, ScreenIndex, isRewrite } from './screen-index.js';
import type { SeenLine } from './screen-index.js';

type Step = string | { readonly typed: string } | { readonly size: string };

/** Runs steps 10 ms apart; a block ends at each 'BLOCK' and at the end. */
function see(steps: readonly Step[], size = { cols: 80, rows: 24 }): SeenLine[] {
  const index = new ScreenIndex(size);
  const seen: SeenLine[] = [];
  let at = 0;
  for (const step of steps) {
    if (step === 'BLOCK') {
      seen.push(...index.endBlock().lines);
      continue;
    }
    at += 10;
    const line: RecordingLine =
      typeof step === 'string'
        ? { interval: 10, code: 'o', data: step }
        : 'typed' in step
          ? { interval: 10, code: 'i', data: step.typed }
          : { interval: 10, code: 'r', data: step.size };
    index.line(line, at);
  }
  seen.push(...index.endBlock().lines, ...index.finish().lines);
  index.dispose();
  return seen;
}
const texts = (steps: readonly Step[], size?: { cols: number; rows: number }): string[] => see(steps, size).map(({ text }) => text);

const cases: readonly [string, readonly Step[], readonly string[]][] = [
  ['a line as it was printed', ['hello\r\n'], ['hello']],
  [
    'a line typed with corrections, once, in its final state',
    ['$ ', { typed: 's' }, 's', 'd', 'o', '\b\x1b[K', '\b\x1b[K', 'udo', '\r\n'],
    ['$ sudo'],
  ],
  [
    'a command line that is typed over many blocks, once',
    [
      '$ ',
      'BLOCK',
      { typed: 'c' },
      'c',
      'BLOCK',
      { typed: 'a' },
      'a',
      'BLOCK',
      { typed: 't' },
      't',
      'BLOCK',
      { typed: '\r' },
      '\r\n',
      'BLOCK',
    ],
    ['$', '$ cat'],
  ],
  [
    'a progress bar by its last state only',
    [...Array.from({ length: 1000 }, (_, i) => `\r${'='.repeat(i / 20)}> ${i / 10}% of the download`), '\r\n'],
    [`${'='.repeat(49)}> 99.9% of the download`],
  ],
  [
    'a progress bar over many blocks by its first and last state',
    [...Array.from({ length: 100 }, (_, i) => [`\rdownloading the file ${i}%`, 'BLOCK'] as const).flat(), '\r\n'],
    ['downloading the file 0%', 'downloading the file 99%'],
  ],
  ['a secret that was cleared immediately', ['the secret is 42\r\n\x1b[2J\x1b[H$ '], ['the secret is 42', '$']],
  ['a line that another one overwrote', ['first message', '\r\x1b[Kanother thing'], ['first message', 'another thing']],
  ['wrapped lines as one', [`${'a'.repeat(30)}needle${'b'.repeat(30)}\r\n`], [`${'a'.repeat(30)}needle${'b'.repeat(30)}`]],
  ['wide characters and combining ones', ['\u4f60\u597d, caf\u0065\u0301 \ud83d\ude00\r\n'], ['\u4f60\u597d, cafe\u0301 \ud83d\ude00']],
  ['nothing twice when a screen is redrawn', ['one\r\ntwo\r\n', 'BLOCK', '\x1b[H\x1b[2Jone\r\ntwo\r\n', 'BLOCK'], ['one', 'two']],
  [
    'a screen once that is cleared and drawn again later',
    ['one\r\ntwo\r\n', 'BLOCK', '\x1b[H\x1b[2J', 'one\r\n', 'two\r\n', 'BLOCK'],
    ['one', 'two'],
  ],
  ['the same command each time', ['$ id\r\n', 'BLOCK', '$ id\r\n', 'BLOCK'], ['$ id', '$ id']],
  [
    'text before, on and after an alternate screen',
    ['shell\r\n', 'BLOCK', '\x1b[?1049h\x1b[Hin the editor', 'BLOCK', '\x1b[?1049l', 'BLOCK', 'after\r\n'],
    ['shell', 'in the editor', 'after'],
  ],
  [
    'lines that a scrolling region moves, once',
    ['\x1b[1;3rone\r\ntwo\r\nthree\r\n', 'BLOCK', 'four\r\n', 'BLOCK', 'five\r\n'],
    ['one', 'two', 'three', 'four', 'five'],
  ],
  ['no part of an escape sequence that is split', ['\x1b[3', '1mred\x1b]0;tit', 'le\x07\r\n'], ['red']],
  [
    'lines across a resize',
    ['before the resize\r\n', { size: '40x10' }, 'after it\r\n', { size: '120x50' }, 'and wide\r\n'],
    ['before the resize', 'after it', 'and wide'],
  ],
];

describe('the screen index finds', () => {
  for (const [claim, steps, expected] of cases) {
    // Wrapping needs a narrow screen.
    test(claim, () => expect(texts(steps, claim.startsWith('wrapped') ? { cols: 20, rows: 6 } : undefined)).toEqual(expected));
  }

  test('each line with the time at which it was complete, and its row', () => {
    expect(see(['a\r\n', 'b', 'c\r\n'])).toEqual([
      { at: 10, row: 0, text: 'a' },
      { at: 30, row: 1, text: 'bc' },
    ]);
  });

  test('all lines of output that scrolls faster than anyone can read', () => {
    const found = texts([Array.from({ length: 2000 }, (_, i) => `line ${i}`).join('\r\n')]);
    expect(found).toEqual(Array.from({ length: 2000 }, (_, i) => `line ${i}`));
  });

  test('no more lines than the limit of a block, and counts the dropped ones', () => {
    const index = new ScreenIndex({ cols: 80, rows: 24 });
    index.line({ interval: 0, code: 'o', data: Array.from({ length: 10_000 }, (_, i) => `${i}`).join('\r\n') }, 0);
    const { lines, dropped } = index.endBlock();
    expect(lines.length).toBe(MAX_BLOCK_ROWS);
    expect(lines.length + dropped).toBeGreaterThan(9_900);
  });
});

describe('the rows are the same', () => {
  const hard: Step[] = [
    '\x1b[31mred\r\n\x1b[5;10r\x1b[6;1Hin region',
    '\x1b(0lqk\x1b(B',
    '\x1b[?25l\x1b[?7l',
    'x'.repeat(20),
    '\x1b[?1049h\x1b[H\x1b[2Jalt',
    { size: '70x20' },
    'more\r\n\x1b[4',
  ];
  const rest: Step[] = ['2mafter', '\r\n', 'BLOCK', '\x1b[?1049lback\r\nand on', 'BLOCK', '\r\nlast\r\n', '\x1b[20;1H\n\n\n'];

  test('when derivation starts at an anchor', () => {
    const start = new ScreenIndex({ cols: 80, rows: 24 });
    feed(start, hard);
    start.endBlock();
    const anchor = { keyframe: start.keyframe(true), at: 70 };
    const runs = [0, 1].map(() => {
      const index = new ScreenIndex(anchor.keyframe, anchor);
      return { seen: feed(index, rest), keyframe: index.keyframe(true) };
    });
    expect(runs[0]).toEqual(runs[1]);
    // The anchor also restores the terminal's state: modes, scrolling region, and the split sequence.
    const through = feed(start, rest);
    expect(runs[0]!.seen.map(({ text }) => text)).toEqual(through.map(({ text }) => text));
  });

  test('for a keyframe of the largest screen, which fits one line', () => {
    const index = new ScreenIndex({ cols: 1000, rows: 1000 });
    index.line({ interval: 0, code: 'o', data: Array.from({ length: 30_000 }, (_, i) => `\x1b[3${i % 8}m${i}`).join('') }, 0);
    expect(Buffer.byteLength(JSON.stringify(index.keyframe(true)))).toBeLessThan(65_536);
  });

  function feed(index: ScreenIndex, steps: readonly Step[]): SeenLine[] {
    const seen: SeenLine[] = [];
    let at = 100;
    for (const step of steps) {
      if (step === 'BLOCK') seen.push(...index.endBlock().lines);
      else if (typeof step === 'string') index.line({ interval: 10, code: 'o', data: step }, (at += 10));
      else if ('size' in step) index.line({ interval: 10, code: 'r', data: step.size }, (at += 10));
    }
    seen.push(...index.endBlock().lines);
    return seen;
  }
});

describe('real programs', () => {
  const folder = mkdtempSync(join(tmpdir(), 'steno-screen-'));
  const file = join(folder, 'poem.txt');
  writeFileSync(file, Array.from({ length: 200 }, (_, i) => `verse ${i} of the poem\n`).join(''));

  /** Runs a program on a pty; each key is sent once the text before it has been shown. */
  async function run(
    program: string,
    args: readonly string[],
    script: readonly { readonly until: string; readonly send: string }[],
  ): Promise<string[]> {
    const pty = spawn(program, [...args], {
      cols: 80,
      rows: 24,
      env: { TERM: 'xterm-256color', HOME: folder, PATH: process.env['PATH'] ?? '' },
    });
    const index = new ScreenIndex({ cols: 80, rows: 24 });
    const left = [...script];
    let at = 0;
    let since = '';
    await new Promise<void>((resolve) => {
      pty.onData((data) => {
        index.line({ interval: 1, code: 'o', data }, ++at);
        since += data;
        const next = left[0];
        if (next !== undefined && since.includes(next.until)) {
          left.shift();
          since = '';
          // A person reads the page before the next key.
          at += 1000;
          pty.write(next.send);
        }
      });
      pty.onExit(() => resolve());
    });
    const seen = [...index.endBlock().lines, ...index.finish().lines].map(({ text }) => text);
    index.dispose();
    return seen;
  }

  test('text in vim is found, also text that was only paged through', async () => {
    const seen = await run(
      'vim',
      ['-u', 'NONE', '-N', '-n', file],
      [
        { until: 'verse 20', send: '\x06' },
        { until: 'verse 40', send: ':q\r' },
      ],
    );
    for (const verse of [0, 10, 22, 40]) expect(seen).toContain(`verse ${verse} of the poem`);
    expect(seen).not.toContain('verse 150 of the poem');
  });

  test('text in less is found', async () => {
    const seen = await run(
      'less',
      [file],
      [
        { until: 'verse 22', send: ' ' },
        { until: 'verse 45', send: 'q' },
      ],
    );
    for (const verse of [0, 22, 23, 45]) expect(seen).toContain(`verse ${verse} of the poem`);
  });

  test('the folder is gone', () => rmSync(folder, { recursive: true }));
});

test('a text is a rewrite if it extends the old one or differs in less than half', () => {
  expect(isRewrite('$ l', '$ ls -la /very/long/path')).toBe(true);
  expect(isRewrite('[==>   ] 40%', '[===>  ] 50%')).toBe(true);
  expect(isRewrite('$ rm -rf /tmp/x', '$ ')).toBe(false);
  expect(isRewrite('first', 'other')).toBe(false);
});
