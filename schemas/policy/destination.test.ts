import { describe, expect, test } from 'vitest';
import { literalAddress, parseAddress } from '../base/ip-address.js';
import { addressesIn, classOfName, classesOf, matchesAddress, matchesName, parseDestination } from './destination.js';

describe('a host', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['017700000001', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0X7F000001', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['0251.0376.0251.0376', '169.254.169.254'],
    ['2852039166', '169.254.169.254'],
    ['0xa9fea9fe', '169.254.169.254'],
    ['169.254.43518', '169.254.169.254'],
    ['::ffff:169.254.169.254', '169.254.169.254'],
    ['::1', '::1'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('%s is the address %s', (written, address) => expect(literalAddress(written)).toEqual(parseAddress(address)));

  test.each(['localhost', 'db', '256.1.1.1', '1.2.3.4.5', '4294967296', '0x', '08', '1..2', '', 'a.1', '127.0.0.1.', '-1', '1.2.3.4 '])(
    '%j is not an address',
    (text) => expect(literalAddress(text)).toBeUndefined(),
  );
});

describe('an address', () => {
  test.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['0.0.0.0', 'loopback'],
    ['::', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::127.0.0.1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['2002:7f00:1::', 'loopback'],
    ['169.254.169.254', 'metadata'],
    ['169.254.170.2', 'metadata'],
    ['169.254.0.1', 'metadata'],
    ['fe80::1', 'metadata'],
    ['febf::1', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['fd20:ce::254', 'metadata'],
    ['100.100.100.200', 'metadata'],
    ['192.0.0.192', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['64:ff9b::169.254.169.254', 'metadata'],
    ['::ffff:0:a9fe:a9fe', 'metadata'],
    ['2002:a9fe:a9fe::1', 'metadata'],
    ['fd00::5efe:a9fe:a9fe', 'metadata'],
    ['2001:db8::200:5efe:a9fe:a9fe', 'metadata'],
    // Bytes that only look like a carried address, or like the tail of ISATAP.
    ['2001:db8::a9fe:a9fe', ''],
    ['2001:db8::5eff:a9fe:a9fe', ''],
    ['2001:db8::100:5efe:a9fe:a9fe', 'metadata'],
    ['64:ff9b:1::a9fe:a9fe', 'metadata'],
    ['10.0.0.1', ''],
    ['169.253.255.255', ''],
    ['128.0.0.1', ''],
    ['fec0::1', ''],
    ['2001:db8::1', ''],
    ['100.100.100.201', ''],
  ])('%s is %j', (text, expected) => {
    expect([...classesOf(parseAddress(text)!)].join()).toBe(expected);
  });

  test('of the node itself counts as its loopback', () => {
    expect([...classesOf(parseAddress('10.0.0.5')!, [parseAddress('10.0.0.5')!])]).toEqual(['loopback']);
    expect([...classesOf(parseAddress('64:ff9b::a00:5')!, [parseAddress('10.0.0.5')!])]).toEqual(['loopback']);
  });
});

test.each([
  ['localhost', 'loopback'],
  ['LOCALHOST.', 'loopback'],
  ['x.localhost', 'loopback'],
  ['', 'loopback'],
  ['metadata.google.internal', 'metadata'],
  ['Metadata.Google.Internal.', 'metadata'],
  ['db', null],
])('the name %j means %s', (name, meaning) => expect(classOfName(name)).toBe(meaning));

describe('a destination', () => {
  test.each([
    '10.0.0.0/8',
    '10.1.2.3',
    '10.1.2.3:22',
    '10.0.0.0/8:1-1024',
    'fd00::/8',
    '[fd00::1]:443',
    '[fd00::/8]:*',
    '*',
    '*:443',
    'db',
    'db.example.com:5432',
    '*.example.com',
    '*.example.com:80-90',
  ])('%s is accepted', (text) => expect(parseDestination(text)).toBeDefined());
  test.each([
    '',
    ':22',
    '10.0.0.1/8',
    '127.1',
    '0x7f.1',
    '2130706433',
    '010.0.0.1',
    '[10.0.0.1]:22',
    '[db]:22',
    'fd00::1:443:x',
    'db:',
    'db:0x50',
    'db:65536',
    'db:9-8',
    'a b',
    '**',
    '*x',
    'x.*',
    '10.0.0.0/33',
    'db:1-2-3',
    'foo.127',
    'foo.0x7f',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(127)}a`,
    '-a',
    'a..b',
    'db.example.com..',
    'x[fd00::1]',
    '[fd00::1]x',
    'db:80x',
    'xdb:80/tcp',
  ])('%j is refused', (text) => expect(parseDestination(text)).toBeUndefined());
});

test.each<[string, object]>([
  ['10.0.0.0/8', { kind: 'block', ports: [0, 65_535] }],
  ['10.1.2.3:22', { kind: 'block', ports: [22, 22] }],
  ['10.0.0.0/8:1-1024', { kind: 'block', ports: [1, 1_024] }],
  ['[fd00::1]:443', { kind: 'block', ports: [443, 443] }],
  ['[fd00::/8]:*', { kind: 'block', ports: [0, 65_535] }],
  ['*:443', { kind: 'any', ports: [443, 443] }],
  ['*', { kind: 'any', ports: [0, 65_535] }],
  ['DB.Example.com.:65535', { kind: 'name', name: 'db.example.com', below: false, ports: [65_535, 65_535] }],
  ['*.example.com:80-80', { kind: 'name', name: 'example.com', below: true, ports: [80, 80] }],
  ['x127', { kind: 'name', name: 'x127', below: false }],
  ['a0x7f.0x7g', { kind: 'name', name: 'a0x7f.0x7g', below: false }],
  [`${'a'.repeat(63)}.b`, { kind: 'name', name: `${'a'.repeat(63)}.b` }],
])('%s means what it says', (text, pattern) => {
  expect(parseDestination(text)).toMatchObject(pattern);
});

test('a port matches from the first of a range to its last', () => {
  const matches = (text: string, host: string, port: number): boolean => {
    const pattern = parseDestination(text)!;
    const address = parseAddress(host);
    return address === undefined ? matchesName(pattern, host, port) : matchesAddress(pattern, address, port);
  };
  for (const [text, host] of [
    ['*.example.com:80-90', 'db.example.com'],
    ['10.0.0.0/8:80-90', '10.1.1.1'],
    ['*:80-90', '10.1.1.1'],
  ] as const)
    expect([79, 80, 90, 91].map((port) => matches(text, host, port))).toEqual([false, true, true, false]);
  expect(matches('*', 'db.example.com', 80)).toBe(false);
  expect(matches('db.example.com', '10.1.1.1', 80)).toBe(false);
  expect(matches('10.0.0.0/8', '11.1.1.1', 80)).toBe(false);
});

test.each([
  ['10.0.0.1', []],
  ['2001:db8::1', []],
  ['::10.0.0.1', ['10.0.0.1']],
  ['64:ff9b:1:2:3:4:a00:1', ['10.0.0.1']],
  ['2002:a00:1::', ['10.0.0.1']],
  ['2001:db8::200:5efe:a00:1', ['10.0.0.1']],
])('%s carries %j', (text, carried) => {
  const address = parseAddress(text)!;
  expect(addressesIn(address)).toEqual([address, ...carried.map((one) => parseAddress(one)!)]);
});
