/** The routes of recorded sessions: lists, segments, facts, events. Tested in viewer/api/main.test.ts. */
import type { FastifyRequest } from 'fastify';
import {
  listFacts,
  listKernelEvents,
  listSegments,
  listSessions,
  openSession,
  showSegment,
  showSession,
} from '#schemas/api/recordings/sessions.js';
import { listCommands } from '#schemas/api/recordings/commands.js';
import { compareSessions } from '#schemas/api/recordings/compare.js';
import { listLines, showTimeline } from '#schemas/api/recordings/replay.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { encodeOpening, firstSegment } from '#schemas/api/recordings/opening.js';
import type { SessionOpening } from '#schemas/api/recordings/opening.js';
import type { IndexProgress } from '#schemas/api/recordings/status.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionAction } from '#schemas/policy/role.js';
import type { RecordingReader } from '#recordings/read/recording-reader.js';
import { meOf } from '../access/access.js';
import type { Viewer } from '../access/access.js';
import { sourceAddress } from '../http/guard.js';
import { sendLines } from '../http/lines.js';
import { parseSessionId } from '../http/query.js';
import type { EventStore } from '#stores/events/contract.js';
import type { Serving } from '../http/serve.js';
import { CommandLists } from './commands.js';
import { comparisonOf } from './compare.js';
import { transcript } from './transcript.js';
import { timelineOf } from './timeline.js';
import type { Asking, Sessions } from './sessions.js';

/** Session time in ms of the line before the segment, as in the index to which the segment belongs. */
const SEGMENT_START = 'x-steno-segment-start';

export interface SessionRouteParts {
  readonly events: EventStore;
  readonly clock: () => number;
  readonly sessions: Sessions;
  readonly reader: RecordingReader;
  readonly rebuildingFor: (viewer: Viewer) => IndexProgress | null;
}

export function sessionRoutes(serving: Serving, { events, clock, sessions, reader, rebuildingFor }: SessionRouteParts): void {
  const rowOf = (viewer: Viewer, request: FastifyRequest, action: SessionAction, id: string) =>
    sessions.row(askingOf(viewer, request, action), parseSessionId(id));

  serving.signedIn(listSessions, async (viewer, { query }) => {
    const found = await sessions.list(viewer, query);
    const incomplete = rebuildingFor(viewer);
    return incomplete === null ? found : { ...found, incomplete };
  });
  serving.signedIn(showSession, async (viewer, { request, params }): Promise<SessionInfo> =>
    sessions.described(viewer, await rowOf(viewer, request, 'list', params.id)),
  );
  serving.signedIn(openSession, async (viewer, { request, reply, params, query }) => {
    const row = await sessions.opened({ viewer, source: sourceAddress(request) }, parseSessionId(params.id));
    const { index, n, lines } = await reader.opening(row.session, row.started_at, ({ segments }) =>
      firstSegment(segments, row.state === 'live', query.at ?? null),
    );
    const mark = sessions.watermark(viewer, row);
    const opening: SessionOpening = {
      ...{ me: meOf(viewer), session: sessions.info(row), index: sessions.segments(row, index), first: n },
      ...(mark === undefined ? {} : { watermark: mark }),
    };
    return sendLines(request, reply, { lines: encodeOpening(opening, lines) });
  });
  serving.signedIn(listSegments, async (viewer, { request, params }) => {
    const row = await rowOf(viewer, request, 'view', params.id);
    return sessions.segmentIndex(viewer, row, await reader.index(row.session, row.started_at));
  });
  serving.signedIn(showSegment, async (viewer, { request, reply, params: { id, n } }) => {
    const row = await sessions.place(askingOf(viewer, request, 'view'), parseSessionId(id));
    if (!/^\d{1,7}$/.test(n)) throw new StenoError('NOT_FOUND');
    const { start, lines, frame } = await reader.segment(row.session, row.started_at, Number(n));
    // Sealing renumbers segments: a client with an older index notices that by the start.
    return sendLines(request, reply.header(SEGMENT_START, start), { lines, frame });
  });
  serving.signedIn(listFacts, async (viewer, { request, params }) =>
    sessions.facts((await rowOf(viewer, request, 'view', params.id)).session),
  );
  serving.signedIn(listKernelEvents, async (viewer, { request, params, query }) =>
    sessions.kernelEvents(viewer, await rowOf(viewer, request, 'view', params.id), query),
  );
  serving.signedIn(showTimeline, async (viewer, { request, params, query }) =>
    timelineOf(events, await rowOf(viewer, request, 'view', params.id), query.parts, clock()),
  );
  const commands = new CommandLists(events, clock);
  serving.signedIn(listCommands, async (viewer, { request, params, query }) =>
    commands.of(await rowOf(viewer, request, 'view', params.id), query.from),
  );
  serving.signedIn(compareSessions, async (viewer, { request, params }) => {
    const left = await rowOf(viewer, request, 'view', params.id);
    const right = await rowOf(viewer, request, 'view', params.other);
    return comparisonOf({ events, sessions, commands }, left, right);
  });
  serving.signedIn(listLines, async (viewer, { request, params, query }) =>
    transcript(events, (await rowOf(viewer, request, 'view', params.id)).session, query),
  );
}

function askingOf(viewer: Viewer, request: FastifyRequest, action: SessionAction): Asking {
  return { viewer, action, source: sourceAddress(request) };
}
