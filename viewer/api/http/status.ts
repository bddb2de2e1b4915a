/** The state of the stores and queues that this stage reads, for `steno status` and `steno doctor`. Tested in viewer/api/main.test.ts. */
import type { AnalysisReport, IndexProgress, QueueReport, StatusReport } from '#schemas/api/recordings/status.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Viewer } from '../access/access.js';

function incompleteText({ done, total, lost, failed }: IndexProgress): string {
  const far = total === 0 ? 'recordings are being indexed' : `${done} of ${total} recordings are indexed`;
  const next = failed ? 'the rebuild stopped; restart Steno or run `steno reindex`' : 'the rest follows in the background';
  return `incomplete: ${far}, ${next}${lost ? '; earlier audit rows, and kernel events without an event log, are lost' : ''}`;
}

export async function statusReport(
  version: string,
  viewer: Viewer,
  events: EventStore,
  objects: ObjectStore,
  {
    visible,
    queues,
    rebuilding,
    analysis,
  }: {
    readonly visible: Condition | undefined;
    readonly queues: readonly QueueReport[];
    readonly rebuilding: IndexProgress | null;
    readonly analysis: AnalysisReport | null;
  },
): Promise<StatusReport> {
  let live = 0;
  let total = 0;
  const check = async (name: string, look: () => Promise<string>): Promise<StatusReport['checks'][number]> => {
    try {
      return { name, ok: true, detail: await look() };
    } catch (error) {
      return { name, ok: false, detail: error instanceof StenoError ? error.message : 'does not answer' };
    }
  };
  const checks = [
    await check('event store', async () => {
      ({ live, total } = await events.countSessions({ visible }));
      return 'answers';
    }),
    await check('object store', async () => {
      for await (const _ of objects.list('gateways/')) break;
      return 'answers';
    }),
    ...(rebuilding === null ? [] : [{ name: 'search index', ok: false, detail: incompleteText(rebuilding) }]),
  ];
  const all = viewer.view === 'all';
  return { version, queues: all ? queues : [], analysis: all ? analysis : null, sessions_live: live, sessions_total: total, checks };
}
