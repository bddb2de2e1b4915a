/**
 * The routes of exports and of files in recordings: streamed, with a limit on how many run at a time. Tested in
 * viewer/api/main.test.ts, files.test.ts.
 */
import type { Readable } from 'node:stream';
import { listRecordedFiles, takeRecordedFile } from '#schemas/api/recordings/files.js';
import { MAX_ANIMATION_MS, exportSession, isAnimationSpan } from '#schemas/api/recordings/sessions.js';
import type { ExportFormat } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import { once } from '#runtime/once.js';
import { sourceAddress } from '../http/guard.js';
import { parseSessionId } from '../http/query.js';
import type { Serving } from '../http/serve.js';
import { beginExport, exportPage, exportRecording, exportTypes } from './export.js';
import type { ExportParts, PageParts } from './export.js';
import { fileName, filesOf, takeFile } from './files.js';

const EXPORTS_AT_A_TIME = 8;

export function exportRoutes(serving: Serving, parts: ExportParts & PageParts & { readonly log: Log }): void {
  const { sessions, reader, log } = parts;
  let exporting = 0;
  /** Throws TOO_MANY. Returns a function that releases the slot; further calls have no effect. */
  const takeSlot = (): (() => void) => {
    if (exporting >= EXPORTS_AT_A_TIME) throw new StenoError('TOO_MANY', 'exports at a time');
    exporting += 1;
    return once(() => (exporting -= 1));
  };
  /** Begins the export, and holds the slot until everything is sent. */
  const sending = async (session: string, begin: () => Promise<Readable>): Promise<Readable> => {
    const release = takeSlot();
    const stream = await begin().catch((error: unknown) => {
      release();
      throw error;
    });
    stream.once('close', release);
    stream.once('error', (error) => log.error({ err: error, session }, 'export failed'));
    return stream;
  };
  serving.signedIn(exportSession, async (viewer, { request, reply, params, query: { format, at, until } }) => {
    requireMoments(format, at, until);
    const asking = { viewer, action: 'export', source: sourceAddress(request), format } as const;
    const row = await sessions.row(asking, parseSessionId(params.id));
    const stream = await sending(row.session, () =>
      beginExport(async () => {
        const index = await reader.index(row.session, row.started_at);
        if (index === null) throw new StenoError('NOT_FOUND', 'nothing of this recording is stored yet');
        const mark = sessions.watermark(viewer, row);
        return format === 'html'
          ? exportPage(parts, row, index, { by: viewer.user, mark })
          : exportRecording(parts, row, index, format, { at, until, mark });
      }),
    );
    return reply.header('content-disposition', `attachment; filename="${row.session}.${format}"`).type(exportTypes[format]).send(stream);
  });
  serving.signedIn(listRecordedFiles, async (viewer, { request, params }) => {
    const row = await sessions.row({ viewer, action: 'view', source: sourceAddress(request) }, parseSessionId(params.id));
    const release = takeSlot();
    try {
      return await filesOf(parts, row);
    } finally {
      release();
    }
  });
  serving.signedIn(takeRecordedFile, async (viewer, { request, reply, params }) => {
    const asking = { viewer, action: 'export', source: sourceAddress(request), format: `file ${params.n}` } as const;
    const row = await sessions.row(asking, parseSessionId(params.id));
    let name = '';
    const stream = await sending(row.session, async () => {
      const { file, content } = await takeFile(parts, row, Number(params.n));
      name = fileName(file);
      return content.createReadStream();
    });
    return reply.header('content-disposition', `attachment; filename="${name}"`).type('application/octet-stream').send(stream);
  });
}

/** Throws BAD_REQUEST. */
function requireMoments(format: ExportFormat, at: number | undefined, until: number | undefined): void {
  const isDrawn = format === 'svg' || format === 'png' || format === 'gif';
  if (at !== undefined && !isDrawn) throw new StenoError('BAD_REQUEST', 'at: is for a picture');
  if (until !== undefined && format !== 'gif') throw new StenoError('BAD_REQUEST', 'until: is for an animation');
  if (format !== 'gif') return;
  if (at === undefined || until === undefined) throw new StenoError('BAD_REQUEST', 'an animation takes at and until');
  if (!isAnimationSpan(at, until)) throw new StenoError('BAD_REQUEST', `until: after at, and at most ${MAX_ANIMATION_MS / 1000} s`);
}
