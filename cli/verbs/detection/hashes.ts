/** `steno hashes`: lists of known-good executables by SHA-256. Tested in test/end-to-end/findings.test.ts. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { PIECE_HASHES, deleteHashList, finishHashImport, listHashLists, putHashPiece } from '#schemas/api/detection/hashes.js';
import type { HashList } from '#schemas/api/detection/hashes.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { readHashFile } from './hash-file.js';

const more = `
A program whose SHA-256 is on a list is no finding when it is new or changed (docs/rules.md, Software).
FILE is what sha256sum prints, one hash on a line, or a CSV with a column SHA-256 as the NSRL's exports have.
Examples:
  sha256sum /usr/bin/* > web.sha256 && steno hashes import web.sha256
  steno hashes import --name golden-image NSRLFile.txt
`;

export function hashesCommand(): Command {
  const hashes = new Command('hashes').description('import lists of known-good executables by SHA-256').addHelpText('after', more);
  hashes
    .command('import')
    .description('import a file of SHA-256, in place of the list of the same name')
    .argument('<file>', 'a file')
    .option('--name <name>', "of the list; the file's name unless given", (text) => {
      if (!isName(text)) throw new InvalidArgumentError('Give a name of lower-case letters, digits, dots, dashes and underscores.');
      return text;
    })
    .option('--json', 'print JSON')
    .action(importFile);
  hashes.command('ls').description('list the lists of known-good executables').option('--json', 'print JSON').action(list);
  hashes
    .command('rm')
    .description('remove a list')
    .argument('<name>', 'as `steno hashes ls` lists it')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, deleteHashList, { params: { name } });
      standardOutput.err.write(`${visible(name)} is removed\n`);
    });
  return hashes;
}

async function importFile(path: string, options: { readonly name?: string; readonly json?: boolean }): Promise<void> {
  const file = basename(path);
  const name = options.name ?? nameOf(file);
  const hashes = await readHashFile(path);
  if (hashes.length === 0) throw new StenoError('HASHES_INVALID', `${path} has no hashes`);
  const bytes = Buffer.from(hashes.join(''), 'hex');
  const digest = createHash('sha256').update(bytes).digest('hex');
  const { authority } = openClient(openHome());
  // Named after its content, so that a retry continues an interrupted import.
  const id = digest.slice(0, 16);
  const pieces = Math.ceil(hashes.length / PIECE_HASHES);
  const size = bytes.length / hashes.length;
  for (let piece = 1; piece <= pieces; piece += 1) {
    const part = bytes.subarray((piece - 1) * PIECE_HASHES * size, piece * PIECE_HASHES * size);
    await call(authority, putHashPiece, { params: { name }, body: { import: id, piece, hashes: part.toString('base64') } });
  }
  const made = await call(authority, finishHashImport, { params: { name }, body: { import: id, pieces, file: file.slice(0, 255) } });
  if (made.digest !== digest) throw new StenoError('INTERNAL', `list ${name} has other hashes than were sent`);
  if (options.json === true) return json(standardOutput, made);
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} ${visible(name)} has ${made.count} known-good executables\n`);
}

/** The part of a file name that is valid in the name of a list. */
function nameOf(file: string): string {
  const name = file
    .replace(/\.[^.]*$/, '')
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
  if (!isName(name)) throw new StenoError('USAGE', `no name can be made of ${file}; give one with --name`);
  return name;
}

async function list({ json: asJson }: { readonly json?: boolean }): Promise<void> {
  const lists = await call(openClient(openHome()).authority, listHashLists, {});
  if (asJson === true) return json(standardOutput, lists);
  if (lists.length === 0) {
    standardOutput.err.write('No lists of known-good executables. `steno hashes import FILE` adds one.\n');
    return;
  }
  table<HashList>(standardOutput, lists, [
    { title: 'NAME', value: ({ name }) => name },
    { title: 'HASHES', align: 'right', value: ({ count }) => String(count) },
    { title: 'DIGEST', value: ({ digest }) => digest.slice(0, 16) },
    { title: 'FROM', value: ({ file }) => file },
    { title: 'BY', value: ({ created_by: by }) => by },
    { title: 'SINCE', value: ({ created_at: at }) => moment(at) },
  ]);
}
