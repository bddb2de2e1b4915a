/**
 * The helper: a process of the node service's user that serves one login and exits. Started only by helper.ts.
 *
 *     waiting ──account──► judged, accepts only further account requests
 *         └────become──► account's (effective ids and groups, for good) ──channel gone──► exit
 *
 * Its real and saved user ids remain the service's, and its channel to the service is a socket pair that nobody else holds:
 * no process of the account can signal it, trace it or write to it (docs/decisions/0051). Descriptor 3 carries frames
 * (frames.ts), descriptor 4 sockets (descriptors.ts). Any protocol violation ends it. Tested in
 * test/agent/helper-attack.test.ts as an account that attacks it.
 */
import { Socket } from 'node:net';
import { becomeUntraceable, closeOnExec, dieWithParent } from './descriptors.js';
import { FrameReader, encodeFrame } from './frames.js';
import { parseOrder } from './messages.js';
import type { Answer, Order } from './messages.js';
import { accountPhase } from './pam.js';
import { AccountSockets } from './sockets.js';

const FRAMES = 3;
const SOCKETS = 4;
const EXIT_FAULT = 70;

// Node.js before 22.14 cannot be told to leave SIGUSR1 alone: a listener replaces the debugger's.
process.on('SIGUSR1', () => undefined);
process.on('uncaughtException', (error) => fault(error));
becomeUntraceable();
for (const fd of [FRAMES, SOCKETS]) closeOnExec(fd);

const channel = new Socket({ fd: FRAMES, readable: true, writable: true });
const reader = new FrameReader(parseOrder);
const answer = (message: Answer): void => void channel.write(encodeFrame(message));
let sockets: AccountSockets | undefined;
let judging = false;

channel.on('data', (chunk) => {
  for (const order of reader.push(chunk)) obey(order);
});
channel.on('error', () => leave());
channel.on('close', () => leave());

function obey(order: Order): void {
  if (order.kind === 'account' && sockets === undefined) {
    // A module may be blocked when the service ends.
    if (!judging) dieWithParent();
    judging = true;
    return answer({ kind: 'judged', ...accountPhase(order.service, order.user, order.host) });
  }
  if (order.kind === 'become' && sockets === undefined && !judging) {
    become(order.user, order.uid, order.gid);
    sockets = new AccountSockets(SOCKETS, answer);
    return answer({ kind: 'became' });
  }
  if (sockets === undefined) throw new Error('out of order');
  switch (order.kind) {
    case 'connect':
      return sockets.connect(order.id, order.place);
    case 'listen':
      return sockets.listen(order.id, order.place);
    case 'close':
      return sockets.closeListener(order.id);
    default:
      throw new Error('out of order');
  }
}

/** Real and saved ids are kept: the account could signal and trace a process whose three ids are all its own. */
function become(user: string, uid: number, gid: number): void {
  if (process.getuid!() !== 0) {
    if (process.getuid!() !== uid) throw new Error('another user');
  } else {
    (process as unknown as { initgroups(user: string, extra: number): void }).initgroups(user, gid);
    process.setegid!(gid);
    process.seteuid!(uid);
    if (process.geteuid!() !== uid || process.getegid!() !== gid) throw new Error('the ids were not taken');
  }
  // Changing ids has reset this.
  becomeUntraceable();
  process.umask(0o177);
}

function leave(): void {
  sockets?.close();
  process.exit(0);
}

function fault(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  sockets?.close();
  process.exit(EXIT_FAULT);
}
