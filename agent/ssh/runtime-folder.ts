/**
 * Where the node service keeps sockets of running sessions: a folder no part of whose path anybody else may write.
 *
 *     /run/steno/node-PID-START/agent-N/socket     root: folders 0711 and root's, the socket 0600 and the account's
 *     $XDG_RUNTIME_DIR or the temporary folder     another user: a folder of its own, 0700
 *
 * So an account reaches its socket and can neither replace, move nor link anything of the path: what root makes, gives away
 * and removes by name is what root made. Nothing is removed but by its exact name, one by one. What a service that was
 * killed has left goes when the next one starts. Tested in test/agent/helper-attack.test.ts as an account that attacks it.
 */
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';

const SOCKET = 'socket';
const ofService = /^node-(\d+)-(\d+)$/;
const ofSocket = /^agent-\d+$/;

export interface SocketPlace {
  readonly path: string;
  /** Takes the socket and its folder away. Never throws. */
  remove(): void;
}

export class RuntimeFolder {
  readonly path: string;
  #number = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** Throws NODE_REFUSED where no folder is safe. `base`: given in tests. */
  static open(base?: string): RuntimeFolder {
    if (process.getuid!() !== 0) return new RuntimeFolder(own(mkdtempSync(join(userBase(), 'steno-node-'))));
    const root = base ?? '/run/steno';
    mustBeRoots(dirname(root));
    try {
      mkdirSync(root, { mode: 0o711 });
      chmodSync(root, 0o711);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new StenoError('NODE_REFUSED', `${root} cannot be made`, { cause: error });
    }
    mustBeRoots(root);
    sweep(root);
    const path = join(root, `node-${process.pid}-${startOf(process.pid) ?? 0}`);
    mkdirSync(path, { mode: 0o711 });
    // Whatever the umask of the service.
    chmodSync(path, 0o711);
    return new RuntimeFolder(own(path));
  }

  /** A place for one socket that does not exist yet. Throws where the folder cannot be made. */
  socket(): SocketPlace {
    const folder = join(this.path, `agent-${this.#number++}`);
    mkdirSync(folder, { mode: 0o711 });
    chmodSync(folder, 0o711);
    return { path: join(folder, SOCKET), remove: () => removeSocket(folder) };
  }

  /** Never throws. */
  close(): void {
    quietly(() => removeService(this.path));
  }
}

function own(path: string): string {
  process.once('exit', () => quietly(() => removeService(path)));
  return path;
}

function userBase(): string {
  const given = process.env['XDG_RUNTIME_DIR'];
  if (given === undefined) return tmpdir();
  const facts = lstatSync(given, { throwIfNoEntry: false });
  return facts?.isDirectory() === true && facts.uid === process.getuid!() && (facts.mode & 0o077) === 0 ? given : tmpdir();
}

/** Every folder of the path is root's, and nobody else writes in it. */
function mustBeRoots(path: string): void {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined || !facts.isDirectory() || facts.uid !== 0 || (facts.mode & 0o022) !== 0) {
    throw new StenoError('NODE_REFUSED', `${path} is not a folder in which root alone writes`);
  }
  if (path !== '/') mustBeRoots(dirname(path));
}

/** Of services that are gone. A process with the number of one is another when it has started at another time. */
function sweep(root: string): void {
  for (const name of readdirSync(root)) {
    const match = ofService.exec(name);
    if (match !== null && startOf(Number(match[1])) !== match[2]) quietly(() => removeService(join(root, name)));
  }
}

function removeService(path: string): void {
  for (const name of readdirSync(path)) if (ofSocket.test(name)) removeSocket(join(path, name));
  rmdirSync(path);
}

function removeSocket(folder: string): void {
  quietly(() => unlinkSync(join(folder, SOCKET)));
  quietly(() => rmdirSync(folder));
}

/** In ticks since the machine started, field 22 of proc_pid_stat(5); null: there is no such process. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function quietly(act: () => void): void {
  try {
    act();
  } catch {
    // Gone already, or not empty: nothing else is taken away in its stead.
  }
}
