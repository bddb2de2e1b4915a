/**
 * Bindings to libbpf.so.1 and related libc functions through koffi: a node needs no compiler and no native build.
 *
 * Only the functions that the loader needs; none is called per event. Pointers are addresses as bigint; 0n and null mean
 * none. Tested in programs.test.ts against the running kernel.
 */
import koffi from 'koffi';

export type Pointer = bigint | null;

export interface Libbpf {
  readonly openObject: (path: string, options: null) => Pointer;
  readonly loadObject: (object: Pointer) => number;
  readonly closeObject: (object: Pointer) => void;
  readonly findMap: (object: Pointer, name: string) => Pointer;
  readonly findProgram: (object: Pointer, name: string) => Pointer;
  readonly setMaxEntries: (map: Pointer, entries: number) => number;
  /** Initial bytes of a section's map before loading; empty if there are none. */
  readonly initialValue: (map: Pointer) => Uint8Array;
  readonly mapFd: (map: Pointer) => number;
  /** From now on no process, not even root's, may write the map; programs still may. 0, or a negative errno. */
  readonly freeze: (fd: number) => number;
  readonly setAutoload: (program: Pointer, load: boolean) => number;
  readonly programFd: (program: Pointer) => number;
  readonly attach: (program: Pointer) => Pointer;
  readonly detach: (link: Pointer) => number;
  /** Runs a program of type `syscall` in the calling thread with `context`; returns its result, or a negative errno. */
  readonly run: (fd: number, context: Uint8Array) => number;
  /** Those of the given tracepoints that this kernel has, according to its type information. */
  readonly tracepoints: (names: readonly string[]) => ReadonlySet<string>;
  /** errno of the last failed call. */
  readonly errno: () => number;
}

const BTF_KIND_TYPEDEF = 8;
/** struct bpf_test_run_opts of libbpf 1.0: size, and offsets of the members used. */
const RUN_OPTIONS = { size: 88, contextIn: 32, contextInSize: 48, returned: 56 } as const;

/** Throws if libbpf is not installed. libbpf's messages are discarded: known obstacles are checked beforehand. */
export function openLibbpf(): Libbpf {
  const bpf = koffi.load('libbpf.so.1');
  const f = (declaration: string): ((...args: readonly unknown[]) => unknown) => bpf.func(declaration);
  f('void *libbpf_set_print(void *print)')(null);
  const initialValue = f('void *bpf_map__initial_value(void *map, _Out_ size_t *size)');
  const testRun = f('int bpf_prog_test_run_opts(int fd, void *options)');
  const loadBtf = f('void *btf__load_vmlinux_btf()');
  const findType = f('int btf__find_by_name_kind(void *btf, const char *name, uint32_t kind)');
  const freeBtf = f('void btf__free(void *btf)');
  return {
    openObject: f('void *bpf_object__open_file(const char *path, void *options)') as unknown as Libbpf['openObject'],
    loadObject: f('int bpf_object__load(void *object)') as unknown as Libbpf['loadObject'],
    closeObject: f('void bpf_object__close(void *object)') as unknown as Libbpf['closeObject'],
    findMap: f('void *bpf_object__find_map_by_name(void *object, const char *name)') as unknown as Libbpf['findMap'],
    findProgram: f('void *bpf_object__find_program_by_name(void *object, const char *name)') as unknown as Libbpf['findProgram'],
    setMaxEntries: f('int bpf_map__set_max_entries(void *map, uint32_t entries)') as unknown as Libbpf['setMaxEntries'],
    initialValue(map) {
      const size: [bigint | number] = [0];
      const at = initialValue(map, size) as Pointer;
      return at === null ? new Uint8Array(0) : new Uint8Array(koffi.view(at, Number(size[0])));
    },
    mapFd: f('int bpf_map__fd(void *map)') as unknown as Libbpf['mapFd'],
    freeze: f('int bpf_map_freeze(int fd)') as unknown as Libbpf['freeze'],
    setAutoload: f('int bpf_program__set_autoload(void *program, bool load)') as unknown as Libbpf['setAutoload'],
    programFd: f('int bpf_program__fd(void *program)') as unknown as Libbpf['programFd'],
    attach: f('void *bpf_program__attach(void *program)') as unknown as Libbpf['attach'],
    detach: f('int bpf_link__destroy(void *link)') as unknown as Libbpf['detach'],
    run(fd, context) {
      const options = Buffer.alloc(RUN_OPTIONS.size);
      options.writeBigUInt64LE(BigInt(RUN_OPTIONS.size), 0);
      options.writeBigUInt64LE(BigInt(koffi.address(context)), RUN_OPTIONS.contextIn);
      options.writeUInt32LE(context.length, RUN_OPTIONS.contextInSize);
      const failed = testRun(fd, options) as number;
      return failed < 0 ? failed : options.readInt32LE(RUN_OPTIONS.returned);
    },
    tracepoints(names) {
      const btf = loadBtf() as Pointer;
      if (btf === null) return new Set();
      const found = new Set(names.filter((name) => (findType(btf, `btf_trace_${name}`, BTF_KIND_TYPEDEF) as number) > 0));
      freeBtf(btf);
      return found;
    },
    errno: () => koffi.errno(),
  };
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Maps `length` bytes of a descriptor as memory. Throws with the errno; unmapped when the process exits. */
export function mapMemory(fd: number, length: number, offset: number, writable: boolean): ArrayBuffer {
  const mmap = koffi.load('libc.so.6').func('void *mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)');
  const at = mmap(null, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, offset) as Pointer;
  if (at === null || at === 0xffff_ffff_ffff_ffffn || at === -1n) throw new Error(`mmap failed: errno ${koffi.errno()}`);
  return koffi.view(at, length);
}

const CLOCK_BOOTTIME = 7;

/** The clock of kernel events: nanoseconds since the machine started, including sleep. */
export function bootClock(): () => bigint {
  const gettime = koffi.load('libc.so.6').func('int clock_gettime(int clock, _Out_ void *time)');
  const time = new BigInt64Array(2);
  return () => {
    if ((gettime(CLOCK_BOOTTIME, time) as number) !== 0) throw new Error('CLOCK_BOOTTIME cannot be read');
    return time[0]! * 1_000_000_000n + time[1]!;
  };
}
