/**
 * Translates the client's terminal modes (RFC 4254, section 8) into arguments of stty(1), so that the node's terminal starts
 * like the user's own.
 *
 *     string  =  (opcode 1-159, uint32)*  [ 0 or an opcode from 160 on: the end, whatever follows ]
 *
 * Three calls of stty are used, so that an unsupported speed or character does not prevent the rest. Unknown opcodes are
 * skipped. A truncated string is used as far as it goes: a slightly different terminal is no reason to refuse a session.
 * Tested in modes.test.ts, and end to end in test/end-to-end/terminal-modes.test.ts.
 */

/** Bytes examined: each mode once takes 800. */
const MAX_MODES_BYTES = 4096;
const FIRST_UNDEFINED = 160;

/** Opcodes of RFC 4254 and RFC 8160. Those that Linux lacks (VSTATUS, VDSUSP, ...) are omitted. */
const characters: ReadonlyMap<number, string> = new Map([
  [1, 'intr'],
  [2, 'quit'],
  [3, 'erase'],
  [4, 'kill'],
  [5, 'eof'],
  [6, 'eol'],
  [7, 'eol2'],
  [8, 'start'],
  [9, 'stop'],
  [10, 'susp'],
  [12, 'rprnt'],
  [13, 'werase'],
  [14, 'lnext'],
  [16, 'swtch'],
  [18, 'discard'],
]);
const flags: ReadonlyMap<number, string> = new Map([
  [30, 'ignpar'],
  [31, 'parmrk'],
  [32, 'inpck'],
  [33, 'istrip'],
  [34, 'inlcr'],
  [35, 'igncr'],
  [36, 'icrnl'],
  [37, 'iuclc'],
  [38, 'ixon'],
  [39, 'ixany'],
  [40, 'ixoff'],
  [41, 'imaxbel'],
  [42, 'iutf8'],
  [50, 'isig'],
  [51, 'icanon'],
  [53, 'echo'],
  [54, 'echoe'],
  [55, 'echok'],
  [56, 'echonl'],
  [57, 'noflsh'],
  [58, 'tostop'],
  [59, 'iexten'],
  [60, 'echoctl'],
  [61, 'echoke'],
  [70, 'opost'],
  [71, 'olcuc'],
  [72, 'onlcr'],
  [73, 'ocrnl'],
  [74, 'onocr'],
  [75, 'onlret'],
  [92, 'parenb'],
  [93, 'parodd'],
]);
const sizes: ReadonlyMap<number, string> = new Map([
  [90, 'cs7'],
  [91, 'cs8'],
]);
const speeds: ReadonlyMap<number, string> = new Map([
  [128, 'ispeed'],
  [129, 'ospeed'],
]);
const MAX_SPEED = 4_000_000;
/** node-pty opens terminals with these on; the kernel, and so sshd, has them off by default. */
const KERNEL_DEFAULTS = ['-brkint', '-hupcl', '-imaxbel', '-ixany', '-iutf8'];

/** Values by opcode; for repeated opcodes the last counts. Accepts any bytes. */
export function decodeModes(bytes: Uint8Array): ReadonlyMap<number, number> {
  const modes = new Map<number, number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_MODES_BYTES));
  for (let at = 0; at + 5 <= view.byteLength; at += 5) {
    const opcode = view.getUint8(at);
    if (opcode === 0 || opcode >= FIRST_UNDEFINED) break;
    modes.set(opcode, view.getUint32(at + 1));
  }
  return modes;
}

/** At most three argument lists, none of them empty, for a terminal opened by node-pty. */
export function sttyWords(modes: ReadonlyMap<number, number>): readonly (readonly string[])[] {
  const [switched, keys, rates]: [string[], string[], string[]] = [[...KERNEL_DEFAULTS], [], []];
  for (const [opcode, value] of modes) {
    const flag = flags.get(opcode);
    const character = characters.get(opcode);
    const size = sizes.get(opcode);
    const speed = speeds.get(opcode);
    if (flag !== undefined) switched.push(value === 0 ? `-${flag}` : flag);
    else if (size !== undefined && value !== 0) switched.push(size);
    // 255 disables a character.
    else if (character !== undefined && value <= 255)
      keys.push(character, value === 255 ? 'undef' : `0x${value.toString(16).padStart(2, '0')}`);
    else if (speed !== undefined && value <= MAX_SPEED) rates.push(speed, String(value));
  }
  return [switched, keys, rates].filter((words) => words.length > 0);
}
