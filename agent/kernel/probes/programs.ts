/**
 * The programs of agent/bpf in the kernel: loaded once, attached while sessions are recorded.
 *
 *     closed ──open──► loaded ──first session──► attached ──last session ended a while ago──► loaded
 *
 * A session begins with `begin(number, classes, spawn)`: the next child of the calling thread, which `spawn` must create
 * before it returns, is the session's first process, followed from before its first instruction. `obstacles` lists what
 * prevents recording in terms that an operator can act on. Tested in programs.test.ts against the running kernel.
 */
import { existsSync, readFileSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { StenoError } from '#schemas/base/errors.js';
import type { KernelEventClass } from '#schemas/policy/role.js';
import { expectOrders, maskOf } from './expected-exec.js';
import type { ExecWindow, ExpectedExec } from './expected-exec.js';
import { mapMemory, openLibbpf } from './libbpf.js';
import type { Libbpf, Pointer } from './libbpf.js';
import { SYSCALLS, operationTable } from './syscalls.js';

/** Slots for counters: session n uses slot n mod `SLOTS`. */
export const SLOTS = 4096;
/** Size in bytes of the ring of logins (agent/bpf/logins.h). */
const LOGIN_RING = 1 << 18;
const COUNTERS_BYTES = 48;
/** Index of `processes` among a session's counters. */
const PROCESSES = 4;
export const PAGE = 4096;
/** Capacity of the ring for unread events, in bytes: a power of two. */
const DEFAULT_RING = 16 << 20;
const required = ['sched_process_fork', 'sched_process_exec', 'sched_process_exit', 'sys_exit', 'inet_sock_set_state'] as const;
const optional = { on_module: 'module_load', on_uring: 'io_uring_submit_req' } as const;
const always = ['on_fork', 'on_exec', 'on_exit', 'on_syscall', 'on_tcp_state'] as const;

/** Maps that only the programs may write: if a process were removed from them by hand, its events would be lost silently. */
const frozen = [
  'followed',
  'beginning',
  'dialling',
  'attempts',
  'scratches',
  'present',
  'told',
  'keeper',
  'expectations',
  'expecting',
  'attaching',
  'detached',
] as const;

/** CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, which holds both. */
const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;

export interface Obstacle {
  readonly what: string;
  readonly fix: string;
}

/** The compiled object, stored beside the sources whether running from them or from `dist/`. */
function objectFile(): string | null {
  const places = ['../../bpf/steno.bpf.o', '../../../../agent/bpf/steno.bpf.o'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return places.find((path) => existsSync(path)) ?? null;
}

/** What this machine lacks for recording kernel events; empty if nothing. Loads no program. */
export function obstacles(): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (process.platform !== 'linux') return [{ what: `this is ${process.platform}`, fix: 'Kernel events are recorded on Linux only.' }];
  if (major < 5 || (major === 5 && minor < 15)) found.push({ what: `kernel ${release()}`, fix: 'Use a kernel of 5.15 or later.' });
  if (operationTable(arch()) === null) found.push({ what: `the architecture ${arch()}`, fix: 'Use x86-64 or arm64.' });
  if (!existsSync('/sys/kernel/btf/vmlinux')) {
    found.push({
      what: 'no /sys/kernel/btf/vmlinux',
      fix: 'Use a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions have them; in a container, mount /sys.',
    });
  }
  const capabilities = effectiveCapabilities();
  const has = (bit: bigint): boolean => ((capabilities >> bit) & 1n) === 1n;
  if (!has(CAP_SYS_ADMIN) && !(has(CAP_BPF) && has(CAP_PERFMON))) {
    found.push({
      what: 'CAP_BPF and CAP_PERFMON are missing',
      fix: 'Run the node service as root, or give it both capabilities (in systemd: AmbientCapabilities=).',
    });
  }
  if (objectFile() === null) found.push({ what: 'steno.bpf.o is missing', fix: 'Install Steno again: the file belongs to it.' });
  let libbpf: Libbpf | undefined;
  try {
    libbpf = openLibbpf();
  } catch {
    found.push({ what: 'libbpf.so.1 is missing', fix: 'Install libbpf (Debian: libbpf1; Fedora, RHEL: libbpf).' });
  }
  if (libbpf !== undefined && found.length === 0) {
    const there = libbpf.tracepoints(required);
    const missing = required.filter((name) => !there.has(name));
    if (missing.length > 0)
      found.push({
        what: `tracepoints are missing: ${missing.join(', ')}`,
        fix: 'Use a kernel built with CONFIG_FTRACE_SYSCALLS, as distributions have them.',
      });
  }
  return found;
}

/** Short enough for a gap's name; for logs and the reasons of gaps. */
export function explain(found: readonly Obstacle[]): string {
  return found.map(({ what }) => what).join('; ');
}

function effectiveCapabilities(): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return match === null ? 0n : BigInt(`0x${match[1]!}`);
}

export interface SessionCounters {
  /** Events that happened, and how many of them were lost because the ring was full. */
  readonly seen: number;
  readonly lost: number;
  /** CLOCK_BOOTTIME in ns. */
  readonly firstLost: bigint;
  readonly lastLost: bigint;
  readonly processes: number;
  /** Processes that did not fit into the table and are not followed. */
  readonly unfollowed: number;
}

export interface RingPlace {
  readonly fd: number;
  /** Bytes, a power of two. */
  readonly size: number;
}

/** The running processes to which a session is attached. */
export interface AttachedProcesses {
  /** Returns false if the process is named already. */
  add(pid: number): boolean;
  /** For a process number that belonged to another process by the time it was named. */
  remove(pid: number): void;
  detach(): void;
  /** Call after `detach`, once the last events were read: the session then has no processes. */
  forget(): void;
}

export class KernelPrograms {
  readonly ring: RingPlace;
  readonly totalsFd: number;
  readonly #libbpf: Libbpf;
  readonly #object: Pointer;
  readonly #programs: readonly Pointer[];
  readonly #beginFd: number;
  readonly #nothingFd: number;
  readonly #expectFd: number;
  readonly #matchesFd: number;
  readonly #noMoreFd: number;
  readonly #attachFds: readonly [name: number, unname: number, detach: number];
  readonly #counters: BigInt64Array;
  #links: Pointer[] = [];
  #logins: Pointer = null;
  #closed = false;

  private constructor(libbpf: Libbpf, object: Pointer, programs: readonly Pointer[], ringSize: number) {
    this.#libbpf = libbpf;
    this.#object = object;
    this.#programs = programs;
    this.#beginFd = libbpf.programFd(libbpf.findProgram(object, 'begin_session'));
    this.#nothingFd = libbpf.programFd(libbpf.findProgram(object, 'begin_nothing'));
    this.#expectFd = libbpf.programFd(libbpf.findProgram(object, 'expect_exec'));
    this.#matchesFd = libbpf.programFd(libbpf.findProgram(object, 'expected_matches'));
    this.#noMoreFd = libbpf.programFd(libbpf.findProgram(object, 'expect_no_more'));
    const fdOf = (name: string): number => libbpf.programFd(libbpf.findProgram(object, name));
    this.#attachFds = [fdOf('attach_process'), fdOf('attach_no_more'), fdOf('detach_session')];
    this.ring = { fd: libbpf.mapFd(libbpf.findMap(object, 'ring')), size: ringSize };
    this.totalsFd = libbpf.mapFd(libbpf.findMap(object, 'totals'));
    this.#counters = mapCounters(this.totalsFd);
  }

  /** Throws KERNEL_RECORDING_IMPOSSIBLE with the obstacles. */
  static open({ ringSize = DEFAULT_RING }: { readonly ringSize?: number } = {}): KernelPrograms {
    const missing = obstacles();
    if (missing.length > 0) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', explain(missing));
    const libbpf = openLibbpf();
    const failed = (what: string): StenoError => new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `${what}: errno ${libbpf.errno()}`);
    const object = libbpf.openObject(objectFile()!, null);
    if (object === null) throw failed('steno.bpf.o cannot be opened');
    try {
      const there = libbpf.tracepoints(Object.values(optional));
      const names: string[] = [...always];
      for (const [program, tracepoint] of Object.entries(optional)) {
        libbpf.setAutoload(libbpf.findProgram(object, program), there.has(tracepoint));
        if (there.has(tracepoint)) names.push(program);
      }
      libbpf.setMaxEntries(libbpf.findMap(object, 'ring'), ringSize);
      libbpf.setMaxEntries(libbpf.findMap(object, 'scratches'), possibleProcessors());
      // The only constant: `ops`.
      const constants = libbpf.initialValue(libbpf.findMap(object, '.rodata'));
      if (constants.length !== 2 * SYSCALLS) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'steno.bpf.o is not of this version');
      constants.set(operationTable(arch())!);
      if (libbpf.loadObject(object) !== 0) throw failed('the kernel refuses the programs');
      for (const name of frozen) libbpf.freeze(libbpf.mapFd(libbpf.findMap(object, name)));
      return new KernelPrograms(
        libbpf,
        object,
        names.map((name) => libbpf.findProgram(object, name)),
        ringSize,
      );
    } catch (error) {
      libbpf.closeObject(object);
      throw error;
    }
  }

  get attached(): boolean {
    return this.#links.length > 0;
  }

  /** Throws KERNEL_RECORDING_IMPOSSIBLE if the kernel refuses a program. */
  attach(): void {
    if (this.attached) return;
    for (const program of this.#programs) {
      const link = this.#libbpf.attach(program);
      if (link === null) {
        this.detach();
        throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `a program cannot be attached: errno ${this.#libbpf.errno()}`);
      }
      this.#links.push(link);
    }
  }

  /**
   * From now until `close`, reports logins that no descendant of this process made; returns the ring that reports them. Throws
   * KERNEL_RECORDING_IMPOSSIBLE if the kernel refuses the program.
   */
  watchLogins(): RingPlace {
    const libbpf = this.#libbpf;
    const fd = libbpf.mapFd(libbpf.findMap(this.#object, 'logins'));
    if (this.#logins === null) {
      libbpf.run(libbpf.programFd(libbpf.findProgram(this.#object, 'watch_logins')), Buffer.alloc(8));
      this.#logins = libbpf.attach(libbpf.findProgram(this.#object, 'on_login'));
      if (this.#logins === null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `logins cannot be watched: errno ${libbpf.errno()}`);
    }
    return { fd, size: LOGIN_RING };
  }

  detach(): void {
    for (const link of this.#links.splice(0)) this.#libbpf.detach(link);
  }

  /** Makes the next child of this thread the first process of session `number`; `spawn` must create it synchronously. */
  begin<T>(number: number, classes: readonly KernelEventClass[], spawn: () => T): T {
    this.attach();
    this.#counters.fill(0n, ...slotRange(number));
    const context = Buffer.alloc(8);
    context.writeUInt32LE(number, 0);
    context.writeUInt32LE(maskOf(classes), 4);
    const failed = this.#libbpf.run(this.#beginFd, context);
    if (failed !== 0) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `a session cannot be followed: ${failed}`);
    try {
      return spawn();
    } finally {
      // If `spawn` created no child, this thread's next child must not be taken for the session's.
      this.#libbpf.run(this.#nothingFd, Buffer.alloc(8));
    }
  }

  /**
   * Follows the command that a container runtime starts next in a container, as the first process of session `number`. Two windows must
   * not expect the same command: throws KERNEL_RECORDING_IMPOSSIBLE.
   */
  expect(number: number, classes: readonly KernelEventClass[], exec: ExpectedExec): ExecWindow {
    this.attach();
    this.#counters.fill(0n, ...slotRange(number));
    const open: Buffer[] = [];
    const close = (): void => {
      for (const order of open.splice(0)) this.#libbpf.run(this.#noMoreFd, order);
    };
    for (const order of expectOrders(exec, number, classes)) {
      const failed = this.#libbpf.run(this.#expectFd, order);
      if (failed !== 0) {
        close();
        throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `a command in a container cannot be expected: ${failed}`);
      }
      open.push(order);
    }
    return { matches: () => open.reduce((sum, order) => sum + Math.max(0, this.#libbpf.run(this.#matchesFd, order)), 0), close };
  }

  /**
   * Follows processes that are already running, as session `number`: each from its next event on, unless another session has it. After
   * `detach` they belong to no session again.
   */
  attachTo(number: number, classes: readonly KernelEventClass[]): AttachedProcesses {
    this.attach();
    this.#counters.fill(0n, ...slotRange(number));
    const [name, unname, detach] = this.#attachFds;
    const named = new Set<number>();
    const ask = (fd: number, pid: number): number => {
      const order = Buffer.alloc(16);
      order.writeUInt32LE(number, 0);
      order.writeUInt32LE(maskOf(classes), 4);
      order.writeUInt32LE(pid, 8);
      return this.#libbpf.run(fd, order);
    };
    return {
      add(pid) {
        if (ask(name, pid) !== 0) return false;
        named.add(pid);
        return true;
      },
      remove(pid) {
        ask(unname, pid);
        named.delete(pid);
      },
      detach() {
        ask(detach, 0);
        for (const pid of named) ask(unname, pid);
      },
      // Idle processes of the session stay in the kernel's table but no longer count.
      forget: () => void Atomics.store(this.#counters, slotRange(number)[0] + PROCESSES, 0n),
    };
  }

  counters(number: number): SessionCounters {
    return readCounters(this.#counters, number);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.detach();
    if (this.#logins !== null) this.#libbpf.detach(this.#logins);
    this.#libbpf.closeObject(this.#object);
  }
}

function slotRange(number: number): [from: number, to: number] {
  const from = (number % SLOTS) * (COUNTERS_BYTES / 8);
  return [from, from + COUNTERS_BYTES / 8];
}

export function mapCounters(fd: number): BigInt64Array {
  return new BigInt64Array(mapMemory(fd, SLOTS * COUNTERS_BYTES, 0, true));
}

export function readCounters(counters: BigInt64Array, number: number): SessionCounters {
  const [at] = slotRange(number);
  const value = (i: number): bigint => Atomics.load(counters, at + i);
  return {
    seen: Number(value(0)),
    lost: Number(value(1)),
    firstLost: value(2),
    lastLost: value(3),
    processes: Number(value(4)),
    unfollowed: Number(value(5)),
  };
}

function possibleProcessors(): number {
  const last = /(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'));
  return last === null ? cpus().length : Number(last[1]) + 1;
}
