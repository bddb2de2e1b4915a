/**
 * Passes descriptors between processes: connected sockets sent (unix(7), SCM_RIGHTS) over a dedicated socket pair. Also the
 * few C library calls on descriptors and processes that Node.js lacks.
 *
 * Node.js passes descriptors only over its own message channel, whose other end could then drive this process as a cluster
 * worker drives its primary. Here a message is four bytes, the handover number, with exactly one descriptor; SOCK_SEQPACKET
 * preserves message boundaries. `struct msghdr` and `struct cmsghdr` as on 64-bit Linux, little-endian (glibc and musl have
 * the same bytes there). Tested in descriptors.test.ts.
 */
import { readdirSync } from 'node:fs';
import koffi from 'koffi';
import { cFunctions } from '#runtime/c-library.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const MSG_TRUNC = 0x20;
const MSG_CTRUNC = 0x08;
const MSGHDR = { size: 56, iov: 16, iovCount: 24, control: 32, controlLength: 40, flags: 48 } as const;
const CMSG_HEADER = 16;
/** Room for more than the one expected: surplus descriptors must be seen, and closed. */
const MAX_RECEIVED = 8;
const O_NONBLOCK = SOCK_NONBLOCK;
const O_CLOEXEC = SOCK_CLOEXEC;
const PR_SET_DUMPABLE = 4;
const PR_SET_PDEATHSIG = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

interface Libc {
  readonly socketpair: (domain: number, type: number, protocol: number, pair: Int32Array) => number;
  readonly pipe2: (ends: Int32Array, flags: number) => number;
  readonly sendmsg: (fd: number, message: Buffer, flags: number) => number;
  readonly recvmsg: (fd: number, message: Buffer, flags: number) => number;
  readonly close: (fd: number) => number;
  readonly prctl: (option: number, a: number, b: number, c: number, d: number) => number;
  readonly fcntl: (fd: number, command: number, value: number) => number;
}
const libc = cFunctions<Libc>(null, {
  socketpair: 'int socketpair(int domain, int type, int protocol, _Out_ int *pair)',
  pipe2: 'int pipe2(_Out_ int *ends, int flags)',
  sendmsg: 'int64_t sendmsg(int fd, void *message, int flags)',
  recvmsg: 'int64_t recvmsg(int fd, void *message, int flags)',
  close: 'int close(int fd)',
  prctl: 'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  fcntl: 'int fcntl(int fd, int command, int value)',
});

/** Returns both ends, neither inherited by programs. Throws with the errno. */
export function descriptorPair(): readonly [ours: number, theirs: number] {
  const pair = new Int32Array(2);
  if (libc().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) !== 0)
    throw new Error(`socketpair: errno ${koffi.errno()}`);
  return [pair[0]!, pair[1]!];
}

/** A non-blocking pipe that programs do not inherit. Throws with the errno. */
export function openPipe(): readonly [read: number, write: number] {
  const ends = new Int32Array(2);
  if (libc().pipe2(ends, O_NONBLOCK | O_CLOEXEC) !== 0) throw new Error(`pipe: errno ${koffi.errno()}`);
  return [ends[0]!, ends[1]!];
}

/** False if the other end has too many pending or is gone: the descriptor was not handed over. */
export function sendDescriptor(over: number, handover: number, descriptor: number): boolean {
  const { message, data, control } = messageOf(1);
  data.writeUInt32LE(handover);
  control.writeBigUInt64LE(BigInt(CMSG_HEADER + 4), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(descriptor, CMSG_HEADER);
  return Number(libc().sendmsg(over, message, MSG_DONTWAIT | MSG_NOSIGNAL)) === data.length;
}

/**
 * Receives the descriptor of this handover, which must be next. Throws for anything else; nothing received then stays open.
 */
export function receiveDescriptor(over: number, handover: number): number {
  const { message, data, control } = messageOf(MAX_RECEIVED);
  const length = Number(libc().recvmsg(over, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0) throw new Error(`no descriptor: errno ${koffi.errno()}`);
  const got = descriptorsIn(control.subarray(0, Number(message.readBigUInt64LE(MSGHDR.controlLength))));
  const cut = (message.readInt32LE(MSGHDR.flags) & (MSG_TRUNC | MSG_CTRUNC)) !== 0;
  if (length === data.length && !cut && got.length === 1 && data.readUInt32LE() === handover) return got[0]!;
  for (const fd of got) libc().close(fd);
  throw new Error('not the announced descriptor');
}

/**
 * Prevents processes of the same user from tracing this one and from reading its memory or descriptors. Throws on failure.
 */
export function becomeUntraceable(): void {
  if (libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) throw new Error('prctl');
}

/** Kills this process when the thread that started it ends, even while it is blocked in a library. */
export function dieWithParent(): void {
  libc().prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0);
}

/** Keeps this descriptor from programs that a library starts. */
export function closeOnExec(fd: number): void {
  if (libc().fcntl(fd, F_SETFD, FD_CLOEXEC) !== 0) throw new Error('fcntl');
}

/**
 * Keeps all descriptors open now, except the three standard ones, from programs that this process starts: its parent may
 * have left some open, and Node.js checks only the first few.
 */
export function keepDescriptors(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    // The folder's own descriptor is closed by now.
    if (fd > 2) libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
}

function messageOf(room: number): { readonly message: Buffer; readonly data: Buffer; readonly control: Buffer } {
  const data = Buffer.alloc(4);
  // CMSG_SPACE: rounded up to words of eight bytes.
  const control = Buffer.alloc(CMSG_HEADER + Math.ceil((4 * room) / 8) * 8);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(koffi.address(data)), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const message = Buffer.alloc(MSGHDR.size);
  message.writeBigUInt64LE(BigInt(koffi.address(vector)), MSGHDR.iov);
  message.writeBigUInt64LE(1n, MSGHDR.iovCount);
  message.writeBigUInt64LE(BigInt(koffi.address(control)), MSGHDR.control);
  message.writeBigUInt64LE(BigInt(control.length), MSGHDR.controlLength);
  keepAlive.set(message, [data, control, vector]);
  return { message, data, control };
}
/** Keeps the buffers that a message points to alive as long as the message. */
const keepAlive = new WeakMap<Buffer, readonly Buffer[]>();

function descriptorsIn(control: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + CMSG_HEADER <= control.length;) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < CMSG_HEADER || at + length > control.length) break;
    if (control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS) {
      for (let fd = at + CMSG_HEADER; fd + 4 <= at + length; fd += 4) found.push(control.readInt32LE(fd));
    }
    at += Math.ceil(length / 8) * 8;
  }
  return found;
}
