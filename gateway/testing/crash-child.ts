/**
 * A gateway's recorder that kills itself with SIGKILL at a given file system call: the child process of crash.test.ts. Writes every
 * piece for which `output()` has returned to standard output. Arguments: JSON, see `Plan`.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { faultyFiles } from './faults.js';
import type { FileCall } from './faults.js';
import { facts } from './recorder.js';
import { diskFiles } from '../spool/files.js';
import { startRecorder } from '../recorder/start.js';

export interface Plan {
  readonly folder: string;
  /** Where to die: at the `nth` (from 1) `call` on a file whose path ends with `file`. */
  readonly call: FileCall;
  readonly file: string;
  readonly nth: number;
  readonly when: 'before' | 'midway' | 'after';
  /** The uplink's address, or null for none. */
  readonly url: string | null;
  /** Base64 of the PKCS#8 signing key. */
  readonly key: string;
  readonly record: boolean;
}

const plan = JSON.parse(process.argv[2]!) as Plan;
const { createPrivateKey, sign } = await import('node:crypto');
const key = createPrivateKey({ key: Buffer.from(plan.key, 'base64'), format: 'der', type: 'pkcs8' });

let seen = 0;
const die = (): never => {
  process.kill(process.pid, 'SIGKILL');
  // The signal is pending; nothing more may run.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};
const isPlace = (call: FileCall, path: string): boolean => call === plan.call && path.endsWith(plan.file) && ++seen === plan.nth;
let dieAfter = false;
const files = faultyFiles(
  (call, path) => {
    if (!isPlace(call, path)) return null;
    if (plan.when === 'before') die();
    dieAfter = true;
    return null;
  },
  () => {
    if (dieAfter) die();
  },
);
const write = files.write;
const torn: typeof files = {
  ...files,
  write(fd, bytes, offset, length) {
    const before = seen;
    if (plan.when !== 'midway' || plan.call !== 'write') return write(fd, bytes, offset, length);
    // Writing the first half counts the call.
    const half = Math.max(1, length >> 1);
    if (seen === plan.nth - 1) {
      const probe = write(fd, bytes, offset, half);
      return seen > before ? die() : probe + (half < length ? diskFiles.write(fd, bytes, offset + half, length - half) : 0);
    }
    return write(fd, bytes, offset, length);
  },
};

let at = 0;
const recorder = await startRecorder(
  { spool: plan.folder, gateway: 'gw-1', drainMs: 1_000 },
  {
    sign: (text) => sign(null, Buffer.from(text), key),
    clock: { now: () => 1_763_800_000_000 + at, monotonic: () => at },
    random: (bytes) => randomBytes(bytes),
    log: { info: () => undefined, warn: () => undefined },
    uplink: plan.url === null ? null : { url: () => plan.url!, tls: null, certificate: () => 'AAAA' },
    files: torn,
  },
);
if (plan.record) {
  const session = await recorder.open(facts(), { cols: 80, rows: 24 });
  for (let i = 0; i < 12; i++) {
    const piece = `piece ${i} "é漢🙂"\r\n`;
    session.output('out', Buffer.from(piece));
    writeSync(1, piece);
    // Times at which lines are joined, blocks are cut by time, and checkpoints are signed each minute.
    at += [3, 400, 700, 61_000][i % 4]!;
  }
  await session.close();
}
await recorder.close();
