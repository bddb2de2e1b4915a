/**
 * Holds the sockets of running sessions, in a folder whose whole path is writable by nobody else.
 *
 *     /run/steno/node-PID-START/agent-N/socket     root: folders 0711 owned by root, the socket 0600 owned by the account
 *     $XDG_RUNTIME_DIR or the temporary folder     another user: a folder of its own, 0700
 *
 * An account reaches its socket but cannot replace, move or link any part of the path, so root's operations by name always
 * act on what root created. Everything is removed by its exact name, one by one. Leftovers of a killed service are removed
 * when the next one starts. Tested in test/agent/helper-attack.test.ts as an account that attacks it.
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
  /** Removes the socket and its folder. Never throws. */
  remove(): void;
}

export class RuntimeFolder {
  readonly path: string;
  #number = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** Throws NODE_REFUSED if no folder is safe. `base`: for tests. */
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
    // Independent of the service's umask.
    chmodSync(path, 0o711);
    return new RuntimeFolder(own(path));
  }

  /** A place for one new socket. Throws if its folder cannot be created. */
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

/** Every folder of the path must belong to root and be writable by nobody else. */
function mustBeRoots(path: string): void {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined || !facts.isDirectory() || facts.uid !== 0 || (facts.mode & 0o022) !== 0) {
    throw new StenoError('NODE_REFUSED', `${path} is not a folder in which root alone writes`);
  }
  if (path !== '/') mustBeRoots(dirname(path));
}

/**
 * Removes the folders of services that are gone. A process with the same number but another start time is a different one.
 */
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

/** Start time in ticks since boot, field 22 of proc_pid_stat(5); null: no such process. */
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
    // Already removed, or not empty: remove nothing else instead.
  }
}
