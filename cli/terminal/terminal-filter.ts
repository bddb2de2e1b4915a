/**
 * Makes recorded output safe to replay on the reader's own terminal.
 *
 * Kept, by name: text, cursor movement, colours, erasing, scrolling, character sets, modes of the display. Everything else
 * is dropped, above all what a terminal answers (it would type into the reader's shell) and what reaches beyond its
 * screen: OSC (titles, clipboard, links), DCS, APC, PM, SOS, the titles of screen and tmux (ESC k), device and status
 * reports, window manipulation, mouse and paste reporting, key modes.
 * ECMA-48, xterm control sequences. State survives chunk boundaries; a sequence is at most 4 KiB, then dropped.
 *
 *     text ──ESC──► escape ──[──► csi ──final──► text
 *                      └──] P X ^ _ k► string ──BEL or ST──► text
 *
 * Tested in terminal-filter.test.ts, also byte by byte.
 */
type State = 'text' | 'escape' | 'intermediate' | 'csi' | 'string' | 'string-escape';

const MAX_SEQUENCE = 4096;
/** DEC private modes that only change what is drawn: cursor keys excluded, since the reader's shell would see them. */
const displayModes = new Set(['6', '7', '12', '25', '47', '1047', '1048', '1049', '2026']);

/** Save and restore, index, next line, tab stop, reverse index, single and locking shifts, reset. */
const drawingEscapes = '78DEHMNOno|}~c';
/** BEL, BS, HT, LF, VT, FF, CR and the two shifts. Of the other C0 controls ENQ asks for an answer, and none draws. */
const movements = '\u0007\b\t\n\u000b\f\r\u000e\u000f';
/** Character sets of G0 to G3; DECALN and the sizes of a line. */
const drawingIntermediates = /^\u001b(?:[()*+][0-9A-Za-z<=>]|#[34568])$/;

export class TerminalFilter {
  #state: State = 'text';
  #sequence = '';

  filter(chunk: string): string {
    let out = '';
    for (const char of chunk) out += this.#take(char);
    return out;
  }

  #take(char: string): string {
    const code = char.codePointAt(0)!;
    switch (this.#state) {
      case 'text':
        if (code === 0x1b) return this.#begin('escape', char);
        // C1 controls: the eight-bit forms of ESC sequences, and nothing that text needs.
        if (code >= 0x80 && code <= 0x9f) {
          if (code === 0x9b) return this.#begin('csi', '\u001b[');
          if ([0x90, 0x98, 0x9d, 0x9e, 0x9f].includes(code)) return this.#begin('string', '');
          return '';
        }
        return code >= 0x20 ? (code === 0x7f ? '' : char) : movements.includes(char) ? char : '';
      case 'escape':
        if (char === '[') return this.#begin('csi', '\u001b[');
        if (']PX^_k'.includes(char)) return this.#begin('string', '');
        if (code >= 0x20 && code <= 0x2f) return this.#begin('intermediate', this.#sequence + char);
        return this.#end(drawingEscapes.includes(char) ? this.#sequence + char : '');
      case 'intermediate':
        if (code >= 0x20 && code <= 0x2f) return this.#grow(char);
        return this.#end(drawingIntermediates.test(this.#sequence + char) ? this.#sequence + char : '');
      case 'csi':
        if (code === 0x1b) return this.#begin('escape', char);
        if (code >= 0x20 && code <= 0x3f) return this.#grow(char);
        return this.#end(code >= 0x40 && code <= 0x7e ? allowedCsi(this.#sequence + char) : '');
      case 'string':
        if (code === 0x07 || code === 0x9c) return this.#end('');
        if (code === 0x1b) this.#state = 'string-escape';
        return '';
      case 'string-escape':
        if (char === '\\') return this.#end('');
        // ESC cancels the string and begins another sequence.
        this.#begin('escape', '\u001b');
        return this.#take(char);
    }
  }

  #begin(state: State, sequence: string): string {
    this.#state = state;
    this.#sequence = sequence;
    return '';
  }

  #grow(char: string): string {
    if (this.#sequence.length < MAX_SEQUENCE) this.#sequence += char;
    return '';
  }

  #end(text: string): string {
    this.#state = 'text';
    this.#sequence = '';
    return text;
  }
}

function allowedCsi(sequence: string): string {
  if (sequence.length >= MAX_SEQUENCE) return '';
  const final = sequence.at(-1)!;
  const body = sequence.slice(2, -1);
  if (final === 'h' || final === 'l') {
    if (!body.startsWith('?')) return body === '4' || body === '20' ? sequence : '';
    const modes = body
      .slice(1)
      .split(';')
      .filter((mode) => displayModes.has(mode));
    return modes.length === 0 ? '' : `\u001b[?${modes.join(';')}${final}`;
  }
  // Drawing: plain parameters only, or the cursor's shape (`SP q`) and soft reset (`!p`).
  if (/^\d* $/.test(body) && final === 'q') return sequence;
  if (body === '!' && final === 'p') return sequence;
  if (!/^[\d;:]*$/.test(body)) return '';
  return '@ABCDEFGHIJKLMPSTXZ`abdefgmrsu'.includes(final) ? sequence : '';
}
