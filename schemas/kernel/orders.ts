/**
 * Orders and reports of kernel recording, on a session channel between gateway and node service:
 *
 *     gateway ──`kernel-order@steno`, before the request that starts the session──► node
 *     gateway ◄──`kernel-report@steno`: on, off, gaps, read────────────────────── node
 *
 * Both are channel requests (RFC 4254 section 5.4) with private names (RFC 4250 section 4.6.1), without a reply, that carry
 * one string of JSON. The connection was opened with a session certificate, and gateways relay requests of these names in
 * neither direction, so nobody else can give orders or report. The session's program is not involved.
 *
 * Compatibility: a node service announces that it supports the request (../ssh/capabilities.ts); the order lists the reports that
 * the gateway supports besides on, off and gap. Each side ignores unknown fields and words, so both can be extended.
 * In the older form, the order is an `env` request (RFC 4254 section 6.4) and a report an `exit-signal` (6.10) that ends nothing.
 * A gateway uses it with a node service that announces nothing, and a node service with a gateway that orders in this form.
 * Tested in orders.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';
import { kernelEventClasses } from '../policy/role.js';

export const ORDER_REQUEST = 'kernel-order@steno';
export const REPORT_REQUEST = 'kernel-report@steno';
/** Most bytes of JSON in an order or a report. */
export const MAX_ORDER_BYTES = 4096;

/** Reports the session time up to which events are stored: one of the words in an order's `reports`. */
export const PROGRESS_REPORT = 'read';

const order = {
  session: z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  mode: z.enum(['best_effort', 'strict']),
  classes: z.array(z.enum(kernelEventClasses)).min(1).max(kernelEventClasses.length),
  /** Session time at which the gateway sent the order, in ms; `error_ms`: the most that it may arrive later. */
  offset_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  error_ms: z.number().int().min(0).max(60_000),
};

/** The gateway to which a node sends rows of a session for signing. */
export const eventsWay = z.strictObject({
  /** Name of the gateway; the peer must present its certificate. */
  gateway: z.string().refine(isName),
  /** `host:port` at which nodes should reach the gateway; nodes may know other addresses. */
  address: z.string().min(3).max(270),
});
export type EventsWay = Readonly<z.infer<typeof eventsWay>>;

/** Path on which nodes deliver rows to a gateway: a WebSocket that speaks the uplink's protocol, next to the tunnel (schemas/tunnel.ts). */
export const EVENTS_PATH = '/v1/events';

export const orderRequest = z.object({
  ...order,
  reports: z.array(z.string().max(64)).max(32).default([]),
  /** If omitted or not understood, the node sends rows to ingest. A node that sends them here says so in its report (`log`). */
  events: eventsWay.optional().catch(undefined),
});
export type OrderRequest = z.infer<typeof orderRequest>;

const moment = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/**
 * Why events are missing from the event log. `refused`: ingest refused their rows. `unknown_session`: they arrived long before the
 * node service knew their session. `hole`: the kernel counted them, but they were neither read nor lost for lack of room, so
 * somebody removed them. Gateways accept other words too, since a gap counts under any name.
 */
export type KernelGapReason = 'ring_full' | 'disk_full' | 'not_followed' | 'cut' | 'refused' | 'unknown_session' | 'hole';

export const kernelReport = z.union([
  z.object({
    state: z.literal('on'),
    classes: z.array(z.enum(kernelEventClasses)).max(kernelEventClasses.length),
    /** Rows are sent to the gateway named in the order; if omitted, to ingest. */
    log: z.literal(true).optional(),
  }),
  z.object({ state: z.literal('off'), reason: z.string().max(1024) }),
  /** `count` events from `first_ms` to `last_ms` of session time. */
  z.object({
    state: z.literal('gap'),
    why: z.string().regex(/^[a-z_]{1,64}$/),
    count: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    first_ms: moment,
    last_ms: moment,
  }),
  /** Events up to this session time, in ms, are in the node's log and survive the node service. */
  z.object({ state: z.literal(PROGRESS_REPORT), until_ms: moment }),
]);
export type KernelReport = z.infer<typeof kernelReport>;
export type KernelGap = Extract<KernelReport, { readonly state: 'gap' }> & { readonly why: KernelGapReason };

/** Names of the `env` requests of the older form: the order, without `reports`, and the announcement that `read` is supported. */
export const ORDER_VARIABLE = 'session@steno';
export const PROGRESS_VARIABLE = 'progress@steno';
/** No client may send a variable of such a name; no shell variable can have it. */
export const isOwnVariable = (name: string): boolean => name.endsWith('@steno');
/** An order in the older form; older node services accept exactly these fields. */
export const orderVariable = z.strictObject(order);
export type KernelOrder = z.infer<typeof orderVariable>;

/** A report in the older form: an `exit-signal` of this signal whose message is this prefix and the JSON. */
export const REPORT_SIGNAL = 'USR1';
export const REPORT_PREFIX = 'kernel@steno ';

/** The JSON value of a text, or null, which no schema here accepts. */
export function parsedText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
