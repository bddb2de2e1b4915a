/**
 * SFTP requests that wait for their replies, and the facts reported about them.
 */
import type { FileFact } from '#schemas/recording/line.js';
import { fileFact, plainText, textCost } from '../observing/budget.js';
import type { SftpFile } from './file.js';
import { Fields, openFlags, statusName } from './packets.js';

export interface Directory {
  readonly path: string;
  readonly cost: number;
  entries: number;
}

export type Pending =
  | { readonly kind: 'open'; readonly path: string; readonly flags: number; readonly mode: number | undefined }
  | { readonly kind: 'opendir'; readonly path: string }
  | { readonly kind: 'close'; readonly handle: string }
  | { readonly kind: 'read'; readonly file: SftpFile; readonly offset: number; readonly length: number }
  | { readonly kind: 'write'; readonly file: SftpFile }
  | { readonly kind: 'readdir'; readonly directory: Directory }
  | { readonly kind: 'fstat'; readonly file: SftpFile }
  | { readonly kind: 'stat'; readonly path: string }
  | { readonly kind: 'fsetstat'; readonly file: SftpFile; readonly resized: boolean; readonly mode: number | undefined }
  | { readonly kind: 'operation'; readonly fact: FileFact };

export function writes(flags: number): boolean {
  return (flags & openFlags.write) !== 0;
}

export function listFact(directory: Directory, outcome: FileFact['outcome']): FileFact {
  return fileFact({ protocol: 'sftp', operation: 'list', path: directory.path, note: `${directory.entries} entries`, outcome });
}

/** Code and text of a STATUS; servers of older protocol versions send no text. */
export function statusOf(bytes: Buffer): [number, string] {
  const fields = new Fields(bytes);
  const code = fields.u32();
  const text = fields.left >= 4 ? plainText(fields.text()) : '';
  return [code, text === '' ? statusName(code) : text];
}

export function costOf(request: Pending): number {
  switch (request.kind) {
    case 'open':
    case 'opendir':
    case 'stat':
      return textCost(request.path);
    case 'close':
      return textCost(request.handle);
    case 'operation':
      return textCost(request.fact.path) + textCost(request.fact.target ?? '') + textCost(request.fact.note ?? '');
    default:
      return 0;
  }
}
