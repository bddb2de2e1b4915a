import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TerminalInput } from './terminal-input.js';
import type { InputToken } from './terminal-input.js';

const passed = (tokens: readonly InputToken[]): string =>
  tokens.map((token) => (token.kind === 'size' ? '' : token.bytes.toString('latin1'))).join('');
const through = (...pieces: readonly string[]): string => {
  const input = new TerminalInput();
  return passed([...pieces.flatMap((piece) => input.push(Buffer.from(piece, 'latin1'))), ...input.flush()]);
};

const answers = {
  'a cursor position': '\x1b[24;80R',
  'device attributes': '\x1b[?64;1;2;6;22c',
  'secondary device attributes': '\x1b[>41;354;0c',
  'a device status': '\x1b[0n',
  'a mode report': '\x1b[?2026;2$y',
  'an ANSI mode report': '\x1b[4;2$y',
  'a size report': '\x1b[8;24;80t',
  'terminal parameters': '\x1b[2;1;1;112;112;1;0x',
  'keyboard flags': '\x1b[?1u',
  'a change of colours': '\x1b[?997;1n',
  'focus in': '\x1b[I',
  'focus out': '\x1b[O',
  'a mouse report': '\x1b[<0;10;20M',
  'a mouse release': '\x1b[<0;10;20m',
  'an old mouse report': '\x1b[M !!',
  'a mouse report of urxvt': '\x1b[32;10;20M',
  'a colour, ended by BEL': '\x1b]11;rgb:0000/0000/0000\x07',
  'a colour, ended by ST': '\x1b]10;rgb:ffff/ffff/ffff\x1b\\',
  'a clipboard': '\x1b]52;c;c2VjcmV0\x07',
  'a terminal name': '\x1bP>|xterm(390)\x1b\\',
  'a capability': '\x1bP1+r544e=787465726d\x1b\\',
};
const keys = {
  letters: 'ls -la\r',
  'control keys': '\x03\x04\x1a',
  'an arrow': '\x1b[A',
  'an arrow in application mode': '\x1bOA',
  'a function key': '\x1b[15~',
  'a modified arrow': '\x1b[1;5C',
  'Alt with a letter': '\x1bb',
  'ESC alone': '\x1b',
  'a paste in marks': '\x1b[200~two\nlines\x1b[201~',
  'a key with modifiers': '\x1b[97;5u',
  'characters of UTF-8': Buffer.from('wörld €').toString('latin1'),
};

describe('input from a participant’s terminal', () => {
  it.each(Object.entries(answers))('%s is dropped, and keys typed around it are not', (_what, answer) => {
    expect(through(`a${answer}b`)).toBe('ab');
    expect(through(...`a${answer}b`)).toBe('ab');
  });

  it.each(Object.entries(keys))('%s pass unchanged', (_what, key) => {
    expect(through(key)).toBe(key);
    expect(through(...key)).toBe(key);
  });

  it('is the same in pieces of any size, with keys and answers in any order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...Object.values(answers).map((text) => [text, '']), ...Object.values(keys).map((text) => [text, text])), {
          maxLength: 12,
        }),
        fc.array(fc.nat(40), { maxLength: 12 }),
        (parts, cuts) => {
          // ESC alone is a key only if nothing follows it.
          const sent = parts.filter(([text]) => text !== '\x1b');
          const all = sent.map(([text]) => text).join('');
          const pieces: string[] = [];
          let at = 0;
          for (const cut of [...cuts, all.length]) {
            pieces.push(all.slice(at, at + cut));
            at += cut;
          }
          pieces.push(all.slice(at));
          expect(through(...pieces)).toBe(sent.map(([, kept]) => kept).join(''));
        },
      ),
    );
  });

  it('keeps nothing of an unterminated string, and only the beginning of a sequence', () => {
    const input = new TerminalInput();
    for (let i = 0; i < 1_000; i++) expect(input.push(Buffer.from(`\x1b]52;c;${'A'.repeat(1_000)}`))).toEqual([]);
    expect(passed(input.push(Buffer.from(`\x07ok\x1b[${'1;'.repeat(10_000)}Zok`)))).toBe('okok');
  });
});
