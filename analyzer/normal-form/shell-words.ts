/**
 * Parses a command line like a shell: into commands and their words, with quoting removed and known variables expanded, so that
 * different spellings read the same: `c'u'rl`, `cu\rl`, `$'\x63url'`, `a=cu;b=rl;$a$b`, `cat${IFS}/etc/passwd`.
 *
 * An aid, not a boundary: shells have more than one grammar, and a new kind of obfuscation is not recognized. Anything unknown is kept
 * as written. Never throws; bounded by `limits`. Tested in shell-words.test.ts.
 */

export const limits = {
  /** Maximum number of characters read. */
  length: 32_768,
  commands: 256,
  words: 2_048,
  /** Nesting depth of scripts: `sh -c`, `eval`, substitutions, decoded texts. */
  depth: 6,
  /** Maximum length of a word after variable expansion. */
  word: 16_384,
} as const;

export interface Redirect {
  readonly operator: '<' | '>' | '>>' | '<>' | '>|' | '&>' | '&>>' | '<&' | '>&' | '<<<' | '<<';
  /** A file, a descriptor, or the text of a here-string or here-document. */
  readonly target: string;
}

/** The operator that joins a command to the previous one. */
export type Joint = 'begin' | 'next' | 'pipe' | 'and' | 'or' | 'background';

export interface Command {
  readonly joint: Joint;
  readonly words: readonly string[];
  readonly assignments: readonly (readonly [string, string])[];
  readonly redirects: readonly Redirect[];
  /** Scripts in `$(…)`, backquotes, `<(…)` and `>(…)`, as written. */
  readonly inner: readonly string[];
}

/** The output of a `$(…)`, if it can be determined without running it. */
export type Substitute = (script: string) => string | undefined;

const WORD_ENDS = new Set([' ', '\t', '\n', ';', '|', '&', '<', '>', '(', ')']);
const HEADS = new Set(['if', 'then', 'else', 'elif', 'while', 'until', 'do', '!', '{', 'time', 'coproc']);
const ENDS = new Set(['fi', 'done', 'esac', '}', 'in']);
const MARK = '\u0001';

export class ShellReader {
  readonly commands: Command[] = [];
  readonly #text: string;
  readonly #variables: Map<string, string>;
  readonly #substitute: Substitute;
  #at = 0;
  #words: string[] = [];
  #assignments: [string, string][] = [];
  #redirects: Redirect[] = [];
  #inner: string[] = [];
  #joint: Joint = 'begin';
  #pending: { readonly delimiter: string; readonly index: number }[] = [];
  #wordCount = 0;

  /** `variables` is modified: an assignment affects the commands after it. */
  constructor(text: string, variables: Map<string, string> = new Map(), substitute: Substitute = () => undefined) {
    this.#text = text.slice(0, limits.length);
    this.#variables = variables;
    this.#substitute = substitute;
    while (this.#at < this.#text.length && this.commands.length < limits.commands && this.#wordCount < limits.words) this.#step();
    this.#finish('next');
  }

  #step(): void {
    const text = this.#text;
    const c = text[this.#at]!;
    const two = text.slice(this.#at, this.#at + 2);
    if (c === ' ' || c === '\t' || c === '\r') this.#at += 1;
    else if (two === '\\\n') this.#at += 2;
    else if (c === '\n') {
      this.#at += 1;
      this.#hereDocuments();
      this.#finish('next');
    } else if (c === '#' && (this.#at === 0 || WORD_ENDS.has(text[this.#at - 1]!))) {
      const end = text.indexOf('\n', this.#at);
      this.#at = end < 0 ? text.length : end;
    } else if (two === '&&') this.#join(2, 'and');
    else if (two === '||') this.#join(2, 'or');
    else if (two === '|&') this.#join(2, 'pipe');
    else if (two === ';;') this.#join(2, 'next');
    else if (c === '|') this.#join(1, 'pipe');
    else if (c === ';') this.#join(1, 'next');
    else if (two === '&>') this.#redirect();
    else if (c === '&') this.#join(1, 'background');
    else if (c === '(' || c === ')') this.#join(1, 'next');
    else if ((c === '<' || c === '>') && text[this.#at + 1] === '(') this.#word();
    else if (c === '<' || c === '>' || /^[0-9]{1,3}[<>]/.test(text.slice(this.#at, this.#at + 4))) this.#redirect();
    else this.#word();
  }

  #join(length: number, joint: Joint): void {
    this.#at += length;
    this.#finish(joint);
  }

  #finish(joint: Joint): void {
    if (this.#words.length + this.#assignments.length + this.#redirects.length + this.#inner.length > 0) {
      this.commands.push({
        joint: this.#joint,
        words: this.#words,
        assignments: this.#assignments,
        redirects: this.#redirects,
        inner: this.#inner,
      });
      if (this.#words.length === 0) for (const [name, value] of this.#assignments) this.#variables.set(name, value);
      this.#words = [];
      this.#assignments = [];
      this.#redirects = [];
      this.#inner = [];
      this.#joint = joint;
    } else if (joint !== 'next') this.#joint = joint;
  }

  #redirect(): void {
    const [, operator = ''] = /^[0-9]*(&>>|&>|<<<|<<-?|<>|>>|>\||<&|>&|<|>)/.exec(this.#text.slice(this.#at, this.#at + 8)) ?? [];
    this.#at = this.#text.indexOf(operator, this.#at) + operator.length;
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at += 1;
    const target = this.#text[this.#at] === undefined ? '' : this.#read().join(' ');
    if (operator.startsWith('<<') && operator !== '<<<') {
      this.#pending.push({ delimiter: target, index: this.#redirects.length });
      this.#redirects.push({ operator: '<<', target: '' });
    } else this.#redirects.push({ operator: operator as Redirect['operator'], target });
  }

  #hereDocuments(): void {
    for (const { delimiter, index } of this.#pending.splice(0)) {
      const lines: string[] = [];
      while (this.#at < this.#text.length) {
        const end = this.#text.indexOf('\n', this.#at);
        const line = this.#text.slice(this.#at, end < 0 ? undefined : end);
        this.#at = end < 0 ? this.#text.length : end + 1;
        if (line.trim() === delimiter) break;
        lines.push(line);
      }
      if (this.#redirects[index] !== undefined) this.#redirects[index] = { operator: '<<', target: lines.join('\n') };
    }
  }

  #word(): void {
    const words = this.#read();
    this.#wordCount += Math.max(1, words.length);
    const [word] = words;
    const isFirst = this.#words.length === 0;
    const assignment = isFirst && words.length === 1 ? /^([A-Za-z_]\w*)\+?=(.*)$/s.exec(word!) : null;
    if (assignment !== null) {
      const [, name = '', value = ''] = assignment;
      this.#assignments.push([name, word!.startsWith(`${name}+=`) ? (this.#variables.get(name) ?? '') + value : value]);
      if ((this.#assignments.at(-1)?.[1].length ?? 0) > limits.word)
        this.#assignments[this.#assignments.length - 1] = [name, value.slice(0, limits.word)];
      return;
    }
    if (isFirst && words.length === 1 && HEADS.has(word!)) return;
    if (isFirst && words.length === 1 && ENDS.has(word!)) return;
    this.#words.push(...words);
  }

  /** One word of the text, which becomes several words or none after unquoted variables are expanded. */
  #read(): readonly string[] {
    const text = this.#text;
    let word = '';
    let quoted = false;
    let begun = false;
    while (this.#at < text.length) {
      const c = text[this.#at]!;
      if ((c === '<' || c === '>') && text[this.#at + 1] === '(' && !begun) {
        this.#inner.push(this.#balanced(this.#at + 2));
        return ['/dev/fd/63'];
      }
      if (WORD_ENDS.has(c)) break;
      begun = true;
      if (c === "'") {
        const end = text.indexOf("'", this.#at + 1);
        word += text.slice(this.#at + 1, end < 0 ? undefined : end);
        this.#at = end < 0 ? text.length : end + 1;
        quoted = true;
      } else if (c === '"') {
        this.#at += 1;
        word += this.#doubleQuoted();
        quoted = true;
      } else if (c === '\\') {
        if (text[this.#at + 1] !== '\n') word += text[this.#at + 1] ?? '';
        this.#at += 2;
      } else if (c === '$' && text[this.#at + 1] === "'") {
        const body = /^(?:\\[^]|[^'\\])*/.exec(text.slice(this.#at + 2))![0];
        word += ansi(body);
        this.#at += body.length + 3;
        quoted = true;
      } else if (c === '$' && text[this.#at + 1] === '"') this.#at += 1;
      else if (c === '$' || c === '`') word += this.#dollar(false);
      else {
        word += c;
        this.#at += 1;
      }
      if (word.length > limits.word) break;
    }
    if (!begun) this.#at += 1;
    const parts = word.split(MARK).filter((part, _, all) => part !== '' || (all.length === 1 && quoted));
    if (parts.length === 1 && !quoted && /^[^{}\s]*\{[^{}\s]+,[^{}\s]*\}[^{}\s]*$/.test(parts[0]!) && parts[0]!.length < 512) {
      const [, before = '', list = '', after = ''] = /^([^{}]*)\{([^{}]*)\}(.*)$/.exec(parts[0]!)!;
      return list
        .split(',')
        .slice(0, 64)
        .map((one) => before + one + after);
    }
    return parts;
  }

  #doubleQuoted(): string {
    let word = '';
    while (this.#at < this.#text.length) {
      const c = this.#text[this.#at]!;
      if (c === '"') {
        this.#at += 1;
        return word;
      }
      if (c === '\\' && '"\\$`\n'.includes(this.#text[this.#at + 1] ?? '')) {
        word += this.#text[this.#at + 1] === '\n' ? '' : this.#text[this.#at + 1]!;
        this.#at += 2;
      } else if (c === '$' || c === '`') word += this.#dollar(true);
      else {
        word += c;
        this.#at += 1;
      }
      if (word.length > limits.word) break;
    }
    return word;
  }

  #dollar(isQuoted: boolean): string {
    const rest = this.#text.slice(this.#at, this.#at + 512);
    if (rest.startsWith('`') || (rest.startsWith('$(') && !rest.startsWith('$(('))) {
      const from = this.#at;
      const script = rest.startsWith('`') ? this.#backquoted() : this.#balanced(this.#at + 2);
      this.#inner.push(script);
      const value = this.#substitute(script);
      if (value === undefined) return this.#text.slice(from, this.#at).replace(/\s+/g, ' ').slice(0, 1_024);
      const trimmed = value.replace(/\n+$/, '');
      return isQuoted ? trimmed : trimmed.replace(/\s+/g, MARK);
    }
    if (rest.startsWith('$((')) {
      const from = this.#at;
      this.#balanced(this.#at + 2);
      return this.#text.slice(from, this.#at);
    }
    const named = /^\$(?:\{(#?!?\w+)([^}]*)\}|([A-Za-z_]\w*|[@*#?$!0-9-]))/.exec(rest);
    if (named === null) {
      this.#at += 1;
      return '$';
    }
    this.#at += named[0].length;
    const name = named[1] ?? named[3]!;
    const value = /^[@*0-9]$/.test(name) && this.#variables.get(name) === undefined ? '' : this.#variables.get(name);
    const resolved = operated(value, named[2] ?? '') ?? (name === 'IFS' ? ' ' : undefined);
    if (resolved === undefined) return named[0];
    return isQuoted ? resolved : resolved.replace(/\s+/g, MARK);
  }

  #backquoted(): string {
    const body = /^`((?:\\[^]|[^`\\])*)/.exec(this.#text.slice(this.#at))![1]!;
    this.#at += body.length + 2;
    return body.replace(/\\([`\\$])/g, '$1');
  }

  /** The text from `from` to the matching closing parenthesis, which is skipped. */
  #balanced(from: number): string {
    const text = this.#text;
    let depth = 1;
    let at = from;
    let quote = '';
    for (; at < text.length; at += 1) {
      const c = text[at]!;
      if (quote !== '') {
        if (c === '\\' && quote === '"') at += 1;
        else if (c === quote) quote = '';
      } else if (c === '\\') at += 1;
      else if (c === "'" || c === '"') quote = c;
      else if (c === '(') depth += 1;
      else if (c === ')' && --depth === 0) break;
    }
    this.#at = Math.min(text.length, at + 1);
    return text.slice(from, at);
  }
}

/** `${name…}` with an operator after the name; undefined if the value cannot be determined. */
function operated(value: string | undefined, operator: string): string | undefined {
  const otherwise = /^:?-(.*)$/s.exec(operator);
  if (otherwise !== null) return value === undefined || value === '' ? otherwise[1] : value;
  if (value === undefined) return undefined;
  if (operator === '') return value;
  const cut = /^:(\d+)(?::(\d+))?$/.exec(operator);
  if (cut !== null) return value.slice(Number(cut[1]), cut[2] === undefined ? undefined : Number(cut[1]) + Number(cut[2]));
  const replaced = /^\/(\/?)([^/]+)\/?(.*)$/s.exec(operator);
  if (replaced !== null) {
    const [, every, from = '', to = ''] = replaced;
    return every === '/' ? value.split(from).join(to) : value.replace(from, () => to);
  }
  return undefined;
}

const letters: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  a: '\u0007',
  b: '\b',
  e: '\u001b',
  E: '\u001b',
  f: '\f',
  v: '\v',
};

/** The text of `$'…'`, and of `echo -e` and `printf`. */
export function ansi(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|0?([0-7]{1,3})|([^]))/g,
    (all, hex: string, unicode: string, octal: string, one: string) => {
      if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
      if (unicode !== undefined) return String.fromCharCode(parseInt(unicode, 16));
      if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8));
      return letters[one] ?? (`\\'"?`.includes(one) ? one : all);
    },
  );
}
