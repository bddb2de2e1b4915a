/**
 * Determines the output of a command without running it, where that is possible: of programs used to hide scripts (`base64 -d`, `xxd -r
 * -p`, `rev`, `tr`, `printf`, …) on texts in the command line. Also finds texts hidden in code of other languages. Texts are bytes, one
 * character each. Output longer than `MAX_OUTPUT` counts as unknown. Tested in interpret.test.ts.
 */
import { gunzipSync, inflateSync } from 'node:zlib';
import { ansi } from './shell-words.js';

const MAX_OUTPUT = 65_536;

/** Undefined: the output cannot be determined. `input`: the command's input. */
export function printed(program: string, args: readonly string[], input: string | undefined): string | undefined {
  const output = outputOf(program, args, input);
  return output === undefined || output.length > MAX_OUTPUT ? undefined : output;
}

function outputOf(program: string, args: readonly string[], input: string | undefined): string | undefined {
  const operands = args.filter((word) => !/^-./.test(word));
  const options = args.filter((word) => /^-./.test(word));
  const has = (...names: readonly string[]): boolean => options.some((word) => names.includes(word));
  switch (program) {
    case 'echo': {
      let from = 0;
      while (/^-[neE]+$/.test(args[from] ?? '')) from += 1;
      const isEscaped = args.slice(0, from).some((word) => word.includes('e'));
      const text = args.slice(from).join(' ');
      return isEscaped ? ansi(text) : text;
    }
    case 'printf':
      return formatted(args[0] === '--' ? args.slice(1) : args);
    case 'cat':
    case 'tee':
      return operands.length === 0 || operands[0] === '-' ? input : undefined;
    case 'base64':
    case 'basenc':
      if (!options.some((word) => /^(-[a-zA-Z]*[dD]|--d.*)/.test(word)) || operands.length > 0) return undefined;
      return input === undefined ? undefined : Buffer.from(input.replace(/[^A-Za-z0-9+/=_-]/g, ''), 'base64').toString('latin1');
    case 'base32':
      return input !== undefined && has('-d', '--decode') ? fromBase32(input) : undefined;
    case 'openssl':
      if (!/^(base64|enc)$/.test(args[0] ?? '') || !has('-d') || (args[0] === 'enc' && !has('-base64', '-a'))) return undefined;
      return input === undefined ? undefined : Buffer.from(input, 'base64').toString('latin1');
    case 'xxd':
      return input !== undefined && options.join('').includes('r') ? fromHex(input) : undefined;
    case 'rev':
      return input
        ?.split('\n')
        .map((line) => [...line].reverse().join(''))
        .join('\n');
    case 'tac':
      return input?.split('\n').reverse().join('\n');
    case 'tr':
      return input === undefined ? undefined : translated(input, args);
    case 'sed':
      return input === undefined ? undefined : replaced(input, operands);
    case 'gunzip':
    case 'zcat':
      return input === undefined ? undefined : inflated(input);
    case 'gzip':
      return input !== undefined && has('-d', '-dc', '-cd') ? inflated(input) : undefined;
    default:
      return undefined;
  }
}

function formatted([format, ...values]: readonly string[]): string | undefined {
  if (format === undefined) return undefined;
  let used = 0;
  const once = (): string =>
    ansi(format).replace(/%(?:(%)|([sbcdx]))/g, (_, percent: string | undefined, kind: string) => {
      if (percent !== undefined) return '%';
      const value = values[used] ?? '';
      used += 1;
      return kind === 'b' ? ansi(value) : kind === 'c' ? value.slice(0, 1) : value;
    });
  let text = once();
  for (let i = 0; used > 0 && used < values.length && i < 1_024; i += 1) text += once();
  return text;
}

function fromHex(text: string): string | undefined {
  const digits = text.replace(/^[0-9a-f]+:\s/gim, '').replace(/\\x|0x|[^0-9a-fA-F]/g, '');
  return digits.length < 2 ? undefined : Buffer.from(digits, 'hex').toString('latin1');
}

function fromBase32(text: string): string {
  let bits = 0;
  let held = 0;
  let output = '';
  for (const c of text.toUpperCase()) {
    const value = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c);
    if (value < 0) continue;
    held = ((held << 5) | value) & 0xffff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    output += String.fromCharCode((held >> bits) & 0xff);
  }
  return output;
}

function translated(input: string, args: readonly string[]): string | undefined {
  if (args[0] === '-d') {
    const set = new Set(setOf(args[1] ?? ''));
    return [...input].filter((c) => !set.has(c)).join('');
  }
  const [from, to] = args.map((word) => setOf(word));
  if (from === undefined || to === undefined || to.length === 0 || args[0]!.startsWith('-')) return undefined;
  const map = new Map(from.map((c, i) => [c, to[Math.min(i, to.length - 1)]!]));
  return [...input].map((c) => map.get(c) ?? c).join('');
}

function setOf(written: string): readonly string[] {
  const text = ansi(
    written
      .replace(/\[:upper:\]/g, 'A-Z')
      .replace(/\[:lower:\]/g, 'a-z')
      .replace(/^\[(.+)\]$/, '$1'),
  );
  const set: string[] = [];
  for (let i = 0; i < text.length && set.length < 512; i += 1) {
    if (text[i + 1] !== '-' || text[i + 2] === undefined) set.push(text[i]!);
    else {
      for (let code = text.charCodeAt(i); code <= text.charCodeAt(i + 2) && set.length < 512; code += 1)
        set.push(String.fromCharCode(code));
      i += 2;
    }
  }
  return set;
}

/** `s/from/to/g` for texts without regular expression syntax. */
function replaced(input: string, [script = '']: readonly string[]): string | undefined {
  const [, , from, to = ''] = /^s(.)([^.*[\]\\^$+?(){}|]+?)\1((?:(?!\1).)*)\1g?$/.exec(script) ?? [];
  return from === undefined ? undefined : input.split(from).join(to);
}

function inflated(input: string): string | undefined {
  const bytes = Buffer.from(input, 'latin1');
  for (const inflate of [gunzipSync, inflateSync]) {
    try {
      return inflate(bytes, { maxOutputLength: MAX_OUTPUT }).toString('latin1');
    } catch {
      // The text is not in this encoding.
    }
  }
  return undefined;
}

const LITERALS = 16;
const isText = (text: string): boolean => text.length >= 4 && /^[\t\n\r\x20-\x7e]+$/.test(text);

/** Texts that code of an interpreter (python, perl, php, ruby, node, …) contains in encoded form. */
export function revealed(code: string, depth = 3): readonly string[] {
  const found = new Set<string>();
  const add = (text: string | undefined): void => {
    if (text !== undefined && found.size < LITERALS && isText(text) && text !== code) found.add(text);
  };
  for (const [literal] of [...code.matchAll(/[A-Za-z0-9+/_-]{12,}={0,2}/g)].slice(0, 64)) {
    const bytes = Buffer.from(literal, 'base64').toString('latin1');
    add(bytes);
    if (/^(?:H4sI|eJ|eN|eA)/.test(literal)) add(inflated(bytes));
    if (/^(?:[0-9a-fA-F]{2}){6,}$/.test(literal)) add(Buffer.from(literal, 'hex').toString('latin1'));
  }
  if (/\\x[0-9a-fA-F]{2}|\\u00[0-9a-fA-F]{2}|\\[0-7]{3}/.test(code)) add(ansi(code));
  if (/(?:[cC]hr|char)\W*\d/.test(code) || /fromCharCode|\bpack\b|bytes\(|bytearray/.test(code)) {
    const numbers = [...code.matchAll(/\b(?:0x([0-9a-fA-F]{2})|(\d{2,3}))\b/g)].map(([, hex, decimal]) =>
      hex === undefined ? Number(decimal) : parseInt(hex, 16),
    );
    add(String.fromCharCode(...numbers.filter((number) => number >= 9 && number < 127).slice(0, 4_096)));
  }
  if (/::-1|reverse|strrev/.test(code)) add([...code].reverse().join(''));
  // Split texts: 'so'+'cket', "/bin"."/sh", concat.
  const joined = code.replace(/(['"])\s*(?:\+|\.\.?|,|<>)\s*(['"])/g, '');
  if (joined !== code) add(joined);
  const rotated = /rot_?13|tr\/a-zA-Z\/n-za-mN-ZA-M\/|tr\/A-Za-z\/N-ZA-Mn-za-m\//i.test(code)
    ? code.replace(/[a-zA-Z]/g, (c) => String.fromCharCode((((c.charCodeAt(0) & 31) + 12) % 26) + 1 + (c.charCodeAt(0) & 96)))
    : undefined;
  add(rotated);
  const texts = [...found];
  return depth <= 1 ? texts : [...new Set([...texts, ...texts.flatMap((text) => revealed(text, depth - 1))])].slice(0, LITERALS);
}
