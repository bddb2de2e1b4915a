/**
 * System calls by number, for the architectures that Steno runs on: which of them are recorded, and as what.
 *
 * Numbers: arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h (arm64) and
 * arch/arm/tools/syscall.tbl of Linux. They never change. `op` is that of agent/bpf/events.h. Tested in
 * syscalls.test.ts against the headers of this machine where it has them.
 */
export const ops = {
  open: 1,
  openat: 2,
  openat2: 3,
  creat: 4,
  open_by_handle_at: 5,
  rename: 8,
  renameat: 9,
  unlink: 12,
  unlinkat: 13,
  rmdir: 14,
  link: 16,
  linkat: 17,
  symlink: 18,
  symlinkat: 19,
  mkdir: 24,
  mkdirat: 25,
  mknod: 26,
  mknodat: 27,
  chmod: 32,
  fchmod: 33,
  fchmodat: 34,
  chown: 36,
  fchown: 37,
  fchownat: 38,
  truncate: 40,
  ftruncate: 41,
  connect: 64,
  accept: 65,
  listen: 66,
  sendto: 67,
  sendmsg: 68,
  sendmmsg: 69,
  socketcall: 70,
  tcp_state: 71,
  setid: 80,
  capset: 81,
  ptrace: 96,
  process_vm_writev: 97,
  mount: 98,
  umount: 99,
  move_mount: 100,
  pivot_root: 101,
  chroot: 102,
  unshare: 103,
  setns: 104,
  memfd_create: 105,
  init_module: 106,
  finit_module: 107,
  delete_module: 108,
  module: 109,
  bpf: 110,
  kexec_load: 111,
  io_uring_setup: 112,
} as const;
export type Op = keyof typeof ops;
export const opNames: ReadonlyMap<number, Op> = new Map(Object.entries(ops).map(([name, number]) => [number, name as Op]));

/** Architectures in the order of the columns; -1: there is none. */
const columns = ['x64', 'x32', 'arm64', 'arm'] as const;
type Numbers = readonly [x64: number, x32: number, arm64: number, arm: number];

const calls: readonly (readonly [name: string, op: Op, numbers: Numbers])[] = [
  ['open', 'open', [2, 5, -1, 5]],
  ['openat', 'openat', [257, 295, 56, 322]],
  ['openat2', 'openat2', [437, 437, 437, 437]],
  ['creat', 'creat', [85, 8, -1, 8]],
  ['open_by_handle_at', 'open_by_handle_at', [304, 342, 265, 371]],
  ['rename', 'rename', [82, 38, -1, 38]],
  ['renameat', 'renameat', [264, 302, 38, 329]],
  ['renameat2', 'renameat', [316, 353, 276, 382]],
  ['unlink', 'unlink', [87, 10, -1, 10]],
  ['unlinkat', 'unlinkat', [263, 301, 35, 328]],
  ['rmdir', 'rmdir', [84, 40, -1, 40]],
  ['link', 'link', [86, 9, -1, 9]],
  ['linkat', 'linkat', [265, 303, 37, 330]],
  ['symlink', 'symlink', [88, 83, -1, 83]],
  ['symlinkat', 'symlinkat', [266, 304, 36, 331]],
  ['mkdir', 'mkdir', [83, 39, -1, 39]],
  ['mkdirat', 'mkdirat', [258, 296, 34, 323]],
  ['mknod', 'mknod', [133, 14, -1, 14]],
  ['mknodat', 'mknodat', [259, 297, 33, 324]],
  ['chmod', 'chmod', [90, 15, -1, 15]],
  ['fchmod', 'fchmod', [91, 94, 52, 94]],
  ['fchmodat', 'fchmodat', [268, 306, 53, 333]],
  ['fchmodat2', 'fchmodat', [452, 452, 452, 452]],
  ['chown', 'chown', [92, 212, -1, 212]],
  ['lchown', 'chown', [94, 198, -1, 198]],
  ['fchown', 'fchown', [93, 207, 55, 207]],
  ['fchownat', 'fchownat', [260, 298, 54, 325]],
  ['truncate', 'truncate', [76, 193, 45, 193]],
  ['ftruncate', 'ftruncate', [77, 194, 46, 194]],
  ['connect', 'connect', [42, 362, 203, 283]],
  ['accept', 'accept', [43, -1, 202, 285]],
  ['accept4', 'accept', [288, 364, 242, 366]],
  ['listen', 'listen', [50, 363, 201, 284]],
  ['sendto', 'sendto', [44, 369, 206, 290]],
  ['sendmsg', 'sendmsg', [46, 370, 211, 296]],
  ['sendmmsg', 'sendmmsg', [307, 345, 269, 374]],
  ['socketcall', 'socketcall', [-1, 102, -1, -1]],
  ['setuid', 'setid', [105, 213, 146, 213]],
  ['setgid', 'setid', [106, 214, 144, 214]],
  ['setreuid', 'setid', [113, 203, 145, 203]],
  ['setregid', 'setid', [114, 204, 143, 204]],
  ['setresuid', 'setid', [117, 208, 147, 208]],
  ['setresgid', 'setid', [119, 210, 149, 210]],
  ['setfsuid', 'setid', [122, 215, 151, 215]],
  ['setfsgid', 'setid', [123, 216, 152, 216]],
  ['capset', 'capset', [126, 185, 91, 185]],
  ['ptrace', 'ptrace', [101, 26, 117, 26]],
  ['process_vm_writev', 'process_vm_writev', [311, 348, 271, 377]],
  ['mount', 'mount', [165, 21, 40, 21]],
  ['umount2', 'umount', [166, 52, 39, 52]],
  ['move_mount', 'move_mount', [429, 429, 429, 429]],
  ['pivot_root', 'pivot_root', [155, 217, 41, 218]],
  ['chroot', 'chroot', [161, 61, 51, 61]],
  ['unshare', 'unshare', [272, 310, 97, 337]],
  ['setns', 'setns', [308, 346, 268, 375]],
  ['memfd_create', 'memfd_create', [319, 356, 279, 385]],
  ['init_module', 'init_module', [175, 128, 105, 128]],
  ['finit_module', 'finit_module', [313, 350, 273, 379]],
  ['delete_module', 'delete_module', [176, 129, 106, 129]],
  ['bpf', 'bpf', [321, 357, 280, 386]],
  ['kexec_load', 'kexec_load', [246, 283, 104, 347]],
  ['kexec_file_load', 'kexec_load', [320, -1, 294, 401]],
  ['io_uring_setup', 'io_uring_setup', [425, 425, 425, 425]],
  // What 32-bit programs of long ago call: ids of 16 bits, sizes of 32. The names are those of the table of x86.
  ['umount', 'umount', [-1, 22, -1, -1]],
  ['chown16', 'chown', [-1, 182, -1, 182]],
  ['lchown16', 'chown', [-1, 16, -1, 16]],
  ['fchown16', 'fchown', [-1, 95, -1, 95]],
  ['truncate32', 'truncate', [-1, 92, -1, 92]],
  ['ftruncate32', 'ftruncate', [-1, 93, -1, 93]],
  ['setuid16', 'setid', [-1, 23, -1, 23]],
  ['setgid16', 'setid', [-1, 46, -1, 46]],
  ['setreuid16', 'setid', [-1, 70, -1, 70]],
  ['setregid16', 'setid', [-1, 71, -1, 71]],
  ['setresuid16', 'setid', [-1, 164, -1, 164]],
  ['setresgid16', 'setid', [-1, 170, -1, 170]],
  ['setfsuid16', 'setid', [-1, 138, -1, 138]],
  ['setfsgid16', 'setid', [-1, 139, -1, 139]],
];

export const SYSCALLS = 512;

/** The table `ops` of steno.bpf.c: 64 bits, then 32. Null: an architecture that is not known. */
export function operationTable(architecture: string): Uint8Array | null {
  const pair = architecture === 'x64' ? (['x64', 'x32'] as const) : architecture === 'arm64' ? (['arm64', 'arm'] as const) : null;
  if (pair === null) return null;
  const table = new Uint8Array(2 * SYSCALLS);
  for (const [bits, column] of pair.entries()) {
    for (const [, op, numbers] of calls) {
      const number = numbers[columns.indexOf(column)]!;
      if (number >= 0) table[bits * SYSCALLS + number] = ops[op];
    }
  }
  return table;
}

/** By name, for tests. */
export function numberOf(name: string, column: (typeof columns)[number]): number | undefined {
  return calls.find(([known]) => known === name)?.[2][columns.indexOf(column)];
}
