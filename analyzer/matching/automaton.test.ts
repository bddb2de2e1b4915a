import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LiteralAutomaton } from './automaton.js';
import type { Literal } from './automaton.js';
import { fold } from '../predicate/pattern.js';

const text = fc
  .array(fc.constantFrom('a', 'A', 'b', 'ab', 'é', 'É', '😀', '\u212a', 'K', '/'), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''));
const literals = fc.array(fc.record<Literal>({ text, start: fc.boolean(), end: fc.boolean() }), { maxLength: 12 });

function found(automaton: LiteralAutomaton, subject: string): number[] {
  const values = new Set<number>();
  automaton.search(subject, (value) => values.add(value));
  return [...values].sort((a, b) => a - b);
}

const automatonOf = (of: readonly Literal[]): LiteralAutomaton => new LiteralAutomaton(of.map((literal, value) => ({ literal, value })));

describe('the automaton', () => {
  it('finds what a search for each literal by itself finds', () => {
    fc.assert(
      fc.property(literals, text, text, (of, first, second) => {
        const subject = first + second;
        const expected = of.flatMap((literal, i) => {
          const [whole, part] = [fold(subject), fold(literal.text)];
          const holds =
            literal.start && literal.end
              ? whole === part
              : literal.start
                ? whole.startsWith(part)
                : literal.end
                  ? whole.endsWith(part)
                  : whole.includes(part);
          return holds ? [i] : [];
        });
        expect(found(automatonOf(of), subject)).toEqual(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  it('finds literals that end inside others, at every place', () => {
    const automaton = automatonOf(['abcd', 'bc', 'c', 'cd'].map((one) => ({ text: one, start: false, end: false })));
    expect(found(automaton, 'xabcdx')).toEqual([0, 1, 2, 3]);
    expect(found(automaton, 'xabcx')).toEqual([1, 2]);
  });

  it('refuses more than it may hold', () => {
    const many = Array.from({ length: 60_000 }, (_, i) => ({
      text: String.fromCharCode(200 + (i % 700)).repeat(3) + String(i),
      start: false,
      end: false,
    }));
    expect(() => automatonOf(many)).toThrow(expect.objectContaining({ code: 'RULES_TOO_LARGE' }));
  });
});
