/**
 * `steno files`: what went through a session as files, and their content where it was recorded in full. The recording is verified
 * before anything of it is believed. Tested in test/end-to-end/evidence.test.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { showSession } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openZstd } from '#runtime/zstd.js';
import { ContentFile } from '#recordings/files/content-file.js';
import { baseOf, extractFile, listFiles } from '#recordings/files/recorded-files.js';
import type { Chunks, RecordedFile, RecordedFiles } from '#recordings/files/recorded-files.js';
import { readFrames } from '#recordings/read/export-file.js';
import { openClient } from '../../client/client.js';
import { openHome, readProfile } from '../../client/home.js';
import { readHostKeys } from '../../client/host-keys.js';
import { bytes, clock, escapedJson, standardOutput, table, visible } from '../../terminal/output.js';
import { progress } from '../../terminal/progress.js';
import { MAX_VERIFY_BYTES, exportOf, requireSession } from './fetch.js';
import { writeWhole } from './session-files.js';

interface Options {
  readonly extract?: string;
  readonly output?: string;
  readonly ca?: string;
  readonly json?: boolean;
}

export function filesCommand(): Command {
  return new Command('files')
    .description('list the files that went through a session, and take one out')
    .argument('<file|id>', 'an exported .cast.zst, or a session')
    .option('--extract <n|name>', 'take this one out: its number, its path, or the last part of it')
    .option('-o, --output <file>', 'where to; it must not be there yet')
    .option('--ca <file>', 'public key of the recording CA; default is the one of the login')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nFiles of sftp and scp, streams of commands and connections, and data typed without an echo. What is taken out\nis what the gateway hashed, or nothing is written (exit code 66). The recording is verified first, with the exit\ncodes of `steno verify`. Exit code 1 when there are no files.',
    )
    .action(async (target: string, options: Options) => {
      if ((options.extract === undefined) !== (options.output === undefined))
        throw new StenoError('USAGE', '--extract names a file, and -o says where it goes: give both');
      const folder = await mkdtemp(join(tmpdir(), 'steno-files-'));
      try {
        const recording = await localCopy(target, join(folder, 'recording'));
        await requireVerified(recording, options.ca);
        const chunks = await chunksOf(recording);
        const found = await listFiles(chunks());
        if (options.extract === undefined || options.output === undefined) return print(found, options.json === true);
        await extract(chunks, pick(found, options.extract), options.output);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
}

/** The recording as a file on this machine. */
async function localCopy(target: string, copy: string): Promise<string> {
  if (statSync(target, { throwIfNoEntry: false })?.isFile() === true) return target;
  requireSession(target);
  const client = openClient(openHome());
  const { stored_bytes: expected } = await call(client.viewer, showSession, { params: { id: target } });
  await writeWhole(await client.stream(exportOf(target, 'cast.zst')), copy, () => progress(standardOutput, 'Fetching', expected));
  return copy;
}

/** Throws what `steno verify` would say. A recording that is too large to be verified here is named. */
async function requireVerified(file: string, ca: string | undefined): Promise<void> {
  if (statSync(file).size > MAX_VERIFY_BYTES) {
    standardOutput.err.write('This recording is too large to be verified here: each file is checked against its digest alone.\n');
    return;
  }
  const lines = ca === undefined ? readProfile(openHome()).recording_ca : readHostKeys(readFileSync(ca, 'utf8'));
  if (lines.length === 0) throw new StenoError('USAGE', `no public key in ${ca}`);
  const verdict = (await openVerifier(lines))(readFileSync(file));
  if (!verdict.ok) throw new StenoError(verdict.code, verdict.detail);
}

/** The lines of a file, frame by frame, from the beginning each time. */
async function chunksOf(file: string): Promise<Chunks> {
  const zstd = await openZstd();
  const { size } = statSync(file);
  return async function* () {
    let handle: FileHandle | undefined;
    try {
      handle = await open(file);
      const reading = handle;
      const source = {
        size: async () => size,
        async get(_key: string, range: { readonly offset: number; readonly length: number } = { offset: 0, length: size }) {
          const { buffer, bytesRead } = await reading.read(Buffer.alloc(range.length), 0, range.length, range.offset);
          return buffer.subarray(0, bytesRead);
        },
      };
      for await (const frame of readFrames(source, file)) if (frame.kind === 'data') yield zstd.decompress(frame.bytes);
    } finally {
      await handle?.close();
    }
  };
}

function pick({ files }: RecordedFiles, name: string): RecordedFile {
  const fits = (test: (file: RecordedFile) => boolean): RecordedFile[] => files.filter(test);
  const numbered = /^\d{1,7}$/.test(name) ? fits(({ n }) => n === Number(name)) : [];
  const named = fits(({ path }) => path === name);
  const ended = fits(({ path }) => baseOf(path) === name);
  const found = [numbered, named, ended].find((each) => each.length > 0) ?? [];
  if (found.length === 0) throw new StenoError('NOT_FOUND', `no file "${name}" went through this session`);
  const contents = new Set(found.map(({ sha256, n }) => sha256 ?? String(n)));
  if (contents.size > 1) throw new StenoError('USAGE', `${found.length} files are called so: give the number of one`);
  return found.find(({ missing }) => missing === null) ?? found[0]!;
}

/** Writes to a temporary name and renames once the content has the digest that the gateway recorded. */
async function extract(chunks: Chunks, file: RecordedFile, output: string): Promise<void> {
  if (statSync(output, { throwIfNoEntry: false }) !== undefined) throw new StenoError('USAGE', `${output} is there already`);
  const folder = await mkdtemp(join(dirname(resolve(output)), '.steno-file-'));
  try {
    const content = new ContentFile(join(folder, 'content'));
    try {
      await extractFile(chunks, file, content);
    } finally {
      content.close();
    }
    await rename(join(folder, 'content'), output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  standardOutput.err.write(`${visible(output)}: ${bytes(file.size ?? 0)}, SHA-256 ${file.sha256 ?? ''} as recorded\n`);
}

function print({ files, more }: RecordedFiles, asJson: boolean): void {
  const { out, err } = standardOutput;
  if (asJson) {
    out.write(`${escapedJson(files, 2)}\n`);
  } else {
    table<RecordedFile>(standardOutput, files, [
      { title: 'N', align: 'right', value: ({ n }) => String(n) },
      { title: 'AT', align: 'right', value: ({ at }) => clock(at), style: () => 'dim' },
      { title: 'HOW', value: ({ kind, protocol, operation }) => (kind === 'transfer' ? `${protocol ?? ''} ${operation}` : kind) },
      { title: 'SIZE', align: 'right', value: ({ size }) => (size === null ? '' : bytes(size)) },
      { title: 'SHA-256', value: ({ sha256 }) => sha256?.slice(0, 16) ?? '', style: () => 'dim' },
      {
        title: 'CONTENT',
        value: ({ missing }) => (missing === null ? 'whole' : 'missing'),
        style: ({ missing }) => (missing === null ? 'green' : 'yellow'),
      },
      { title: 'PATH', value: ({ path, missing }) => (missing === null ? path : `${path}  (${missing})`) },
    ]);
  }
  if (more > 0) err.write(`${more} further files are not listed.\n`);
  if (files.length > 0) return;
  process.exitCode = 1;
  if (!asJson) err.write('No files went through this session.\n');
}
