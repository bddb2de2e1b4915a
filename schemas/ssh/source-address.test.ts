import { describe, expect, it } from 'vitest';
import { matchesSourceAddress } from './source-address.js';

describe('inside', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.0/24', '192.0.2.255'],
    ['0.0.0.0/0', '203.0.113.9'],
    ['10.0.0.0/8,192.0.2.1', '192.0.2.1'],
    ['192.0.2.128/25', '192.0.2.200'],
    ['192.0.2.0/24', '::ffff:192.0.2.7'],
    ['192.0.2.0/24', '::ffff:c000:207'],
    ['::ffff:192.0.2.0/120', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8::/32', '2001:db8:0:1::5'],
    ['2001:db8::5', '2001:0DB8:0000:0000:0000:0000:0000:0005'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['::/0', '2001:db8::1'],
    ['fe80::/10', 'fe80::1%eth0'],
    ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:201'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('%s matches %s', (list, address) => {
    expect(matchesSourceAddress(list, address)).toBe(true);
  });
});

describe('outside', () => {
  it.each([
    ['192.0.2.1', '192.0.2.2'],
    ['192.0.2.0/25', '192.0.2.128'],
    ['::/0', '192.0.2.1'],
    ['0.0.0.0/0', '2001:db8::1'],
    ['2001:db8::/33', '2001:db8:8000::1'],
    ['::192.0.2.1', '192.0.2.1'],
  ])('%s does not match %s', (list, address) => {
    expect(matchesSourceAddress(list, address)).toBe(false);
  });
});

describe('a malformed list matches nothing', () => {
  it.each([
    '',
    ',',
    '0.0.0.0/0,',
    '0.0.0.0/0,x',
    '0.0.0.0/0,192.0.2.1/33',
    '0.0.0.0/0,192.0.2.1/24',
    '0.0.0.0/0, 10.0.0.0/8',
    '0.0.0.0/00',
    '0.0.0.0/',
    '0.0.0.0/0/0',
    '0.0.0.0/0,!10.0.0.0/8',
    '0.0.0.0/0,010.0.0.1',
    '0.0.0.0/0,256.0.0.1',
    '0.0.0.0/0,1.2.3',
    '0.0.0.0/0,*',
    '0.0.0.0/0,::/129',
    '0.0.0.0/0,1::2::3',
    '0.0.0.0/0,:1',
    '0.0.0.0/0,1:2:3:4:5:6:7',
    '0.0.0.0/0,1:2:3:4:5:6:7:8:9',
    '0.0.0.0/0,1:2:3:4:5:6:7:8::',
    '0.0.0.0/0,::12345',
    '0.0.0.0/0,::1.2.3.4:1',
    '0.0.0.0/0,1.2.3.4::',
    `0.0.0.0/0${',10.0.0.0/8'.repeat(1000)}`,
  ])('%s', (list) => {
    expect(matchesSourceAddress(list, '192.0.2.1')).toBe(false);
  });

  it('one of more than 8192 characters', () => {
    const list = `0.0.0.0/0${',192.0.2.1/32'.repeat(629)}`;
    const most = `${list},::/10`;
    expect([most.length, matchesSourceAddress(most, '192.0.2.1')]).toEqual([8192, true]);
    expect(matchesSourceAddress(`${list},1::/16`, '192.0.2.1')).toBe(false);
  });

  it('an address in none of its blocks does not match', () => {
    expect(matchesSourceAddress('10.0.0.0/8,2001:db8::/32', '192.0.2.1')).toBe(false);
  });

  it.each(['', 'localhost', '192.0.2', '192.0.2.1.', ':::', '%eth0', 'unix'])('a list does not match the invalid address %j', (address) => {
    expect(matchesSourceAddress('0.0.0.0/0,::/0', address)).toBe(false);
  });
});
