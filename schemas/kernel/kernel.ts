/**
 * What gateways, nodes and ingest agree on about events of the kernel.
 *
 *     gateway ──order, with the session's channel──► node       over the SSH connection that the session certificate
 *     gateway ◄──reports: on, off, gaps───────────── node       opened: nobody else can give orders or report
 *     node ──rows, over the uplink──► gateway                   chained and signed as the session's event log
 *     node ──rows, over the uplink──► ingest                    from nodes that know of no log, bound to session and node
 *
 * Rows leave out what ingest knows better than a node: the session's user, login, node and start. Tested in
 * kernel.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';
import { kernelEventClasses } from '../policy/role.js';
import { kindPattern, kindsOf, storedKind } from '../events/kinds.js';
import type { KernelKind } from '../events/kinds.js';
import { eventRow, sessionIdPattern } from '../events/rows.js';
import type { EventRow, SessionRow } from '../events/rows.js';

/**
 * Name of the `env` request (RFC 4254, 6.4) by which a gateway gives a node the order for a session channel; its value
 * is the JSON of `KernelOrder`. No variable of a shell can have this name, and gateways let no client send it.
 */
export const ORDER_VARIABLE = 'session@steno';

/**
 * Name of a second `env` request beside the order: the gateway takes reports of how far events are kept (`read`). Agents that
 * do not know it pass it over, and a gateway that does not send it gets none. Its value is not looked at.
 */
export const PROGRESS_VARIABLE = 'progress@steno';

/**
 * Name of a third `env` request: rows of this session go to the gateway, which signs them. Its value is the JSON of `EventsWay`.
 * A node that takes it says so in its report (`log`); one that does not know it sends rows to ingest.
 */
export const EVENTS_VARIABLE = 'events@steno';
/** No client may send a variable of such a name. */
export const isOwnVariable = (name: string): boolean => name.endsWith('@steno');

export const kernelOrder = z.strictObject({
  session: z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  mode: z.enum(['best_effort', 'strict']),
  classes: z.array(z.enum(kernelEventClasses)).min(1).max(kernelEventClasses.length),
  /** Session time at which the gateway sent this, in ms, and how much later at most it arrives. */
  offset_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  error_ms: z.number().int().min(0).max(60_000),
});
export type KernelOrder = z.infer<typeof kernelOrder>;

/** Where a node sends the rows of a session that are to be signed. */
export const eventsWay = z.strictObject({
  /** Name of the gateway: whoever answers must show its certificate. */
  gateway: z.string().refine(isName),
  /** `host:port`, as the gateway believes that nodes reach it; nodes may know other ways. */
  address: z.string().min(3).max(270),
});
export type EventsWay = Readonly<z.infer<typeof eventsWay>>;

/** Where nodes bring rows to a gateway: a WebSocket of the uplink's protocol beside the tunnel (schemas/tunnel.ts). */
export const EVENTS_PATH = '/v1/events';

/**
 * A node reports on a session channel that goes on by an `exit-signal` (RFC 4254, 6.10) of this signal whose message is
 * this prefix and the JSON of `KernelReport`. Gateways pass none of them on; programs have no say in such a message.
 */
export const REPORT_SIGNAL = 'USR1';
export const REPORT_PREFIX = 'kernel@steno ';

export const kernelReport = z.union([
  z.strictObject({
    state: z.literal('on'),
    classes: z.array(z.enum(kernelEventClasses)).max(kernelEventClasses.length),
    /** Rows go where `EVENTS_VARIABLE` said. Left out: to ingest. */
    log: z.literal(true).optional(),
  }),
  z.strictObject({ state: z.literal('off'), reason: z.string().max(1024) }),
  /**
   * `count` events from `first_ms` to `last_ms` of session time happened and are not in the event log. `refused`: ingest would
   * not take their rows. `unknown_session`: they came long before the node service knew whose they are. `hole`: the kernel has
   * counted them, and they were neither read nor lost for want of room: somebody took them away.
   */
  z.strictObject({
    state: z.literal('gap'),
    why: z.enum(['ring_full', 'disk_full', 'not_followed', 'cut', 'refused', 'unknown_session', 'hole']),
    count: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    first_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    last_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  }),
  /** What happened until then, in ms of session time, is in the node's log, and outlives the node service. */
  z.strictObject({ state: z.literal('read'), until_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER) }),
]);
export type KernelReport = z.infer<typeof kernelReport>;
export type KernelGap = Extract<KernelReport, { readonly state: 'gap' }>;

/** On the uplink and in the places that rows name, the number of a node's log file has this bit. The event store leaves it out. */
export const KERNEL_BLOCKS = 0x8000_0000;

export const kernelKinds = kindsOf('kernel') as readonly KernelKind[] as readonly [KernelKind, ...KernelKind[]];

/** The place of a kernel's event, as nodes write it in `data.of`. */
export function kernelPlace({ block, index }: Pick<EventRow, 'block' | 'index'>): string {
  return `${KERNEL_BLOCKS + block}.${index}`;
}

const { index, offset_ms, path, size, sha256, address, port, name, reason, outcome, count, data } = eventRow.shape;
const session = z.string().regex(sessionIdPattern);
/** Agents may be newer than ingest: `storedKind` tells what this version knows. */
const kind = z.string().regex(kindPattern);
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

/**
 * The last row that a node sends of a session whose rows are logged: its last process is gone, and nothing more is known of it.
 * The log may be closed.
 */
export const LAST_ROW = 'end';
export const isLastRow = (kind: unknown, name: unknown): boolean => kind === 'kernel' && name === LAST_ROW;

/** Completes a row by the session that it names. */
export function kernelEvent(row: KernelRow, of: Pick<SessionRow, 'user' | 'node' | 'login' | 'started_at'>): EventRow {
  const [id, blockNumber, place, offset, what, where, bytes, digest, host, portNumber, title, why, result, times, facts] = row;
  return {
    session: id,
    source: 'kernel',
    emitter: `agent/${of.node}`,
    block: blockNumber - KERNEL_BLOCKS,
    index: place,
    at: Math.min(LAST_MOMENT, of.started_at + offset),
    offset_ms: offset,
    ...storedKind('kernel', what),
    user: of.user,
    node: of.node,
    login: of.login,
    cluster: '',
    namespace: '',
    pod: '',
    container: '',
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
