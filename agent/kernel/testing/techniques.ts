/**
 * Ways of doing something in a session that the screen, or a simple recorder of commands, does not show; each one is really performed,
 * and lists the expected events. docs/evasion.md has the same rows; evasion.test.ts runs each and compares.
 *
 * In scripts, `$MARK` is an executable that reads `$SECRET`; both lie in the test's folder, which is the current one.
 */
import type { Outcome, Seen } from './probe.js';
import { commands } from './probe.js';

export interface Technique {
  readonly name: string;
  /** The second column of the table. */
  readonly seen: string;
  /** Programs that it needs in addition to those of every Debian. */
  readonly needs?: readonly string[];
  readonly script: string;
  readonly input?: string;
  /** Throws, or returns false, if it was not recorded. */
  readonly check: (outcome: Outcome, folder: string) => boolean;
}

const exec = (outcome: Outcome, wanted: (data: Seen['data'], path: string) => boolean): boolean =>
  outcome.seen.some(({ kind, data, path }) => kind === 'exec' && wanted(data, path));
const argv = (data: Seen['data']): string => (data['argv'] as readonly string[]).join(' ');
/** The marker ran inside the session, and the file that it read is recorded. */
const marked = (outcome: Outcome, folder: string): boolean =>
  exec(outcome, (data) => argv(data).includes('MARKED')) && read(outcome, `${folder}/secret`);
const read = ({ seen }: Outcome, path: string): boolean =>
  seen.some((one) => one.kind === 'file' && one.path === path && (one.outcome === 'success' || one.outcome === 'submitted'));
const escaped = ({ seen }: Outcome, through: string): boolean => seen.some(({ kind, reason }) => kind === 'escape' && reason === through);

export const techniques: readonly Technique[] = [
  {
    name: 'base64 piped to sh',
    seen: 'every program of the decoded script, as executed; the shell that reads it',
    script: 'echo "$MARK" | base64 | base64 -d | sh',
    check: marked,
  },
  {
    name: 'here-document script',
    seen: 'every program of the script',
    script: "sh <<'X'\nexec $MARK\nX",
    check: marked,
  },
  {
    name: 'vim `:!`',
    seen: 'vim, the shell it starts, and the program',
    needs: ['vim.tiny'],
    script: 'vim.tiny -u NONE -es -c "!$MARK" -c "q!"',
    check: marked,
  },
  {
    name: 'env -i',
    seen: 'the program; an empty environment changes nothing',
    script: 'env -i $MARK',
    check: marked,
  },
  {
    name: 'exec -a',
    seen: 'the chosen name in the arguments, and the file that really ran beside it',
    script: "bash -c 'exec -a innocent /bin/cat secret'",
    check: (outcome, folder) =>
      exec(outcome, (data, path) => argv(data) === 'innocent secret' && path.endsWith('/bin/cat')) && read(outcome, `${folder}/secret`),
  },
  {
    name: 'memfd_create and fexecve',
    seen: 'the memory file by its name, and its execution, marked as from memory, with the SHA-256 of its content',
    script: `python3 -c 'import os; f = os.memfd_create("hidden"); os.write(f, open("/bin/cat","rb").read()); os.execve(f, ["x", "secret"], {})'`,
    check: (outcome, folder) =>
      outcome.seen.some(({ name, reason }) => name === 'memfd_create' && reason === 'hidden') &&
      exec(outcome, (data, path) => data['memory'] === true && path.includes('hidden')) &&
      read(outcome, `${folder}/secret`),
  },
  {
    name: 'a deleted executable',
    seen: 'the execution, marked as of a deleted file',
    script: 'cp /bin/cat gone; (exec 3<gone; rm gone; exec /proc/self/fd/3 secret)',
    check: (outcome, folder) => exec(outcome, (data) => data['deleted'] === true) && read(outcome, `${folder}/secret`),
  },
  {
    name: 'ld.so ./prog',
    seen: 'the loader with the program as its argument; the program and all it opens as files opened',
    script: '$(ls /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 2>/dev/null) /bin/cat secret',
    check: (outcome, folder) =>
      exec(outcome, (data) => /ld-linux.* \/bin\/cat secret/.test(argv(data))) &&
      read(outcome, `${folder}/secret`) &&
      outcome.seen.some(({ kind, path }) => kind === 'file' && path.endsWith('/bin/cat')),
  },
  {
    name: 'script',
    seen: 'the programs under its terminal',
    script: 'script -qc "$MARK" /dev/null',
    check: marked,
  },
  {
    name: 'screen -d -m',
    seen: 'the detached server and all that runs in it, in the session still',
    needs: ['screen'],
    script: 'export SCREENDIR=$PWD/screens; mkdir -m 700 screens; screen -D -m sh -c "$MARK"',
    check: marked,
  },
  {
    name: 'unshare',
    seen: 'the new namespaces, and the programs in them',
    script: 'unshare -m -p -f $MARK',
    check: (outcome, folder) => marked(outcome, folder) && outcome.seen.some(({ name }) => name === 'unshare'),
  },
  {
    name: 'moving to another cgroup',
    seen: 'the writing of cgroup.procs, and the programs after it: membership is by descent, not by cgroup',
    script: 'd=$(mktemp -d "$CGROUPS/steno-test-XXXXXX") && (echo 0 > "$d/cgroup.procs"; $MARK); sleep 0.1; rmdir "$d"',
    check: (outcome, folder) =>
      marked(outcome, folder) &&
      outcome.seen.some(({ kind, path, reason }) => kind === 'file' && path.endsWith('/cgroup.procs') && reason.includes('write')),
  },
  { name: 'setsid', seen: 'the programs, in the session still', script: 'setsid -w $MARK', check: marked },
  {
    name: 'nohup and &',
    seen: 'the programs, also after the shell has ended',
    script: 'nohup sh -c "sleep 0.3; $MARK" >/dev/null 2>&1 &',
    check: marked,
  },
  { name: 'double fork', seen: 'the programs of the orphan', script: '( ( sleep 0.2; $MARK ) & ) &', check: marked },
  {
    name: 'nsenter',
    seen: 'the entered namespaces by the files they were opened from, and the programs',
    script: 'unshare -u sleep 9 & sleep 0.1; nsenter -t $! -u -- $MARK; kill $!',
    check: (outcome, folder) =>
      marked(outcome, folder) && outcome.seen.some(({ name, outcome: how }) => name === 'setns' && how === 'success'),
  },
  {
    name: 'python os.execve',
    seen: 'the program, with its own arguments',
    script: `python3 -c 'import os; os.execve("/bin/sh", ["sh", "-c", os.environ["MARK"]], os.environ)'`,
    check: marked,
  },
  {
    name: 'busybox applets',
    seen: 'busybox with the applet as its name; an applet without an execution of its own by the files it opens',
    needs: ['busybox'],
    script: 'busybox sh -c "busybox cat secret; cat secret"',
    check: (outcome, folder) => exec(outcome, (data) => argv(data) === 'busybox cat secret') && read(outcome, `${folder}/secret`),
  },
  {
    name: 'a static binary',
    seen: 'its execution, and what it opens: nothing depends on a library',
    needs: ['clang'],
    script: 'clang -O1 -static -nostdlib -o static opener.c && ./static',
    check: (outcome, folder) => exec(outcome, (_, path) => path === `${folder}/static`) && read(outcome, `${folder}/secret`),
  },
  {
    name: 'a 32-bit binary',
    seen: 'its execution, marked as of 32 bits, and what it opens by the other table of system calls',
    needs: ['clang'],
    script: 'clang -m32 -O1 -static -nostdlib -o small opener.c && ./small',
    check: (outcome, folder) =>
      exec(outcome, (data, path) => path === `${folder}/small` && data['bits'] === 32) &&
      outcome.seen.some(({ path, data }) => path === `${folder}/secret` && data['bits'] === 32),
  },
  {
    name: 'a chain of shebangs',
    seen: 'the interpreter that ran, the script that was asked for, and every script on the way as a file opened',
    script: 'printf "#!$PWD/inner\\n" > outer; printf "#!/bin/cat\\n" > inner; chmod +x outer inner; ./outer',
    check: (outcome, folder) =>
      exec(outcome, (data, path) => path.endsWith('/bin/cat') && data['asked'] === './outer') && read(outcome, `${folder}/outer`),
  },
  {
    name: 'LD_PRELOAD',
    seen: 'the library as a file opened by the program, and mapped as code',
    needs: ['clang'],
    script:
      'echo "int puts(const char *s) { return 0; }" | clang -shared -fPIC -x c -o quiet.so - && LD_PRELOAD=$PWD/quiet.so /bin/cat secret',
    check: (outcome, folder) =>
      outcome.seen.some(
        ({ kind, path, reason, data }) =>
          kind === 'file' &&
          path === `${folder}/quiet.so` &&
          reason === 'read' &&
          exec(outcome, (of) => of['pid'] === data['pid'] && argv(of) === '/bin/cat secret'),
      ),
  },
  {
    name: 'opening files by io_uring',
    seen: 'the ring, and each file that it is asked to open, rename, remove or link, marked as without a result',
    needs: ['clang'],
    script: 'clang -O1 -o ring ring.c && ./ring secret',
    check: (outcome, folder) =>
      outcome.seen.some(({ name }) => name === 'io_uring_setup') &&
      outcome.seen.some(({ path, data }) => path === `${folder}/secret` && data['io_uring'] === true),
  },
  {
    name: 'rewriting argv',
    seen: 'the arguments it was executed with: they are read before its first instruction',
    script: `perl -e '$0 = "innocent"; open(F, "secret"); exec "sh", "-c", $ENV{MARK}'`,
    check: (outcome, folder) => marked(outcome, folder) && commands(outcome).some((line) => line.startsWith('perl -e')),
  },
  {
    name: 'at',
    seen: 'at itself, and an escape: its job file. Commands run later are outside the session',
    needs: ['at'],
    script: 'echo true | at -q s now + 1 year; for j in $(atq -q s | cut -f1); do atrm $j; done',
    check: (outcome) => escaped(outcome, 'at'),
  },
  {
    name: 'cron',
    seen: 'crontab itself, and an escape: the table written. Commands run later are outside the session',
    needs: ['crontab'],
    script: 'echo "# nothing" | crontab -; crontab -r',
    check: (outcome) => escaped(outcome, 'cron'),
  },
  {
    name: 'systemd-run',
    seen: 'systemd-run itself, and an escape: the bus or socket it asks over. Commands run by systemd are outside the session',
    needs: ['systemd-run'],
    // In a /run of its own, with a listener outside the session, whether or not systemd is running here.
    script:
      'unshare -m sh -c "mount -t tmpfs none /run && mkdir -p /run/systemd/system && ln -s $SOCKET /run/systemd/private && timeout 5 systemd-run --quiet true" || true',
    check: (outcome) =>
      exec(outcome, (data) => argv(data).includes('systemd-run')) && (escaped(outcome, 'systemd') || escaped(outcome, 'dbus')),
  },
  {
    name: 'a container runtime',
    seen: 'the client, and an escape: the socket of docker, containerd, CRI-O or podman. Its commands are outside the session',
    script: `unshare -m sh -c "mount -t tmpfs none /run && ln -s $SOCKET /run/docker.sock && /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\\"//run/../run/docker.sock\\")'"`,
    check: (outcome) => escaped(outcome, 'docker'),
  },
  {
    name: 'a helper of the kernel',
    seen: 'an escape: core_pattern, modprobe, release_agent, uevent_helper or a handler of binfmt_misc that is written, wherever it is mounted',
    // Write the existing value back.
    script: 'p=/proc/sys/kernel/core_pattern; [ -w $p ] && v=$(cat $p) && printf %s "$v" >$p',
    check: (outcome) => escaped(outcome, 'kernel helper'),
  },
  {
    name: 'the memory of a process outside',
    seen: 'an escape: `/proc/PID/mem` opened to write, ptrace or process_vm_writev, of a process that is not of the session',
    script: 'exec 3<>/proc/$OUTSIDE/mem',
    check: (outcome) => escaped(outcome, 'memory of another process'),
  },
  {
    name: 'cron by another folder',
    seen: 'an escape: the folder mounted elsewhere, mounted over, or another put in its place',
    script:
      'mkdir -p there && unshare -m /usr/bin/python3 -c \'import ctypes; c = ctypes.CDLL(None); assert c.mount(b"/etc", b"there", None, 4096, None) == 0\'',
    check: (outcome) => escaped(outcome, 'cron'),
  },
  {
    name: 'ssh to this machine',
    seen: "an escape: a connection to the machine's own port of ssh, telnet, rsh, docker or the kubelet. Through the gateway it is a session of its own, which names the one it was opened in",
    // In a network namespace of its own, with a listener on that port.
    script: `unshare -n sh -c 'ip link set lo up && exec /usr/bin/python3 -c "
import socket
server = socket.create_server((\\"127.0.0.1\\", 22))
socket.create_connection((\\"127.0.0.1\\", 22))"'`,
    needs: ['ip'],
    check: (outcome) => escaped(outcome, 'ssh'),
  },
];

/** Opens `secret` and ends, without a library, on x86 of both sizes and on arm64. */
export const openerSource = `
static long call(long n, long a, long b, long c) {
  long r;
#if defined(__i386__)
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
#elif defined(__x86_64__)
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  r = x0;
#endif
  return r;
}
void _start(void) {
#if defined(__i386__)
  call(295, -100, (long)"secret", 0); call(1, 0, 0, 0);
#elif defined(__x86_64__)
  call(257, -100, (long)"secret", 0); call(60, 0, 0, 0);
#else
  call(56, -100, (long)"secret", 0); call(93, 0, 0, 0);
#endif
  for (;;) {}
}
`;

/** Opens its argument through io_uring: one hand-made submission, whose completion is awaited. */
export const ringSource = `
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  int fd = syscall(SYS_io_uring_setup, 2, &p);
  if (fd < 0) return 1;
  char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
  struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
  memset(e, 0, sizeof *e);
  e->opcode = IORING_OP_OPENAT;
  e->fd = -100;
  e->addr = (unsigned long)argv[1];
  ((unsigned *)(sq + p.sq_off.array))[0] = 0;
  __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
  return syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) == 1 ? 0 : 2;
}
`;
