/**
 * Events that belong to no session, on their way to ingest: facts about a node from its agent, requests to a Kubernetes API
 * from a gateway. Version 2 of the uplink carries them.
 *
 * A row omits its sender, which ingest knows from the connection. An agent may report events of its own node only. The sender assigns
 * the numbers (`block`, `index`): an event that is sent again has the same numbers and appears once. Tested in free-rows.test.ts.
 */
import { z } from 'zod';
import { eventSources, kindPattern, storedKind } from './kinds.js';
import type { EventSource } from './kinds.js';
import { eventRow } from './rows.js';
import type { EventRow } from './rows.js';

const MAX_FREE_ROWS = 1_000;

const { session: _session, emitter: _emitter, raw_kind: _raw, ...fields } = eventRow.shape;
export const freeRow = z.strictObject({
  ...fields,
  source: z.enum(eventSources),
  /** Any name, since senders may be newer than ingest; `storedKind` maps kinds that this version does not know. */
  kind: z.string().regex(kindPattern),
});
export type FreeRow = z.infer<typeof freeRow>;
export const freeRows = z.array(freeRow).max(MAX_FREE_ROWS);

/** The source of events without a session for each kind of service. */
const sourceOf: Readonly<Record<string, EventSource>> = { agent: 'kernel', gateway: 'kubernetes' };

/** Completes a row with its sender; null if this sender may not send it. */
export function freeEvent(row: FreeRow, peer: { readonly kind: string; readonly name: string }): EventRow | null {
  if (!Object.hasOwn(sourceOf, peer.kind) || row.source !== sourceOf[peer.kind]) return null;
  if (peer.kind === 'agent' && row.node !== peer.name) return null;
  return { ...row, session: '', emitter: `${peer.kind}/${peer.name}`, ...storedKind(row.source, row.kind) };
}
