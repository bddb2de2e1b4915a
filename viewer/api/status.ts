/** The state of what this stage reads, for `steno status` and `steno doctor`. Tested in server.test.ts. */
import type { StatusReport } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { isName } from '#schemas/identity.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Viewer } from './access.js';

export async function statusReport(version: string, viewer: Viewer, events: EventStore, objects: ObjectStore): Promise<StatusReport> {
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
      // Who may see some of others' is not told how many there are. Names hold no quotes; what is none sees nothing counted.
      const own =
        viewer.view === 'all'
          ? '1'
          : (viewer.view === 'own' || viewer.view === 'some') && isName(viewer.user)
            ? `user = '${viewer.user}'`
            : '0';
      const { rows } = await events.readOnlySql(`SELECT countIf(state = 'live'), count() FROM sessions WHERE ${own}`, {
        maxRows: 1,
        maxSeconds: 10,
      });
      live = Number(rows[0]?.[0] ?? 0);
      total = Number(rows[0]?.[1] ?? 0);
      return 'answers';
    }),
    await check('object store', async () => {
      for await (const _ of objects.list('gateways/')) break;
      return 'answers';
    }),
  ];
  return { version, sessions_live: live, sessions_total: total, checks };
}
