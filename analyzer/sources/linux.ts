/** The categories of Sigma's taxonomy for Linux, whose field names are those of Sysmon. */
import { always, any } from '../predicate/predicate.js';
import type { Field } from '../predicate/field.js';
import { contains, data, is, kernel, normalCommand, oneOf, other, port, session, text } from './source.js';
import type { Source, SourceField } from './source.js';

const succeeded = is(text('outcome'), 'success');
const operation = text('name');
const reason = text('reason');

const hashes: Readonly<Record<string, SourceField>> = {
  sha256: text('sha256'),
  Hashes: { kind: 'text', column: 'sha256', before: 'SHA256=' },
};

/** The user who acted, as far as every kernel row says. */
const actor: Readonly<Record<string, SourceField>> = {
  ...session,
  ProcessId: data('number', 'pid'),
  Computer: text('node'),
  /** The kernel reports numeric ids: only root's name is certain. */
  User: {
    kind: 'cases',
    of: [{ text: 'root', when: any([is(data('number', 'euid'), '0'), rootByRealId()]) }],
  },
};

/** `euid` is only reported if it differs from `uid`. */
function rootByRealId(): ReturnType<typeof is> {
  const euid: Field = data('number', 'euid');
  return { kind: 'all', of: [is(data('number', 'uid'), '0'), { kind: 'test', field: euid, test: { kind: 'absent' } }] };
}

/** The process that acted. */
const program: Readonly<Record<string, SourceField>> = { Image: other('path'), CommandLine: other('command') };
const file = { ...actor, ...program, TargetFilename: text('path') };
const made = any([
  oneOf(operation, ['create', 'rename', 'link', 'symlink', 'mknod']),
  // An existing file that is opened for writing and truncated.
  contains(reason, ',truncate'),
]);

export const linuxSources: readonly Source[] = [
  {
    name: 'process_creation',
    kinds: ['exec'],
    selects: kernel('exec', succeeded),
    fields: {
      ...actor,
      ...hashes,
      Image: text('path'),
      CommandLine: text('name'),
      NormalCommandLine: normalCommand,
      CurrentDirectory: data('text', 'cwd'),
      ParentProcessId: data('number', 'ppid'),
      ParentImage: other('path'),
      ParentCommandLine: other('command'),
    },
    keywords: [text('path'), text('name')],
  },
  { name: 'file_event', kinds: ['file'], selects: kernel('file', succeeded, made), fields: file, keywords: [text('path')] },
  {
    name: 'file_access',
    kinds: ['file'],
    selects: kernel('file', succeeded, oneOf(operation, ['open', 'create'])),
    fields: { ...file, AccessMode: reason },
    keywords: [text('path')],
  },
  {
    name: 'file_change',
    kinds: ['file'],
    selects: kernel('file', succeeded, oneOf(operation, ['chmod', 'chown', 'utimes', 'truncate', 'setxattr', 'removexattr', 'chattr'])),
    fields: file,
    keywords: [text('path')],
  },
  {
    name: 'file_rename',
    kinds: ['file'],
    selects: kernel('file', succeeded, oneOf(operation, ['rename', 'exchange'])),
    fields: { ...file, SourceFilename: data('text', 'from') },
    keywords: [text('path')],
  },
  {
    name: 'file_delete',
    kinds: ['file'],
    selects: kernel('file', succeeded, oneOf(operation, ['unlink', 'rmdir'])),
    fields: file,
    keywords: [text('path')],
  },
  {
    name: 'network_connection',
    kinds: ['connect'],
    selects: kernel('connect', oneOf(operation, ['tcp', 'udp'])),
    fields: {
      ...actor,
      ...program,
      DestinationIp: text('address'),
      DestinationPort: port,
      SourceIp: data('text', 'local_address'),
      SourcePort: data('number', 'local_port'),
      Protocol: operation,
      // Incoming connections are events of kind `accept`.
      Initiated: { kind: 'cases', of: [{ text: 'true', when: always }] },
    },
    keywords: [text('address')],
  },
  {
    name: 'dns_query',
    kinds: ['dns'],
    selects: kernel('dns'),
    fields: { ...actor, ...program, QueryName: operation, record_type: reason },
    keywords: [operation],
  },
];
