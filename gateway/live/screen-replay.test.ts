import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeLine, openText, growText } from '#schemas/recording/line.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import { ScreenReplay } from './screen-replay.js';

const size = { cols: 40, rows: 10 };
const history = (lines: string, held = ''): { lines: Buffer; whole: boolean; held: Buffer } => ({
  lines: Buffer.from(lines),
  whole: true,
  held: Buffer.from(held, 'latin1'),
});

/** The result on a terminal that already shows something else. */
function shown(frame: Buffer): ReadonlyMap<string, string> {
  const terminal = new ScreenTerminal(size.cols, size.rows);
  terminal.write('\x1b[?1049h\x1b[?1000h\x1b[3;5r\x1b[31mgarbage everywhere\x1b(0');
  terminal.write(frame.toString());
  return terminal.look();
}

function direct(text: string): ReadonlyMap<string, string> {
  const terminal = new ScreenTerminal(size.cols, size.rows);
  terminal.write(text);
  return terminal.look();
}

/** Rows, cursor and modes; the saved cursor and tab stops are not part of a keyframe. */
const seen = (look: ReadonlyMap<string, string>): readonly (readonly [string, string])[] =>
  [...look].filter(([name]) => !/saved|tab|behind/.test(name));

describe('the screen for a participant who joins late', () => {
  it("equals the output so far, whatever the participant's terminal shows", () => {
    const replay = new ScreenReplay(
      history(encodeLine(0, { code: 'o', data: 'one\r\n' }) + openText(10, 'o') + growText('t"wo\r\n')),
      size,
    );
    replay.add(Buffer.from('\x1b[1mthree\x1b[0m'));
    while (!replay.step());
    expect(seen(shown(replay.frame()))).toEqual(seen(direct('one\r\nt"wo\r\n\x1b[1mthree\x1b[0m')));
  });

  it('is complete if a character is cut between the recorded lines and the output since', () => {
    const [first, ...rest] = Buffer.from('€');
    const replay = new ScreenReplay(history(encodeLine(0, { code: 'o', data: 'a' }), String.fromCharCode(first!)), size);
    replay.add(Buffer.from(rest));
    while (!replay.step());
    expect(shown(replay.frame()).get('row 0')).toContain('€');
  });

  it('accepts a history that begins in the middle of a line', () => {
    const replay = new ScreenReplay(history(`abc"]\n${encodeLine(0, { code: 'o', data: 'ok' })}`), size);
    while (!replay.step());
    expect(shown(replay.frame()).get('row 0')).toContain('o');
  });

  it('is the same for output in any number of pieces', () => {
    const piece = fc.constantFrom(
      'ab',
      '\r\n',
      '\x1b[31m',
      '\x1b[H',
      '\x1b[2J',
      '\x1b[5;9H',
      '\x1b[K',
      '€',
      '\x1b[?25l',
      '\x1b[7m',
      '\x1b[0m',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.nat(30), (pieces, cut) => {
        const replay = new ScreenReplay(history(encodeLine(0, { code: 'o', data: pieces.slice(0, cut).join('') })), size);
        for (const one of pieces.slice(cut)) replay.add(Buffer.from(one));
        while (!replay.step());
        expect(seen(shown(replay.frame()))).toEqual(seen(direct(pieces.join(''))));
        replay.dispose();
      }),
      { numRuns: 100 },
    );
  });
});
