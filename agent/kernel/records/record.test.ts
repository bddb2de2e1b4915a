import { expect, it } from 'vitest';
import { KernelRecord, RECORD_BYTES, endpointsOf, execFactsOf, mayBeElsewhere, pathOf, resolvePath, textOf } from './record.js';

it.each([
  ['usr\0'.split('').join(''), '/usr'],
  ['sh\0bin\0usr\0', '/usr/bin/sh'],
  ['', '/'],
])('the names %j are the path %s', (names, path) => expect(pathOf(Buffer.from(names))).toEqual({ text: path }));

it.each([
  ['/', 'etc/x', '/etc/x'],
  ['/home', 'a', '/home/a'],
  ['/home', '/etc', '/home/etc'],
  ['/', '/etc/./x/../y', '/etc/x/../y'],
  ['/a/b', '../c/../d', '/a/c/../d'],
  ['/jail', '/../x', '/jail/x'],
  ['…/b', '../c', '…/c'],
  ['/a', '../../..', '/'],
  ['/a', '.', '/a'],
  ['/a', 'b//c/', '/a/b/c'],
  ['/a', '...', '/a/...'],
  ['/a', '.hidden', '/a/.hidden'],
  ['/', '/', '/'],
])('in %s, %s is %s', (base, asked, path) => expect(resolvePath(base, asked)).toBe(path));

it.each([
  ['c\0b\0/cut\0', { text: '…/b/c', above: 'cut' }],
  ['shadow\0etc\0/detached\0', { text: '/etc/shadow', above: 'detached' }],
  ['/detached\0', { text: '/', above: 'detached' }],
])('of a path whose beginning is missing it is said: %j', (names, path) => expect(pathOf(Buffer.from(names))).toEqual(path));

it.each([
  ['lnk/../f', true],
  ['.hidden/../f', true],
  ['../../f', false],
  ['a/..b/c', false],
  ['/etc/shadow', false],
  ['/proc/self/root/etc/shadow', true],
  ['/proc/17/cwd/f', true],
  ['/dev/fd/3', true],
  ['/proc/meminfo', false],
  ['./.././f', false],
  ['a/b/../../c', true],
])('%s may be elsewhere: %s', (asked, elsewhere) => expect(mayBeElsewhere(asked)).toBe(elsewhere));

it('bytes that are no text are shown as such and kept', () => {
  expect(textOf(Buffer.from('ok'))).toEqual({ text: 'ok' });
  expect(textOf(Buffer.from('ä'))).toEqual({ text: 'ä' });
  const raw = Buffer.from([0x61, 0xff]);
  expect(textOf(raw)).toEqual({ text: 'a\ufffd', raw });
});

it('addresses are written as everyone writes them', () => {
  const ends = (family: number, local: string, remote: string): Buffer => {
    const bytes = Buffer.alloc(48);
    bytes.writeUInt16LE(family, 0);
    Buffer.from(local, 'hex').copy(bytes, 8);
    Buffer.from(remote, 'hex').copy(bytes, 24);
    return bytes;
  };
  expect(endpointsOf(ends(2, '7f000001', '0a000102'))).toMatchObject({ local: '127.0.0.1', remote: '10.0.1.2' });
  expect(endpointsOf(ends(10, '00'.repeat(15) + '01', '20010db8000000000001000000000001'))).toMatchObject({
    local: '::1',
    remote: '2001:db8::1:0:0:1',
  });
  expect(endpointsOf(ends(10, '00'.repeat(16), '00000000000000000000ffff7f000001'))).toMatchObject({ local: '::', remote: '127.0.0.1' });
  expect(endpointsOf(Buffer.alloc(47))).toBeNull();
});

it('whatever the bytes, nothing is read beyond a record', () => {
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 0x7fff_ffff);
  for (let i = 0; i < 2_000; i++) {
    const bytes = Buffer.from(Array.from({ length: random() % 300 }, () => (random() % 3 === 0 ? random() & 0xff : 0)));
    const record = new KernelRecord(bytes);
    if (!record.point(0, bytes.length)) continue;
    for (let text = 0; text < 4; text++) expect(record.text(text).length).toBeLessThanOrEqual(bytes.length - RECORD_BYTES);
    execFactsOf(record.text(3));
    endpointsOf(record.text(0));
  }
  expect(execFactsOf(Buffer.alloc(72, 0xff))).toBeNull();
});
