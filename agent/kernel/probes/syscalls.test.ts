import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SYSCALLS, numberOf, operationTable, ops } from './syscalls.js';

const headers = [
  ['x64', ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h']],
  ['x32', ['/usr/include/x86_64-linux-gnu/asm/unistd_32.h']],
  ['arm64', ['/usr/include/asm-generic/unistd.h']],
] as const;

it.each(headers)("%s: the numbers are those of the kernel's headers", (column, files) => {
  const file = files.find((path) => existsSync(path));
  if (file === undefined) return void console.log(`skipped: ${files.join(', ')} is not installed`);
  const text = readFileSync(file, 'utf8');
  let compared = 0;
  for (const [, name, number] of text.matchAll(/#define __NR(?:3264)?_(\w+) (\d+)\b/g)) {
    // On 32 bits the plain names mean the old calls; the table lists the new ones under those names, and the old ones under separate
    // names.
    const wide = column === 'x32' && new RegExp(`__NR_${name}(32|64)\\b`).test(text) && !/^(umount|open|openat|link|stat)$/.test(name!);
    const known = wide ? undefined : numberOf(name!, column);
    if (known === undefined || known < 0) continue;
    expect([name, known]).toEqual([name, Number(number)]);
    compared += 1;
  }
  expect(compared).toBeGreaterThan(30);
});

it('the table of an architecture has 64 bits first, then 32; of another there is none', () => {
  const table = operationTable('x64')!;
  expect(table).toHaveLength(2 * SYSCALLS);
  expect([table[257], table[SYSCALLS + 295], table[3], table[SYSCALLS + 102]]).toEqual([ops.openat, ops.openat, 0, ops.socketcall]);
  expect(operationTable('arm64')![56]).toBe(ops.openat);
  expect(operationTable('riscv64')).toBeNull();
});
