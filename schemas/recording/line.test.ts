import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CUT_MARK,
  MAX_LINE_BYTES,
  closeText,
  cutText,
  encodeHeader,
  encodeLine,
  encodeRawLine,
  execFacts,
  formatInterval,
  growText,
  isSessionId,
  joinCommand,
  openText,
  parseHeader,
  parseLine,
  parseSize,
  peekLine,
  sessionId,
} from './line.js';
import type { LineBody } from './line.js';
import { exampleHeader as header } from '../testing/recordings.js';

const bodies: readonly LineBody[] = [
  { code: 'o', data: 'plain "quoted" \\ \u001b[1m \u0000 \u007f é漢🙂\r\n' },
  { code: 'i', data: '' },
  { code: 'r', data: '80x24' },
  { code: 'm', data: 'marker' },
  { code: 'x', data: '0' },
  { code: 'k', data: { cols: 1, rows: 1, screen: '\u001bc' } },
  { code: 'j', data: { action: 'joined', user: 'bob', mode: 'observer', source_address: '::1' } },
  { code: 'g', data: { reason: 'input_not_echoed', stream: 'in' } },
  { code: 'b', data: { stream: 'out', replaces: true, base64: '/w==' } },
  { code: 's', data: { fact: 'total', stream: 'out', bytes: 3, sha256: 'ab' } },
];

describe('lines', () => {
  for (const body of bodies) {
    test(`of code ${body.code} are parsed and encoded unchanged`, () => {
      const line = encodeLine(1234, body);
      expect(line.endsWith(']\n')).toBe(true);
      expect(line.slice(0, -1)).not.toContain('\n');
      const parsed = parseLine(line)!;
      expect(parsed).toEqual({ interval: 1234, ...body });
      expect(encodeLine(parsed.interval, parsed)).toBe(line);
      expect(peekLine(line.slice(0, 64))).toEqual({ interval: 1234, code: body.code });
    });
  }

  test('that grow are identical in the end, wherever they were split', () => {
    const text = 'a"\\\r\n\u001b[0mé漢🙂';
    const units = [...text];
    for (let cut = 0; cut <= units.length; cut++) {
      const grown = openText(7, 'o') + growText(units.slice(0, cut).join('')) + growText(units.slice(cut).join('')) + closeText();
      expect(grown).toBe(encodeLine(7, { code: 'o', data: text }));
    }
  });

  test('carry milliseconds, and nothing finer', () => {
    expect([0, 1, 10, 999, 1000, 1500, 86_400_000].map(formatInterval)).toEqual(['0', '0.001', '0.01', '0.999', '1', '1.5', '86400']);
    for (let ms = 0; ms < 5000; ms++) expect(parseLine(`[${formatInterval(ms)},"o",""]`)!.interval).toBe(ms);
  });

  test('of codes of later versions are skipped', () => expect(parseLine('[0,"z",{"a":1}]')).toBeNull());

  for (const [name, line] of [
    ['an object', '{}'],
    ['two members', '[0,"o"]'],
    ['four members', '[0,"o","",1]'],
    ['a negative interval', '[-1,"o",""]'],
    ['an interval beyond thirty years', '[1e10,"o",""]'],
    ['an interval as text', '["0","o",""]'],
    ['an invalid code', '[0,1,""]'],
    ['text that is not text', '[0,"o",{}]'],
    ['an object that is text', '[0,"g",""]'],
    ['an object that is null', '[0,"s",null]'],
    ['an object that is a list', '[0,"j",[]]'],
    ['invalid JSON', '[0,"o","'],
    ['trailing bytes', '[0,"o",""]x'],
    ['too long a line', `[0,"o","${'x'.repeat(MAX_LINE_BYTES)}"]`],
  ] as const) {
    test(`with ${name} are refused`, () =>
      expect(() => parseLine(line)).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error));
  }

  for (const head of ['', '[', '{"version":3', '[x,"o","', '[0,o', '[0,"o', '[-1,"o","']) {
    test(`whose head is ${JSON.stringify(head)} cannot be peeked at`, () =>
      expect(() => peekLine(head)).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error));
  }
});

describe('the header', () => {
  test('is read as it was written', () => expect(parseHeader(encodeHeader(header))).toEqual(header));

  test('of a newer format is refused as such', () => {
    expect(() => parseHeader(JSON.stringify({ ...header, steno: { ...header.steno, format: 2 } }))).toThrow(
      expect.objectContaining({ code: 'RECORDING_VERSION' }) as Error,
    );
  });

  for (const [name, change] of [
    ['asciicast 2', { version: 2 }],
    ['no size', { term: {} }],
    ['an absurd size', { term: { cols: 0, rows: 24 } }],
    ['no member steno', { steno: undefined }],
    ['an invalid session id', { steno: { ...header.steno, session: '../../../etc/passwd0000000' } }],
    ['no counter', { steno: { ...header.steno, counter: undefined } }],
  ] as const) {
    test(`with ${name} is refused`, () => {
      expect(() => parseHeader(JSON.stringify({ ...header, ...change }))).toThrow(
        expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error,
      );
    });
  }
});

test('sizes are 1 to 1000 cells per side', () => {
  expect(parseSize('80x24')).toEqual({ cols: 80, rows: 24 });
  for (const bad of ['0x24', '80x1001', '80', '80x24x1', '-1x2', '8 0x24']) expect(parseSize(bad)).toBeNull();
});

test('session ids sort by time and differ by their random bytes', () => {
  const zeros = new Uint8Array(10);
  const ids = [0, 1, 31, 32, 1_763_800_000_000, 2 ** 48 - 1].map((time) => sessionId(time, zeros));
  expect([...ids].sort()).toEqual(ids);
  expect(ids.every(isSessionId)).toBe(true);
  expect(
    new Set(
      Array.from({ length: 80 }, (_, bit) =>
        sessionId(
          1,
          zeros.map((_, byte) => (byte === bit >> 3 ? 1 << (bit & 7) : 0)),
        ),
      ),
    ).size,
  ).toBe(80);
  expect(isSessionId(ids[4]!.toUpperCase())).toBe(false);
});

describe('a command', () => {
  const utf8 = new TextDecoder();
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const joined = (command: string, limit = Infinity): string =>
    execFacts(command).reduce((before, fact) => joinCommand(before, fact, limit), '');
  const linesOf = (command: string): readonly string[] => execFacts(command).map((data) => encodeLine(999_999_999, { code: 's', data }));

  test('of 0 to 256 KiB is split into lines within their limit and rejoined unchanged', () => {
    const unit = fc.constantFrom('a', ' ', '"', '\\', '\n', '\u0001', '\u007f', 'é', '漢', '\u2028', '🙂', '👩‍👩‍👧');
    const command = fc
      .tuple(fc.array(unit, { minLength: 1, maxLength: 40 }), fc.integer({ min: 0, max: 256 * 1024 }))
      .map(([units, bytes]) => {
        const pattern = units.join('');
        // Whole characters only, because the gateway's input is well-formed.
        return utf8.decode(encode(pattern.repeat(Math.ceil(bytes / encode(pattern).length))).subarray(0, bytes));
      });
    fc.assert(
      fc.property(command, (text) => {
        const facts = execFacts(text);
        for (const line of linesOf(text)) expect(encode(line).length).toBeLessThanOrEqual(MAX_LINE_BYTES);
        expect(joined(text) === text).toBe(true);
        for (const { command: piece } of facts) expect(utf8.decode(encode(piece)) === piece).toBe(true);
        expect(facts.map(({ part, parts }) => [part, parts])).toEqual(
          facts.length === 1 ? [[undefined, undefined]] : facts.map((_, i) => [i + 1, facts.length]),
        );
      }),
      { numRuns: 150 },
    );
  });

  test('that fits into a line is written in the original form', () => {
    expect(execFacts('uname -a')).toEqual([{ fact: 'exec', command: 'uname -a' }]);
    expect(execFacts('x'.repeat(65_000))).toHaveLength(1);
  });

  test('of 100,000 bytes is written as these lines', () => {
    const lines = linesOf(`echo ${'0123456789'.repeat(10_000)}`);
    expect(lines).toHaveLength(11);
    expect(lines[0]!.slice(0, 60)).toBe('[999999.999,"s",{"fact":"exec","command":"echo 0123456789012');
    expect(lines[0]!.endsWith('9012345678901234","part":1,"parts":11}]\n')).toBe(true);
    expect(lines[10]).toBe('[999999.999,"s",{"fact":"exec","command":"56789","part":11,"parts":11}]\n');
    expect(
      lines
        .slice(1, 10)
        .every(
          (line, i) => line === `[999999.999,"s",{"fact":"exec","command":"${'5678901234'.repeat(1000)}","part":${i + 2},"parts":11}]\n`,
        ),
    ).toBe(true);
  });

  test('is cut with a mark, between characters', () => {
    expect(cutText('abc', 3)).toBe('abc');
    expect(cutText('abcd', 3)).toBe(`ab${CUT_MARK}`);
    expect(cutText('a🙂bc', 3)).toBe(`a${CUT_MARK}`);
    const long = 'ab'.repeat(100_000);
    expect(joined(long, 65_536)).toBe(`${long.slice(0, 65_535)}${CUT_MARK}`);
  });
});

test('bytes are encoded like any other line', () => {
  fc.assert(
    fc.property(
      fc.record({
        stream: fc.constantFrom('in' as const, 'out' as const, 'err' as const),
        channel: fc.option(fc.nat(1_000), { nil: undefined }),
        replaces: fc.boolean(),
        base64: fc.base64String({ maxLength: 300 }),
      }),
      ({ stream, channel, replaces, base64 }) => {
        const data = { stream, ...(channel === undefined ? {} : { channel }), replaces, base64 };
        expect(encodeRawLine(1234, data)).toBe(encodeLine(1234, { code: 'b', data }));
      },
    ),
  );
});
