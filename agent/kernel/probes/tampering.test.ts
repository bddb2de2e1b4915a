/** What root can do to the recorder of its own session without ending it, performed for real. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

/** bpf(2), and the recorder's maps by their ids; no other process's maps are touched. */
const prelude = `
import ctypes, mmap, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
NR = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr.ljust(128, b'\\0'))
    result = libc.syscall(NR, command, buffer, 128)
    return result if result >= 0 else -ctypes.get_errno()
def by_id(number):
    return bpf(14, struct.pack('<I', number))
`;
const MAP_HASH = 1;
const MAP_RINGBUF = 27;

/** Map ids of this process by type. */
function maps(type: number): readonly { readonly id: number; readonly frozen: boolean; readonly keySize: number }[] {
  return readdirSync('/proc/self/fdinfo').flatMap((fd) => {
    let text: string;
    try {
      text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    } catch {
      return [];
    }
    const value = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
    return value('map_type') === type ? [{ id: value('map_id'), frozen: value('frozen') === 1, keySize: value('key_size') }] : [];
  });
}

/** Ids of this process's maps of a given name, as bpftool lists them. */
function named(name: string): readonly number[] {
  const own = new Set(
    readdirSync('/proc/self/fdinfo').flatMap((fd) => {
      try {
        return [Number(/^map_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? -1)];
      } catch {
        return [];
      }
    }),
  );
  const all = JSON.parse(execFileSync('/usr/sbin/bpftool', ['-j', 'map', 'list'], { encoding: 'utf8' })) as { id: number; name?: string }[];
  return all.filter((map) => own.has(map.id) && (map.name ?? '').endsWith(name)).map(({ id }) => id);
}

describe.skipIf(missing.length > 0)('root', () => {
  let probe: Probe | undefined;
  afterEach(() => probe?.close());
  const python = (script: string, ids: readonly number[], options: object = {}): ReturnType<Probe['run']> =>
    probe!.run('/usr/bin/python3', ['-c', prelude + script, ...ids.map(String)], options);

  it('cannot take itself out of the table of who is followed', async () => {
    probe = new Probe();
    const hashes = maps(MAP_HASH);
    expect(hashes.length).toBeGreaterThan(0);
    expect(hashes.every(({ frozen }) => frozen)).toBe(true);
    const { output, seen, gaps } = await python(
      `
for number in map(int, sys.argv[1:]):
    fd = by_id(number)
    key = ctypes.create_string_buffer(struct.pack('<Q', os.getpid()))
    print(bpf(3, struct.pack('<IIQ', fd, 0, ctypes.addressof(key))), end=' ')
open('/etc/hostname')
`,
      hashes.map(({ id }) => id),
    );
    expect(new Set(output.trim().split(' '))).toEqual(new Set(['-1']));
    expect(seen.some(({ path }) => path === '/etc/hostname')).toBe(true);
    expect(gaps).toEqual([]);
  });

  it.skipIf(!existsSync('/usr/sbin/bpftool'))('cannot clear the table of who is looked at at all, by bpftool', async () => {
    probe = new Probe();
    const present = named('present');
    expect(present).toHaveLength(1);
    // No variable of the programs can be written from outside.
    expect(named('.bss').concat(named('.data'))).toEqual([]);
    const { output, seen, gaps } = await probe.run('/bin/sh', [
      '-c',
      `at=$(printf '%d %d' $(( $$ & 255 )) $(( ($$ >> 8) & 255 )))
for bytes in "$at 0 0"; do
  /usr/sbin/bpftool map update id ${present[0]} key $bytes value 0 0 0 0 && echo written
  /usr/sbin/bpftool map delete id ${present[0]} key $bytes && echo deleted
done
: < /etc/hostname`,
    ]);
    expect(output).toMatch(/Operation not permitted/);
    expect(output).not.toMatch(/written|deleted/);
    expect(seen.some(({ path }) => path === '/etc/hostname')).toBe(true);
    expect(gaps).toEqual([]);
  });

  it("hides nothing by moving the reader's position in the ring", async () => {
    probe = new Probe();
    const { seen, gaps } = await python(
      `
ring = mmap.mmap(by_id(int(sys.argv[1])), 4096)
page = mmap.mmap(by_id(int(sys.argv[1])), 4096, prot=mmap.PROT_READ, offset=4096)
for i in range(40):
    try: open('/nowhere/secret-%d' % i)
    except OSError: pass
    ring[0:8] = page[0:8]
`,
      maps(MAP_RINGBUF).map(({ id }) => id),
    );
    expect(seen.filter(({ path }) => path.startsWith('/nowhere/secret-')).length).toBe(40);
    expect(gaps).toEqual([]);
  });

  it('makes a hole that shows, where it has the kernel write over what was not read', async () => {
    probe = new Probe(64 << 10);
    const { seen, gaps, counters } = await python(
      `
ring = mmap.mmap(by_id(int(sys.argv[1])), 4096)
page = mmap.mmap(by_id(int(sys.argv[1])), 4096, prot=mmap.PROT_READ, offset=4096)
for i in range(4000):
    try: open('/nowhere/secret-%d' % i)
    except OSError: pass
    ring[0:8] = page[0:8]
`,
      maps(MAP_RINGBUF).map(({ id }) => id),
      { asleep: true },
    );
    const holes = gaps.filter(({ why }) => why === 'hole').reduce((sum, { count }) => sum + count, 0);
    const rows = seen
      .filter(({ kind }) => kind !== 'kernel' && kind !== 'gap' && kind !== 'escape')
      .reduce((sum, { count }) => sum + (count ?? 1), 0);
    const inLog = seen.filter(({ kind, name }) => kind === 'gap' && name === 'hole').reduce((sum, { count }) => sum + (count ?? 0), 0);
    expect(holes + inLog).toBeGreaterThan(3_000);
    expect(rows + holes + inLog + counters.lost).toBe(counters.seen);
  });
});
