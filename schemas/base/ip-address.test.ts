import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { holds, parseAddress, parseBlock, sourceKey } from './ip-address.js';

describe('a source', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['2001:db8:1:2::1', '20010db800010002/64'],
    ['2001:0DB8:1:2:ffff:ffff:ffff:ffff', '20010db800010002/64'],
    ['2001:db8:1:3::1', '20010db800010003/64'],
    ['fe80::1%eth0', 'fe80000000000000/64'],
    ['', ''],
    ['local', 'local'],
  ])('%s is %s', (address, key) => expect(sourceKey(address)).toBe(key));

  test('every address of a /64 is one source, and a neighbouring /64 is another', () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(
        fc.array(group, { minLength: 4, maxLength: 4 }),
        fc.array(group, { minLength: 4, maxLength: 4 }),
        fc.array(group, { minLength: 4, maxLength: 4 }),
        (net, a, b) => {
          fc.pre(net[0] !== 0);
          const text = (groups: readonly number[]): string => groups.map((one) => one.toString(16)).join(':');
          expect(sourceKey(text([...net, ...a]))).toBe(sourceKey(text([...net, ...b])));
          expect(sourceKey(text([...net.slice(0, 3), net[3]! ^ 1, ...a]))).not.toBe(sourceKey(text([...net, ...a])));
        },
      ),
    );
  });
});

test('a block contains its addresses and no others', () => {
  const block = parseBlock('169.254.0.0/16')!;
  expect(holds(block, parseAddress('169.254.169.254')!)).toBe(true);
  expect(holds(block, parseAddress('::ffff:169.254.1.1')!)).toBe(true);
  expect(holds(block, parseAddress('169.253.255.255')!)).toBe(false);
  expect(parseBlock('169.254.0.1/16')).toBeUndefined();
});
