/** The route of exports: so many at a time, each streamed. Tested in viewer/api/main.test.ts. */
import { Readable } from 'node:stream';
import { exportSession } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import { sourceAddress } from '../http/guard.js';
import { parseSessionId } from '../http/query.js';
import type { Serving } from '../http/serve.js';
import { beginExport, exportPage, exportRecording, exportTypes } from './export.js';
import type { ExportParts, PageParts } from './export.js';

const EXPORTS_AT_A_TIME = 8;

export function exportRoutes(serving: Serving, parts: ExportParts & PageParts & { readonly log: Log }): void {
  const { sessions, reader, log } = parts;
  let exporting = 0;
  serving.signedIn(exportSession, async (viewer, { request, reply, params, query: { format, at } }) => {
    if (at !== undefined && format !== 'svg') throw new StenoError('BAD_REQUEST', 'at: is for a picture');
    const asking = { viewer, action: 'export', source: sourceAddress(request), format } as const;
    const row = await sessions.row(asking, parseSessionId(params.id));
    if (exporting >= EXPORTS_AT_A_TIME) throw new StenoError('TOO_MANY', 'exports at a time');
    exporting += 1;
    const ended = (): void => void (exporting -= 1);
    const source = await beginExport(async () => {
      const index = await reader.index(row.session, row.started_at);
      if (index === null) throw new StenoError('NOT_FOUND', 'nothing of this recording is stored yet');
      return format === 'html' ? exportPage(parts, row, index, viewer.user) : exportRecording(parts, row, index, format, at);
    }).catch((error: unknown) => {
      ended();
      throw error;
    });
    const stream = Readable.from(source, { objectMode: false });
    stream.once('close', ended);
    stream.once('error', (error) => log.error({ err: error, session: row.session }, 'export failed'));
    return reply.header('content-disposition', `attachment; filename="${row.session}.${format}"`).type(exportTypes[format]).send(stream);
  });
}
