/**
 * Records of the Linux audit daemon, as far as kernel events contain the same information: an `EXECVE` record is a program that was
 * started, a `PATH` record a file that an operation used. Steno's events have no `SYSCALL` records and no keys of audit rules.
 */
import { any, not } from '../predicate/predicate.js';
import { data, is, kernel, oneOf, session, text } from './source.js';
import type { Source, SourceField } from './source.js';

/** More arguments than any published rule uses. */
const ARGUMENTS = 32;
const created = ['create', 'mkdir', 'mknod', 'symlink', 'link', 'rename'];
const deleted = ['unlink', 'rmdir'];
const operation = text('name');
const isFile = is(text('kind'), 'file');
const succeeded = is(text('outcome'), 'success');

const args = Object.fromEntries(Array.from({ length: ARGUMENTS }, (_, i): [string, SourceField] => [`a${i}`, data('text', 'argv', i)]));

export const auditd: Source = {
  name: 'auditd',
  kinds: ['exec', 'file'],
  selects: any([kernel('exec', succeeded), kernel('file', not(is(operation, 'execute')))]),
  fields: {
    ...args,
    ...session,
    Computer: text('node'),
    type: {
      kind: 'cases',
      of: [
        { text: 'EXECVE', when: is(text('kind'), 'exec') },
        { text: 'PATH', when: isFile },
      ],
    },
    name: { kind: 'text', column: 'path' },
    nametype: {
      kind: 'cases',
      of: [
        { text: 'CREATE', when: oneOf(operation, created) },
        { text: 'DELETE', when: oneOf(operation, deleted) },
      ],
    },
    pid: data('number', 'pid'),
    cwd: data('text', 'cwd'),
    uid: data('number', 'uid'),
  },
  keywords: [],
};
