/**
 * What gateways, nodes and ingest agree on about events of the kernel.
 *
 *     gateway ──order, with the session's channel──► node       over the SSH connection that the session certificate
 *     gateway ◄──reports: on, off, gaps───────────── node       opened: nobody else can give orders or report
 *     node ──rows, over the uplink──► ingest                    bound to session and node by ingest
 *
 * Rows leave out what ingest knows better than a node: the session's user, login, node and start. Tested in
 * kernel.test.ts.
 */
import { z } from 'zod';
import { kernelEventClasses } from './role.js';
import { eventRow } from './rows.js';
import type { EventRow, SessionRow } from './rows.js';

/**
 * Name of the `env` request (RFC 4254, 6.4) by which a gateway gives a node the order for a session channel; its value
 * is the JSON of `KernelOrder`. No variable of a shell can have this name, and gateways let no client send it.
 */
export const ORDER_VARIABLE = 'session@steno';

export const kernelOrder = z.strictObject({
  session: z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  mode: z.enum(['best_effort', 'strict']),
  classes: z.array(z.enum(kernelEventClasses)).min(1).max(kernelEventClasses.length),
  /** Session time at which the gateway sent this, in ms, and how much later at most it arrives. */
  offset_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  error_ms: z.number().int().min(0).max(60_000),
});
export type KernelOrder = z.infer<typeof kernelOrder>;

/**
 * A node reports on a session channel that goes on by an `exit-signal` (RFC 4254, 6.10) of this signal whose message is
 * this prefix and the JSON of `KernelReport`. Gateways pass none of them on; programs have no say in such a message.
 */
export const REPORT_SIGNAL = 'USR1';
export const REPORT_PREFIX = 'kernel@steno ';

export const kernelReport = z.union([
  z.strictObject({ state: z.literal('on'), classes: z.array(z.enum(kernelEventClasses)).max(kernelEventClasses.length) }),
  z.strictObject({ state: z.literal('off'), reason: z.string().max(1024) }),
  /** `count` events from `first_ms` to `last_ms` of session time happened and are not in the event log. */
  z.strictObject({
    state: z.literal('gap'),
    why: z.enum(['ring_full', 'disk_full', 'not_followed', 'cut']),
    count: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    first_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    last_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  }),
]);
export type KernelReport = z.infer<typeof kernelReport>;
export type KernelGap = Extract<KernelReport, { readonly state: 'gap' }>;

/** Blocks of recordings count from 1; from here on `block` is the number of a node's log file. */
export const KERNEL_BLOCKS = 0x8000_0000;

export const kernelKinds = [
  'kernel',
  'fork',
  'exec',
  'exit',
  'file',
  'connect',
  'accept',
  'listen',
  'send',
  'dns',
  'privilege',
  'system',
  'escape',
  'gap',
] as const satisfies readonly EventRow['kind'][];
export type KernelKind = (typeof kernelKinds)[number];

const { session, index, offset_ms, path, size, sha256, address, port, name, reason, outcome, count, data } = eventRow.shape;
const kind = z.enum(kernelKinds);
const block = z.int().min(KERNEL_BLOCKS).max(0xffff_ffff);

/** One row on the uplink: the columns in this order. */
export const kernelRow = z.tuple([
  session,
  block,
  index,
  offset_ms,
  kind,
  path,
  size,
  sha256,
  address,
  port,
  name,
  reason,
  outcome,
  count,
  data,
]);
export type KernelRow = z.infer<typeof kernelRow>;
export const MAX_KERNEL_ROWS = 4_000;
export const kernelRows = z.array(kernelRow).max(MAX_KERNEL_ROWS);

/** A moment beyond what the store's dates hold is put at its end. */
const LAST_MOMENT = 7_258_118_400_000;

/** Completes a row by the session that it names. */
export function kernelEvent(row: KernelRow, of: Pick<SessionRow, 'user' | 'node' | 'login' | 'started_at'>): EventRow {
  const [id, blockNumber, place, offset, what, where, bytes, digest, host, portNumber, title, why, result, times, facts] = row;
  return {
    session: id,
    block: blockNumber,
    index: place,
    at: Math.min(LAST_MOMENT, of.started_at + offset),
    offset_ms: offset,
    kind: what,
    user: of.user,
    node: of.node,
    login: of.login,
    path: where,
    size: bytes,
    sha256: digest,
    address: host,
    port: portNumber,
    name: title,
    reason: why,
    outcome: result,
    count: times,
    data: facts,
  };
}
