/**
 * Lists views of sessions, for users who may read the audit log, limited to sessions that they may list. Tested in test/cases/views.test.ts.
 */
import type { z } from 'zod';
import type { SessionViews, listViews } from '#schemas/api/recordings/audit.js';
import type { EventStore } from '#stores/events/contract.js';
import { requireReading } from './access.js';
import type { Access, Viewer } from './access.js';

/** Throws ACCESS_DENIED. */
export async function viewsFor(
  { events, access }: { readonly events: EventStore; readonly access: Access },
  viewer: Viewer,
  { viewer: actor, ...range }: z.output<typeof listViews.query>,
): Promise<{ readonly rows: readonly SessionViews[]; readonly truncated: boolean }> {
  requireReading(viewer, 'audit');
  if (!access.sees(viewer, 'list')) return { rows: [], truncated: false };
  const { rows, truncated } = await events.views({ ...range, actor, visible: access.visible(viewer, 'list') });
  return { rows: rows.map(({ actor: by, ...row }) => ({ viewer: by, ...row })), truncated };
}
