import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalHost, isHostName, isLoopbackHost, isSurelyLoopback } from './host-name.js';

const spelledNumber = (value: number): fc.Arbitrary<string> =>
  fc.constantFrom(
    String(value),
    `0x${value.toString(16)}`,
    `0X${value.toString(16).toUpperCase()}`,
    `0${value.toString(8)}`,
    `00${value.toString(8)}`,
  );

/** Every spelling of four bytes that inet_aton(3) accepts. */
const spelledIpv4 = (bytes: readonly number[]): fc.Arbitrary<string> =>
  fc.integer({ min: 1, max: 4 }).chain((parts) => {
    const last = bytes.slice(parts - 1).reduce((sum, byte) => sum * 256 + byte, 0);
    return fc.tuple(...[...bytes.slice(0, parts - 1), last].map(spelledNumber)).map((texts) => texts.join('.'));
  });

const spelledIpv6 = (bytes: readonly number[]): fc.Arbitrary<string> => {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return fc
    .tuple(fc.boolean(), fc.boolean(), fc.constantFrom('', '%eth0', '%1'), fc.boolean(), fc.integer({ min: 0, max: 7 }))
    .map(([padded, upper, zone, bracketed, at]) => {
      const shown = groups.map((group) => (padded ? group.padStart(4, '0') : group));
      // One run of zeros may be left out, at any position.
      const run = groups.slice(at).findIndex((group) => group !== '0');
      const length = run < 0 ? 8 - at : run;
      const text =
        length >= 1 && groups[at] === '0' ? `${shown.slice(0, at).join(':')}::${shown.slice(at + length).join(':')}` : shown.join(':');
      const written = `${upper ? text.toUpperCase() : text}${zone}`;
      return bracketed ? `[${written}]` : written;
    });
};

describe('spellings of one host', () => {
  it('are one text: IPv4 as inet_aton reads it, and mapped into IPv6', () => {
    fc.assert(
      fc.property(
        fc
          .array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 })
          .chain((bytes) => fc.tuple(fc.constant(bytes), spelledIpv4(bytes), fc.constantFrom('', '.'))),
        ([bytes, text, dot]) => {
          expect(canonicalHost(`${text}${dot}`)).toBe(bytes.join('.'));
          expect(canonicalHost(`::ffff:${bytes.join('.')}`)).toBe(bytes.join('.'));
          expect(isLoopbackHost(text)).toBe(bytes[0] === 127 || bytes[0] === 0);
        },
      ),
    );
  });

  it('are one text: IPv6 with and without zeros, zones, brackets and capitals', () => {
    const byte = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.array(byte, { minLength: 16, maxLength: 16 }).chain((bytes) => fc.tuple(spelledIpv6(bytes), spelledIpv6(bytes))),
        ([one, other]) => {
          expect(canonicalHost(one)).toBe(canonicalHost(other));
        },
      ),
    );
  });

  it('are one text: names in any case, with any number of final dots; the text is its own canonical form', () => {
    fc.assert(
      fc.property(fc.domain(), fc.nat(3), (name, dots) => {
        expect(canonicalHost(`${name.toUpperCase()}${'.'.repeat(dots)}`)).toBe(canonicalHost(name));
        expect(canonicalHost(canonicalHost(name))).toBe(canonicalHost(name));
      }),
    );
  });

  it('of different hosts stay different', () => {
    fc.assert(
      fc.property(fc.domain(), fc.domain(), (one, other) => {
        fc.pre(one.toLowerCase() !== other.toLowerCase());
        expect(canonicalHost(one)).not.toBe(canonicalHost(other));
      }),
    );
  });
});

describe('a loopback host', () => {
  it.each([
    'localhost',
    'LocalHost.',
    'x.localhost',
    'localhost.localdomain',
    'ip6-loopback',
    '127.0.0.1',
    '127.1',
    '127.255.255.254',
    '0x7f000001',
    '2130706433',
    '017700000001',
    '0',
    '0.0.0.0',
    '::1',
    '[::1]',
    '0:0::1',
    '::',
    '::ffff:127.0.0.1',
  ])('is %s', (name) => {
    expect(isLoopbackHost(name)).toBe(true);
  });

  it.each([
    'web-1',
    'localhost.example.com',
    'mylocalhost',
    '128.0.0.1',
    '127.0.0.1.example.com',
    '::2',
    '10.0.0.1',
    '0127.x',
    '08',
    '256.0.0.1',
    '127.0.0.256',
    '4294967296',
  ])('is not %s', (name) => {
    expect(isLoopbackHost(name)).toBe(false);
  });

  it.each(['localhost', 'LOCALHOST.', '127.0.0.1', '127.1', '[::1]', '::ffff:127.0.0.1'])('is certainly %s', (name) => {
    expect(isSurelyLoopback(name)).toBe(true);
  });

  it.each(['localhost4', 'ip6-localhost', 'x.localhost', '0.0.0.0', '::', '10.0.0.1', '0x', '127.0.0.1.example.com'])(
    'is not certainly %s',
    (name) => expect(isSurelyLoopback(name)).toBe(false),
  );
});

describe('a host name', () => {
  it.each(['localhost', 'a.b-c.example', '127.0.0.1', '::1', 'fe80::1%eth0', '0'])('is %s', (name) => expect(isHostName(name)).toBe(true));

  it.each(['', '*', '*.example', 'a,b', '!a', '-a', 'a b', 'a..b', 'a/b', 'a\n', '[::1]', '127.0.0.1%lo', 'fe80::1%', 'a'.repeat(254)])(
    'is not %j',
    (name) => expect(isHostName(name)).toBe(false),
  );
});
