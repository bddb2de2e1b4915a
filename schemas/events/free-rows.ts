/**
 * Events that belong to no session, on their way to ingest: facts about a node from its agent, requests to a Kubernetes API
 * from a gateway. Version 2 of the uplink carries them.
 *
 * A row leaves out what ingest knows better: who sent it. An agent speaks of its own node and of nothing else. Numbers (`block`,
 * `index`) are the sender's: the same event sent again has the same ones, and shows once. Tested in free-rows.test.ts.
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
  /** Senders may be newer than ingest: `storedKind` tells what this version knows. */
  kind: z.string().regex(kindPattern),
});
export type FreeRow = z.infer<typeof freeRow>;
export const freeRows = z.array(freeRow).max(MAX_FREE_ROWS);

/** Which source a service may tell of without a session. */
const sourceOf: Readonly<Record<string, EventSource>> = { agent: 'kernel', gateway: 'kubernetes' };

/** Completes a row by who sent it; null when this sender may not send it. */
export function freeEvent(row: FreeRow, peer: { readonly kind: string; readonly name: string }): EventRow | null {
  if (!Object.hasOwn(sourceOf, peer.kind) || row.source !== sourceOf[peer.kind]) return null;
  if (peer.kind === 'agent' && row.node !== peer.name) return null;
  return { ...row, session: '', emitter: `${peer.kind}/${peer.name}`, ...storedKind(row.source, row.kind) };
}
