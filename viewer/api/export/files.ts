/**
 * Lists and extracts the files of a recording. The server sends only content that the gateway hashed: it assembles the content in a
 * temporary file, compares it with the digest, and only then sends it. Whether the digest is the gateway's is for `steno verify` to
 * check; this module reads the recording as stored. Memory use is constant; one file at a time takes its size in temporary disk space.
 * Tested in files.test.ts.
 */
import { mkdtemp, open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_LISTED_FILES } from '#schemas/api/recordings/files.js';
import type { listRecordedFiles } from '#schemas/api/recordings/files.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Answer } from '#schemas/endpoint/endpoint.js';
import type { SessionRow } from '#schemas/events/rows.js';
import { ContentFile } from '#recordings/files/content-file.js';
import { baseOf, extractFile, listFiles } from '#recordings/files/recorded-files.js';
import type { Chunks, RecordedFile } from '#recordings/files/recorded-files.js';
import { exportLines } from '#recordings/read/export-file.js';
import type { ExportParts } from './export.js';

/** Bytes of temporary disk; larger files are extracted by `steno files` on the user's machine. */
const MAX_FILE_BYTES = 2 * 2 ** 30;

type FileParts = Pick<ExportParts, 'objects' | 'zstd' | 'reader'>;

/** Throws NOT_FOUND if nothing is stored yet, RECORDING_MALFORMED, STORE_NOT_FOUND. */
export async function filesOf(parts: FileParts, row: SessionRow): Promise<Answer<typeof listRecordedFiles>> {
  const { files, more } = await twice(() => listFiles(linesOf(parts, row)()));
  const listed = files.slice(0, MAX_LISTED_FILES).map((file) => ({ ...file, protocol: file.protocol ?? '' }));
  return { files: listed, more: more + files.length - listed.length };
}

export interface TakenFile {
  readonly file: RecordedFile;
  /** Open, positioned at the beginning, and already unlinked: closing it deletes it. */
  readonly content: FileHandle;
}

/** Throws FILE_MISSING, TOO_LARGE, and what `filesOf` throws. */
export async function takeFile(parts: FileParts, row: SessionRow, n: number): Promise<TakenFile> {
  const chunks = linesOf(parts, row);
  return twice(async () => {
    const { files } = await listFiles(chunks());
    const file = files[n - 1];
    if (file === undefined) throw new StenoError('NOT_FOUND', `file ${n} of this session`);
    if ((file.size ?? 0) > MAX_FILE_BYTES) throw new StenoError('TOO_LARGE', 'take this file out with `steno files`');
    const folder = await mkdtemp(join(tmpdir(), 'steno-file-'));
    try {
      const path = join(folder, 'content');
      const sink = new ContentFile(path);
      try {
        await extractFile(chunks, file, sink);
      } finally {
        sink.close();
      }
      return { file, content: await open(path) };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** Reads the index again each time: a session that is sealed meanwhile has different objects. */
function linesOf(parts: FileParts, row: SessionRow): Chunks {
  return async function* () {
    const index = await parts.reader.index(row.session, row.started_at);
    if (index === null) throw new StenoError('NOT_FOUND', 'nothing of this recording is stored yet');
    yield* exportLines(parts, index);
  };
}

/** Retries once: a part may disappear while it is read, because the session is being sealed; then the sealed object exists. */
async function twice<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
    return run();
  }
}

/** Name for the browser: the last component of the path, without characters that a file system or a header would interpret. */
export function fileName({ n, path }: Pick<RecordedFile, 'n' | 'path'>): string {
  const name = baseOf(path)
    .replace(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^[.-]+/, '')
    .slice(0, 100);
  return name === '' ? `file-${n}` : name;
}
