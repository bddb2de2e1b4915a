/**
 * Orders and reports of kernel recording, on a session channel between gateway and node service:
 *
 *     gateway ──`kernel-order@steno`, before the request that starts the session──► node
 *     gateway ◄──`kernel-report@steno`: on, off, gaps, read────────────────────── node
 *
 * Both are channel requests (RFC 4254 section 5.4) with names of our own (RFC 4250 section 4.6.1), without a reply, that carry
 * one string of JSON. The connection was opened with a session certificate, and gateways pass requests of these names on in
 * neither direction: nobody else can give orders or report. The session's program has no part in either.
 *
 * Who understands what. A node service says that it takes the request (../ssh/capabilities.ts); the order says which reports the
 * gateway takes beside on, off and gap. Each side ignores fields and words that it does not know, so both grow by new words.
 * The form before: the order was an `env` request (RFC 4254 section 6.4) and a report an `exit-signal` (6.10) that ends nothing.
 * A gateway speaks it to a node service that says nothing, and a node service to a gateway that orders by it. Tested in
 * orders.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';
import { kernelEventClasses } from '../policy/role.js';

export const ORDER_REQUEST = 'kernel-order@steno';
export const REPORT_REQUEST = 'kernel-report@steno';
/** Bytes of the JSON of either. */
export const MAX_ORDER_BYTES = 4096;

/** A report of how far events are kept: one of the words in `reports` of an order. */
export const PROGRESS_REPORT = 'read';

const order = {
  session: z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/),
  mode: z.enum(['best_effort', 'strict']),
  classes: z.array(z.enum(kernelEventClasses)).min(1).max(kernelEventClasses.length),
  /** Session time at which the gateway sent this, in ms, and how much later at most it arrives. */
  offset_ms: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  error_ms: z.number().int().min(0).max(60_000),
};

/** The gateway to which a node sends rows of a session for signing. */
export const eventsWay = z.strictObject({
  /** Name of the gateway: whoever answers must show its certificate. */
  gateway: z.string().refine(isName),
  /** `host:port`, as the gateway believes that nodes reach it; nodes may know other ways. */
  address: z.string().min(3).max(270),
});
export type EventsWay = Readonly<z.infer<typeof eventsWay>>;

/** Path on which nodes deliver rows to a gateway: a WebSocket that speaks the uplink's protocol, next to the tunnel (schemas/tunnel.ts). */
export const EVENTS_PATH = '/v1/events';

export const orderRequest = z.object({
  ...order,
  reports: z.array(z.string().max(64)).max(32).default([]),
  /** Left out, or not understood: the node sends rows to ingest. One that sends them here says so in its report (`log`). */
  events: eventsWay.optional().catch(undefined),
});
export type OrderRequest = z.infer<typeof orderRequest>;

const moment = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/**
 * Why events that happened are not in the event log. `refused`: ingest would not take their rows. `unknown_session`: they came
 * long before the node service knew whose they are. `hole`: the kernel has counted them, and they were neither read nor lost
 * for want of room: somebody took them away. Gateways take other words, too, since a gap counts whatever it is called.
 */
export type KernelGapReason = 'ring_full' | 'disk_full' | 'not_followed' | 'cut' | 'refused' | 'unknown_session' | 'hole';

export const kernelReport = z.union([
  z.object({
    state: z.literal('on'),
    classes: z.array(z.enum(kernelEventClasses)).max(kernelEventClasses.length),
    /** Rows go where the order said. Left out: to ingest. */
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

/** Names of the `env` requests of the form before: the order, without `reports`, and the word that `read` is taken. */
export const ORDER_VARIABLE = 'session@steno';
export const PROGRESS_VARIABLE = 'progress@steno';
/** No client may send a variable of such a name: no variable of a shell can have it. */
export const isOwnVariable = (name: string): boolean => name.endsWith('@steno');
/** An order in the form before, which node services of before take only exactly so. */
export const orderVariable = z.strictObject(order);
export type KernelOrder = z.infer<typeof orderVariable>;

/** A report of the form before: an `exit-signal` of this signal whose message is this prefix and the JSON. */
export const REPORT_SIGNAL = 'USR1';
export const REPORT_PREFIX = 'kernel@steno ';

/** The JSON of a text, or null, which no schema here takes. */
export function parsedText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
