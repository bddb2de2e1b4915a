/**
 * Identifies callers on the owner's socket: the kernel reports the connecting process and user (SO_PEERCRED, unix(7)).
 *
 * Opening the socket grants administrator rights, and a session admitted to the owner's account could do that. Descendants
 * of the stages of `steno up` are therefore refused: a recorded session is a descendant of the node service even if it forks
 * twice, since the node service adopts orphans (agent/orphans.ts). The stages themselves, children of `steno up`, enrol here
 * and are served.
 *
 * An aid, not a security boundary: the account can have cron(8) or systemd run a process that is not a descendant, and it
 * can read the keys directly. The boundary is that only administrators may log in to it (own-machine.ts). Tested in
 * owner-caller.test.ts and test/end-to-end/owner.test.ts.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { cFunctions } from '#runtime/c-library.js';

export interface PeerCredentials {
  /** 0: in another process namespace, so not one of our descendants. */
  readonly pid: number;
  readonly uid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Deeper than any process tree. */
const MAX_DEPTH = 4096;

const libc = cFunctions<{ readonly getsockopt: (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number }>(null, {
  getsockopt: 'int getsockopt(int fd, int level, int name, void *value, void *length)',
});

/** Credentials of the peer; null if the kernel does not report them. Linux only. */
export function peerCredentials(socket: Socket): PeerCredentials | null {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) return null;
  const [value, length] = [Buffer.alloc(12), Buffer.alloc(4)];
  length.writeUInt32LE(12);
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0 || length.readUInt32LE() !== 12) return null;
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4) };
}

/**
 * The reason for refusal; null if the caller is served. `supervisor`: process of `steno up`; if omitted, nothing here starts
 * sessions.
 */
export function refuseCaller(
  socket: Socket,
  { uid, supervisor }: { readonly uid: number; readonly supervisor: number | undefined },
): StenoError | null {
  // On other systems there are no sessions: the node service requires Linux.
  if (process.platform !== 'linux') return null;
  return judgeCaller(peerCredentials(socket), { uid, supervisor }, parentOf);
}

export function judgeCaller(
  peer: PeerCredentials | null,
  { uid, supervisor }: { readonly uid: number; readonly supervisor: number | undefined },
  parent: (pid: number) => number | null,
): StenoError | null {
  if (peer === null) return new StenoError('SOCKET_CALLER', 'the kernel does not report the caller');
  // Root is always served; the socket's mode excludes other users.
  if (peer.uid !== uid && peer.uid !== 0) return new StenoError('SOCKET_CALLER', `user ${peer.uid}`);
  if (supervisor === undefined || peer.pid === 0) return null;
  let pid = peer.pid;
  for (let depth = 0; depth < MAX_DEPTH && pid > 1; depth++) {
    if (pid === supervisor) return depth < 2 ? null : new StenoError('SOCKET_IN_SESSION', `process ${peer.pid}`);
    const above = parent(pid);
    if (above === null) return new StenoError('SOCKET_CALLER', `process ${peer.pid} no longer exists`);
    pid = above;
  }
  return null;
}

/** Null if the process does not exist. */
function parentOf(pid: number): number | null {
  try {
    // The name in parentheses may contain anything, including parentheses.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const ppid = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    return Number.isInteger(ppid) ? ppid : null;
  } catch {
    return null;
  }
}
