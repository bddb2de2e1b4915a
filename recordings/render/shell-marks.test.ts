/** Shells' OSC 133 marks of their commands: from a real bash, from bytes split anywhere, and from programs that flood or forge them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { spawn } from 'node-pty';
import { expect, test } from 'vitest';
import { MAX_BLOCK_MARKS, ScreenIndex } from './screen-index.js';
import type { ShellMark } from './screen-index.js';

const osc = (mark: string, end = '\x07'): string => `\x1b]133;${mark}${end}`;
const prompt = `${osc('A')}ann@web:~$ ${osc('B')}`;
const ran = (typed: string, output: string, exit: string): string => `${prompt}${typed}\r\n${osc('C')}${output}${osc(`D;${exit}`)}`;

function marksOf(pieces: readonly string[], size = { cols: 40, rows: 12 }): readonly ShellMark[] {
  const index = new ScreenIndex(size);
  pieces.forEach((data, i) => index.line({ interval: 1, code: 'o', data }, i));
  const { marks } = index.endBlock();
  index.dispose();
  return marks;
}
const told = (marks: readonly ShellMark[]): readonly (string | readonly string[])[] =>
  marks.map((mark) => (mark.mark === 'begin' ? [mark.prompt, mark.text] : mark.exit));

test.each<[string, readonly string[], readonly (string | readonly string[])[]]>([
  ['a command, its prompt and its exit code', [ran('ls -l', 'total 0\r\n', '0')], [['ann@web:~$', 'ls -l'], '0']],
  ['with corrections', [ran('sdo\b\b\bsudo id', '', '1')], [['ann@web:~$', 'sudo id'], '1']],
  ['longer than a row', [ran(`echo ${'x'.repeat(70)}`, '', '0')], [['ann@web:~$', `echo ${'x'.repeat(70)}`], '0']],
  ['wide characters in the prompt', [`${osc('A')}名前 ❯ ${osc('B')}ls\r\n${osc('C')}`], [['名前 ❯', 'ls']]],
  ['a prompt of two lines', [`${osc('A')}~/src\r\n❯ ${osc('B')}make\r\n${osc('C')}`], [['❯', 'make']]],
  [
    'marks terminated by ST, and unknown values',
    [`${osc('A;cl=m', '\x1b\\')}$ ${osc('B')}id\r\n${osc('C;cmdline=id')}${osc('D;130;aid=1')}`],
    [['$', 'id'], '130'],
  ],
  ['an invalid exit code', [ran('x', '', '-1;'), osc('D'), osc('D;1e9')], [['ann@web:~$', 'x'], '', '', '']],
  ['no typed text without a prompt', [`$ ls\r\n${osc('C')}`], [['', '']]],
  ['a prompt counts once', [ran('ls', '', '0'), osc('C')], [['ann@web:~$', 'ls'], '0', ['', '']]],
  ['a screen that was cleared in between', [`${prompt}clear\r\n\x1b[2J\x1b[H${osc('C')}`], [['ann@web:~$', '']]],
  ['other marks are ignored', [osc('P;k=i'), osc(''), '\x1b]1337;C\x07'], []],
])('%s', (_, pieces, expected) => expect(told(marksOf(pieces))).toEqual(expected));

test('marks are the same however the bytes are split', () => {
  const whole = ran('cat list', 'one\r\ntwo\r\n', '0') + ran('false', '', '1') + ran('echo 名前', '名前\r\n', '0');
  const expected = told(marksOf([whole]));
  expect(expected).toHaveLength(6);
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
      expect(told(marksOf(at.slice(1).map((end, i) => whole.slice(at[i], end))))).toEqual(expected);
    }),
  );
  expect(told(marksOf([...whole]))).toEqual(expected);
});

test('a program that prints nothing but marks cannot fill the store, and dropped marks are counted', () => {
  const index = new ScreenIndex({ cols: 40, rows: 12 });
  index.line({ interval: 1, code: 'o', data: osc('C').repeat(1000) + osc(`D;${'9'.repeat(100_000)}`) }, 1);
  const { marks, dropped } = index.endBlock();
  expect([marks.length, dropped]).toEqual([MAX_BLOCK_MARKS, 1001 - MAX_BLOCK_MARKS]);
  index.line({ interval: 1, code: 'o', data: osc('D;0') }, 2);
  expect(index.endBlock()).toMatchObject({ marks: [{ mark: 'end', exit: '0' }], dropped: 0 });
  index.dispose();
});

test('a real bash that is set up for marks', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'steno-marks-'));
  writeFileSync(
    join(folder, 'rc'),
    String.raw`PS1='\[\e]133;A\a\]me@here \w\$ \[\e]133;B\a\]'; PS0='\e]133;C\a'; PROMPT_COMMAND='printf "\e]133;D;%s\a" "$?"'` + '\n',
  );
  const index = new ScreenIndex({ cols: 60, rows: 10 });
  const typed = ['cd /tmp', 'echo one two', '(exit 3)', 'seq 30', `echo ${'long '.repeat(20)}`, 'exit'];
  try {
    const shell = spawn('bash', ['--rcfile', join(folder, 'rc'), '-i'], {
      cols: 60,
      rows: 10,
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, TERM: 'xterm' },
    });
    let at = 0;
    let since = '';
    const left = [...typed];
    await new Promise<void>((resolve) => {
      shell.onData((data) => {
        index.line({ interval: 1, code: 'o', data }, ++at);
        since += data;
        if (!since.includes('\x1b]133;B')) return;
        const next = left.shift();
        since = '';
        if (next !== undefined) shell.write(`${next}\r`);
      });
      shell.onExit(() => resolve());
    });
    const { marks } = index.endBlock();
    // The first end belongs to no command: it is from the first prompt of the shell.
    expect(told(marks)[0]).toBe('0');
    const begins = marks.flatMap((mark) => (mark.mark === 'begin' ? [mark] : []));
    expect(begins.map(({ text }) => text)).toEqual(typed.map((text) => text.trim()));
    expect(begins[1]!.prompt).toMatch(/^me@here \/tmp[$#]$/);
    expect(marks.flatMap((mark) => (mark.mark === 'end' ? [mark.exit] : []))).toEqual(['0', '0', '0', '3', '0', '0']);
  } finally {
    index.dispose();
    rmSync(folder, { recursive: true });
  }
});
