/**
 * Finds texts of which at least one is in everything that a regular expression matches: `triggers.ts` looks for these before the
 * expression is tried. Reads the syntax of RE2; unknown syntax gives null, which only costs time. Tested in regex-literals.test.ts.
 */

/** Larger sets of texts are not worth searching for. */
const MAX_TEXTS = 512;
const MAX_EXACT = 64;
/** Sets per expression; more would cost more than they save. */
const MAX_SETS = 8;
const MAX_DEPTH = 64;

interface Facts {
  /** Everything that the part matches, if that is a short list. */
  readonly exact: readonly string[] | null;
  /** Everything that the part matches contains one of these. */
  readonly need: readonly string[] | null;
  /** Everything that the part matches contains one text of each of these sets. */
  readonly every?: readonly (readonly string[])[];
}

const nothing: Facts = { exact: null, need: null };
const empty: Facts = { exact: [''], need: null };

class Unknown extends Error {}

/** Null: there are none worth searching for. In lower case if the expression ignores case. */
export function literalsOf(expression: string, ignoresCase: boolean): readonly string[] | null {
  const facts = factsOf(expression, ignoresCase);
  return facts === null ? null : usable(best([facts]));
}

/** Sets of texts: everything that the expression matches contains one text of each set. Empty if nothing is known. */
export function requiredSetsOf(expression: string, ignoresCase: boolean): readonly (readonly string[])[] {
  const facts = factsOf(expression, ignoresCase);
  if (facts === null) return [];
  const different = new Map(setsOf(facts).map((texts) => [JSON.stringify(texts), texts]));
  return [...different.values()].slice(0, MAX_SETS);
}

function factsOf(expression: string, ignoresCase: boolean): Facts | null {
  const [leading = '', letters = ''] = /^\(\?([ims]+)\)/.exec(expression) ?? [];
  try {
    return new Reader(expression.slice(leading.length), ignoresCase || letters.includes('i')).read();
  } catch (error) {
    if (error instanceof Unknown) return null;
    throw error;
  }
}

function setsOf({ exact, need, every = [] }: Facts): readonly (readonly string[])[] {
  return [...every, exact, need].filter((texts): texts is readonly string[] => usable(texts) !== null);
}

function usable(texts: readonly string[] | null): readonly string[] | null {
  return texts !== null && texts.length > 0 && texts.length <= MAX_TEXTS && texts.every((text) => text.length > 1) ? texts : null;
}

/** Of several sufficient sets, the one that is found least often. */
function best(parts: readonly Facts[]): readonly string[] | null {
  const cost = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + 2 ** -Math.min(24, text.length), 0);
  return parts
    .flatMap(({ exact, need }) => [exact, need])
    .filter((texts) => texts !== null)
    .filter((texts) => texts.length > 0 && texts.every((text) => text.length > 1))
    .reduce<readonly string[] | null>((least, texts) => (least === null || cost(texts) < cost(least) ? texts : least), null);
}

class Reader {
  readonly #text: string;
  readonly #ignoresCase: boolean;
  #at = 0;
  #depth = 0;

  constructor(text: string, ignoresCase: boolean) {
    this.#text = text;
    this.#ignoresCase = ignoresCase;
  }

  read(): Facts {
    const facts = this.#alternatives();
    if (this.#at < this.#text.length) throw new Unknown();
    return facts;
  }

  #alternatives(): Facts {
    if (++this.#depth > MAX_DEPTH) throw new Unknown();
    const ways = [this.#sequence()];
    while (this.#text[this.#at] === '|') {
      this.#at += 1;
      ways.push(this.#sequence());
    }
    this.#depth -= 1;
    if (ways.length === 1) return ways[0]!;
    const exact = ways.every((way) => way.exact !== null) ? [...new Set(ways.flatMap((way) => way.exact!))] : null;
    const needs = ways.map((way) => best([way]));
    const need = needs.every((one) => one !== null) ? [...new Set(needs.flat())] : null;
    return {
      exact: exact !== null && exact.length <= MAX_EXACT * 4 ? exact : null,
      need: need !== null && need.length <= MAX_TEXTS ? need : null,
    };
  }

  #sequence(): Facts {
    const parts: Facts[] = [];
    let run: readonly string[] = [''];
    let isWhole = true;
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined || c === '|' || c === ')') break;
      const part = this.#repeated();
      const product =
        part.exact === null || part.exact.length * run.length > MAX_EXACT
          ? null
          : run.flatMap((one) => part.exact!.map((two) => one + two));
      if (product !== null) {
        run = product;
        continue;
      }
      isWhole = false;
      parts.push({ exact: null, need: run }, part.exact === null ? { ...part, exact: null } : { exact: null, need: part.exact });
      run = [''];
    }
    if (isWhole) return { exact: [...new Set(run)], need: null };
    parts.push({ exact: null, need: run });
    return { exact: null, need: best(parts), every: parts.flatMap(setsOf) };
  }

  #repeated(): Facts {
    let facts = this.#one();
    for (;;) {
      const rest = this.#text.slice(this.#at, this.#at + 16);
      const [whole = '', sign = '', least = ''] = /^([*+?]|\{(\d+)(?:,\d*)?\})\??/.exec(rest) ?? [];
      if (whole === '') return facts;
      this.#at += whole.length;
      const need = best([facts]);
      if (sign === '?') facts = { exact: facts.exact === null ? null : [...facts.exact, ''], need: null };
      else if (sign === '+' || Number(least) > 0) facts = sign === '{1}' ? facts : { exact: null, need, every: setsOf(facts) };
      else facts = nothing;
    }
  }

  #one(): Facts {
    const text = this.#text;
    const c = text[this.#at]!;
    this.#at += 1;
    switch (c) {
      case '^':
      case '$':
        return empty;
      case '.':
        return nothing;
      case '(': {
        const [head = ''] = /^\?(?::|P?<\w+>)/.exec(text.slice(this.#at, this.#at + 64)) ?? [];
        if (head === '' && text[this.#at] === '?') throw new Unknown();
        this.#at += head.length;
        const facts = this.#alternatives();
        if (text[this.#at] !== ')') throw new Unknown();
        this.#at += 1;
        return facts;
      }
      case '[':
        return this.#class();
      case '\\':
        return this.#escape();
      default:
        return this.#literal(c);
    }
  }

  #literal(c: string): Facts {
    if (!this.#ignoresCase) return { exact: [c], need: null };
    // Beyond A to Z there are letters whose case folding RE2 knows and this module does not.
    return c > '\u007f' ? nothing : { exact: [c.toLowerCase()], need: null };
  }

  #escape(): Facts {
    const c = this.#text[this.#at];
    this.#at += 1;
    if (c === undefined) throw new Unknown();
    if ('bBAz'.includes(c)) return empty;
    if ('sSwWdD'.includes(c)) return nothing;
    if (c === 'n') return this.#literal('\n');
    if (c === 't') return this.#literal('\t');
    if (/[\w]/.test(c)) throw new Unknown();
    return this.#literal(c);
  }

  #class(): Facts {
    const [body] = /^\^?\]?(?:\\[^]|\[:\^?\w+:\]|[^\]\\])*\]/.exec(this.#text.slice(this.#at)) ?? [];
    if (body === undefined) throw new Unknown();
    this.#at += body.length;
    const inside = body.slice(0, -1);
    if (
      inside.length > 8 ||
      /^\^|\\[a-zA-Z]|[a-zA-Z0-9]-[a-zA-Z0-9]|\[:|[^ -~]/.test(inside) ||
      (inside.includes('-') && !inside.startsWith('-'))
    )
      return nothing;
    const characters = [...inside.replace(/\\([^])/g, '$1')];
    return { exact: [...new Set(characters.map((c) => (this.#ignoresCase ? c.toLowerCase() : c)))], need: null };
  }
}
