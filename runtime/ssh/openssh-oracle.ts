/** Stock OpenSSH as the counterpart in tests; imported by tests only. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';

/** A folder that only this user can read, and a function that removes it. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'steno-ssh-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Runs ssh-keygen; throws with its message if it fails. */
export function sshKeygen(args: readonly string[], input?: string | Uint8Array): string {
  return execFileSync('ssh-keygen', args, { input: input ?? '', encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

export interface KeyFiles {
  readonly path: string;
  readonly pem: string;
  readonly blob: Buffer;
}

/** Generates a key pair `NAME`, `NAME.pub` in the folder. */
export function makeKeyFiles(folder: string, name: string, type: string, bits?: number): KeyFiles {
  const path = join(folder, name);
  sshKeygen(['-q', '-t', type, ...(bits === undefined ? [] : ['-b', String(bits)]), '-N', '', '-C', name, '-f', path]);
  return { path, pem: readFileSync(path, 'utf8'), blob: readPublicFile(`${path}.pub`) };
}

export function readPublicFile(path: string): Buffer {
  return Buffer.from(parseAuthorizedLine(readFileSync(path, 'utf8')).blob);
}

/** Writes a private file with the mode that ssh requires. */
export function writePrivate(path: string, content: string): string {
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
