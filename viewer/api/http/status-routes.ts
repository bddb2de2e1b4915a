/** The routes for the state of this server, the recording CA and metrics. Tested in viewer/api/main.test.ts. */
import { showMetrics, showRecordingCa, showStatus } from '#schemas/api/recordings/status.js';
import type { IndexProgress, QueueReport } from '#schemas/api/recordings/status.js';
import { StenoError } from '#schemas/base/errors.js';
import { analysisMetrics } from '#runtime/service/analysis-metrics.js';
import type { Analysis } from '#runtime/service/analysis-metrics.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { TurnedAway } from '#runtime/http/stranger-slots.js';
import type { Access, Viewer } from '../access/access.js';
import { METRICS_TYPE, isLocalScrape, metricsText } from './metrics.js';
import type { Serving } from './serve.js';
import { statusReport } from './status.js';

export interface StatusRouteParts {
  readonly version: string;
  readonly events: EventStore;
  readonly objects: ObjectStore;
  readonly access: Access;
  readonly queues: () => readonly QueueReport[];
  readonly analysis: () => Analysis | null;
  readonly rebuildingFor: (viewer: Viewer) => IndexProgress | null;
  readonly recordingCas: () => readonly string[];
  readonly turnedAway: () => TurnedAway;
}

export function statusRoutes(serving: Serving, parts: StatusRouteParts): void {
  const { version, events, objects, access, queues, rebuildingFor, analysis } = parts;
  serving.signedIn(showRecordingCa, async () => ({ keys: parts.recordingCas() }));
  serving.signedIn(showStatus, (viewer) =>
    statusReport(version, viewer, events, objects, {
      visible: access.visible(viewer, 'list'),
      queues: queues(),
      rebuilding: rebuildingFor(viewer),
      analysis: analysis()?.report ?? null,
    }),
  );
  serving.open(showMetrics, async ({ request, reply }) => {
    if (!isLocalScrape(request.raw)) throw new StenoError('NOT_FOUND');
    const of = analysis();
    const analyzer = of === null ? '' : analysisMetrics(of);
    return reply.type(METRICS_TYPE).send(metricsText(queues(), parts.turnedAway()) + analyzer);
  });
}
