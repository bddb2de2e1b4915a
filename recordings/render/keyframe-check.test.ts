/** Keyframes that ingest writes pass, whatever the screen; keyframes that show or do anything else fail. */
import { describe, expect, test } from 'vitest';
import { encodeLine } from '#schemas/recording/line.js';
import type { Keyframe, LineBody } from '#schemas/recording/line.js';
import { KeyframeCheck } from './keyframe-check.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';

const term = { cols: 20, rows: 5 };
const bytes = (body: LineBody): Uint8Array => Buffer.from(encodeLine(0, body));
const drawn = (output: readonly string[]): Keyframe => {
  const terminal = new ScreenTerminal(term.cols, term.rows);
  for (const text of output) terminal.write(text);
  const keyframe = terminal.keyframe(true);
  terminal.dispose();
  return keyframe;
};
const check = (output: readonly string[], keyframe: Keyframe): string | null => {
  const screens = new KeyframeCheck({ term });
  for (const data of output) screens.line(bytes({ code: 'o', data }));
  return screens.keyframe(keyframe);
};

const screens: readonly (readonly [string, readonly string[]])[] = [
  ['nothing', []],
  ['text', ['$ ls\r\n', 'a b c\r\n$ ']],
  ['colours and blanks with a background', ['\x1b[1;31mred\x1b[44m   \x1b[m plain \x1b[7m inverse \x1b[m']],
  ['a line that wraps', ['x'.repeat(47)]],
  ['wide letters', ['日本語 ｗide\r\n']],
  ['the alternate screen', ['behind\r\n\x1b[?1049h\x1b[2;3Hfull']],
  ['a scrolling region, origin mode, line drawing, a hidden cursor', ['\x1b[2;4r\x1b[?6h\x1b(0qqq\x1b[?25l']],
  ['an incomplete sequence', ['text\x1b[3']],
];

describe('a genuine keyframe', () => {
  test.each(screens)('of %s is good', (_, output) => expect(check(output, drawn(output))).toBeNull());

  test('is good if another version of the terminal writes the same screen differently', () => {
    const output = ['$ ls\r\n', '\x1b[1;31mred\x1b[m\r\n$ '];
    expect(check(output, { ...term, screen: '$ ls    \r\n\x1b[31m\x1b[1mred\x1b[0m\r\n$ ', anchor: true })).toBeNull();
  });

  test('continues from each anchor, also after a resize', () => {
    const screens = new KeyframeCheck({ term });
    const terminal = new ScreenTerminal(term.cols, term.rows);
    let at = terminal;
    for (let i = 0; i < 40; i++) {
      const data = `\x1b[3${i % 8}mline ${i}\r\n\x1b7`;
      screens.line(bytes({ code: 'o', data }));
      at.write(data);
      if (i === 20) {
        screens.line(bytes({ code: 'r', data: '30x7' }));
        at.resize(30, 7);
      }
      if (i % 7 !== 6) continue;
      const keyframe = at.keyframe(i % 2 === 0);
      expect(screens.keyframe(keyframe), String(i)).toBeNull();
      if (keyframe.anchor === true) at = ScreenTerminal.restore(keyframe);
    }
  });
});

describe('a keyframe that was forged', () => {
  const output = ['$ rm -rf /\r\n', '\x1b[32mdone\x1b[m'];
  const honest = drawn(output);
  const cases: readonly (readonly [string, Partial<Keyframe>, string])[] = [
    ['shows other text', { screen: honest.screen.replace('rm -rf /', 'ls -la /') }, 'row 0'],
    ['shows other colours', { screen: honest.screen.replace('32m', '30m') }, 'row 1'],
    ['shows nothing', { screen: '' }, 'row 0'],
    ['puts the cursor elsewhere', { screen: `${honest.screen}\x1b[1;1H` }, 'the cursor'],
    ['draws in another colour from then on', { screen: `${honest.screen}\x1b[8m` }, 'the cursor'],
    ['saves a cursor for later', { screen: `${honest.screen}\x1b[3;3H\x1b7\x1b[2;5H` }, 'the saved cursor'],
    ['sets a scrolling region', { screen: `${honest.screen}\x1b[1;2r\x1b[2;5H` }, 'the modes'],
    ['clears the tab stops', { screen: `${honest.screen}\x1b[3g` }, 'the tab stops'],
    ['swallows what follows', { screen: `${honest.screen}\x1b]0;` }, 'the incomplete sequence'],
    ['has another size', { cols: 21 }, 'row 0'],
  ];
  test.each(cases)('is found because it %s', (_, change, where) => {
    const difference = check(output, { ...honest, ...change });
    expect(difference).not.toBeNull();
    if (where !== 'row 0') expect(difference).toBe(where);
  });
});
