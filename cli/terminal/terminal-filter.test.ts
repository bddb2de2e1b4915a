import xterm from '@xterm/headless';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TerminalFilter } from './terminal-filter.js';

const { Terminal } = xterm;

const kept: readonly [string, string][] = [
  ['text with CR, LF, tab, bell and backspace', 'a\r\nb\tc\u0007\bd'],
  ['wide and combining characters', '日本語 e\u0301 👩‍💻'],
  ['colours', '\u001b[1;38;2;1;2;3mred\u001b[0m'],
  ['cursor movement and erasing', '\u001b[2J\u001b[H\u001b[10;20H\u001b[K\u001b[3A'],
  ['scroll region and line insertion', '\u001b[1;20r\u001b[2L\u001b[3M'],
  ['alternate screen and cursor visibility', '\u001b[?1049h\u001b[?25l\u001b[?25h\u001b[?1049l'],
  ['character sets and saved cursor', '\u001b(0lqk\u001b(B\u001b7\u001b8'],
  ['cursor shape', '\u001b[2 q'],
];

const dropped: readonly [string, string][] = [
  ['a window title', '\u001b]0;title\u0007'],
  ['the clipboard (OSC 52)', '\u001b]52;c;cm0gLXJmIC8K\u001b\\'],
  ['a hyperlink (OSC 8)', '\u001b]8;;http://evil\u001b\\'],
  ['a device control string', '\u001bP$qm\u001b\\'],
  ['an application program command', '\u001b_G payload\u001b\\'],
  ['a device attributes request', '\u001b[c'],
  ['a secondary device attributes request', '\u001b[>c'],
  ['a cursor position report request', '\u001b[6n'],
  ['window manipulation', '\u001b[21t'],
  ['mouse reporting', '\u001b[?1000h'],
  ['bracketed paste', '\u001b[?2004h'],
  ['application cursor keys', '\u001b[?1h'],
  ['DECID', '\u001bZ'],
  ['a title of screen or tmux', '\u001bktitle\u001b\\'],
  ['the keypad as application', '\u001b='],
  ['answers in eight bits (S8C1T)', '\u001b G'],
  ['another coding of characters', '\u001b%@'],
  ['VT52 mode, and what it would take for the cursor', '\u001b[?2l\u001b<'],
  ['ENQ', '\u0005'],
  ['an eight-bit CSI that asks', '\u009b6n'],
  ['an eight-bit OSC', '\u009d0;title\u009c'],
  ['a key map change (XTMODKEYS)', '\u001b[>4;2m'],
  ['a sequence of more than 4 KiB', `\u001b[${'1;'.repeat(3000)}m`],
];

/** Bytes that terminals give a meaning, among others. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\u001b',
        '\u001b[',
        '\u001b]',
        '\u001bP',
        '\u001b\\',
        '\u009b',
        '\u009d',
        '\u0090',
        '\u009c',
        '\u0007',
        '\u0005',
        '\u0018',
        '\u001a',
        '?',
        '>',
        '=',
        '!',
        ' ',
        '$',
        '"',
        ';',
        '0',
        '6',
        '1000',
        '52',
        'n',
        'c',
        't',
        'p',
        'q',
        'k',
        'Z',
        'h',
        'x',
        'R',
      ),
      fc.string({ maxLength: 3, unit: 'binary' }),
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(''));

describe('terminal filter', () => {
  it('whatever comes, a terminal neither answers nor changes its title, and only sequences of the lists pass', async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (text) => {
        const out = new TerminalFilter().filter(text);
        const bytewise = new TerminalFilter();
        expect([...text].map((char) => bytewise.filter(char)).join('')).toBe(out);
        // Filtering once more changes nothing: no two pieces that pass make a third.
        expect(new TerminalFilter().filter(out)).toBe(out);
        expect(out.match(/\u001b[^[()*+#78DEHMNOno|}~c]/)).toBeNull();
        const terminal = new Terminal({ cols: 80, rows: 24, allowProposedApi: true });
        const said: string[] = [];
        terminal.onData((data) => said.push(data));
        terminal.onTitleChange((title) => said.push(title));
        await new Promise<void>((resolve) => terminal.write(out, resolve));
        terminal.dispose();
        expect(said).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  for (const [name, text] of kept) {
    it(`keeps ${name}`, () => expect(new TerminalFilter().filter(text)).toBe(text));
    it(`keeps ${name}, fed character by character`, () => {
      const filter = new TerminalFilter();
      expect([...text].map((char) => filter.filter(char)).join('')).toBe(text);
    });
  }
  for (const [name, text] of dropped) {
    it(`drops ${name}`, () => expect(new TerminalFilter().filter(`a${text}b`)).toBe('ab'));
    it(`drops ${name}, fed character by character`, () => {
      const filter = new TerminalFilter();
      expect([...`a${text}b`].map((char) => filter.filter(char)).join('')).toBe('ab');
    });
  }
  it('keeps the display modes of a mixed request and drops the others', () => {
    expect(new TerminalFilter().filter('\u001b[?25;1000;7h')).toBe('\u001b[?25;7h');
  });
  it('an escape inside a string begins a new sequence', () => {
    expect(new TerminalFilter().filter('\u001b]0;x\u001b[1mbold')).toBe('\u001b[1mbold');
  });
});
