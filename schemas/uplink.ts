/**
 * The uplink, over which gateways send recordings and audit events to ingest. WebSocket over mutual TLS, subprotocol
 * `steno-uplink.1`, one binary message per frame: `u8 type ‖ u32 big-endian header length ‖ JSON header ‖ payload`.
 *
 * Order on one connection: hello, hello; then per session open → resume, blocks and checkpoints, close; acknowledgements come
 * back in any order. Drafts of a followed session come between its blocks. A sender that reconnects opens every unfinished session
 * again and continues after `resume.stored`. Blocks are idempotent by (session, stream, n), event batches by id. Only `stored`
 * allows a spool to delete data. A node sends kernel rows to a gateway in the same frames (`events`, `table: kernel`). Tested in
 * uplink.test.ts.
 */
import { z } from 'zod';
import { StenoError } from './base/errors.js';
import { isSignedCheckpoint } from './recording/checkpoint.js';
import type { SignedCheckpoint } from './recording/checkpoint.js';
import { isSessionId } from './recording/line.js';

/**
 * The version of the oldest senders. Version 2 adds batches of events without a session, version 3 event logs (`stream`), version 4
 * drafts for followers of a session, version 5 drafts of event logs. A sender announces the lowest version that supports its data.
 */
export const UPLINK_VERSION = 1;
export const UPLINK_FREE_EVENTS_VERSION = 2;
export const UPLINK_STREAMS_VERSION = 3;
export const UPLINK_DRAFTS_VERSION = 4;
export const UPLINK_EVENT_DRAFTS_VERSION = 5;
export const UPLINK_VERSIONS: readonly number[] = [1, 2, 3, 4, 5];
export const UPLINK_PROTOCOL = 'steno-uplink.1';
/** Most bytes of one message; a receiver closes the connection for a larger one. */
export const MAX_UPLINK_FRAME = 1 << 20;
const MAX_HEADER = 1 << 16;
/** In the id of a batch of events: marks a piece of a batch that was refused. */
export const PIECE_MARK = '/';

/** Most bytes of an incomplete block: its lines, the last of which may lack its end. */
export const MAX_DRAFT_BYTES = 1 << 17;

const frameTypes = {
  hello: 1,
  open: 2,
  block: 3,
  events: 4,
  checkpoint: 5,
  close: 6,
  ack: 7,
  resume: 8,
  refuse: 9,
  follow: 10,
  draft: 11,
} as const;
type FrameKind = keyof typeof frameTypes;
const kindOf = new Map<number, FrameKind>(Object.entries(frameTypes).map(([kind, type]) => [type, kind as FrameKind]));

const session = z.string().refine(isSessionId);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const signed = z.custom<SignedCheckpoint>(isSignedCheckpoint);
/** The recording if omitted. */
const stream = z.literal('events').optional();

const headers = {
  /** Both sides, first. `certificate`: base64 of the sender's recording certificate, for senders that record. */
  hello: z.object({ version: z.number().int(), name: z.string().max(63), certificate: z.string().max(8192).optional() }),
  /** The session's first line, the recording header, has the other facts. */
  open: z.object({ session, stream }),
  /** Payload: the block's lines. `head`: h[n] in hex. */
  block: z.object({ session, stream, n: count, head: z.string().length(64) }),
  /** From ingest: somebody follows the session, or nobody follows it any more. Drafts are sent while somebody does. */
  follow: z.object({ session, stream, on: z.boolean() }),
  /**
   * Payload: bytes of the incomplete block `n`, from byte `from` on; `from` 0 starts again. Drafts are not acknowledged, not stored, and
   * not in the chain: the complete block follows.
   */
  draft: z.object({ session, stream, n: count, from: z.number().int().min(0).max(MAX_DRAFT_BYTES) }),
  /** Closes part `part`: all blocks after the previous checkpoint, up to `checkpoint.block`. */
  checkpoint: z.object({ session, stream, part: count, checkpoint: signed }),
  /** As `checkpoint`; nothing follows it. */
  close: z.object({ session, stream, part: count, checkpoint: signed }),
  /**
   * Payload: JSON array of audit rows (schemas/events/rows.ts) or, depending on `table`, of kernel rows (schemas/kernel/kernel.ts), which
   * agents send, or, since version 2, of events without a session (schemas/events/free-rows.ts). `id` is unique per sender and batch. A
   * batch that is refused permanently is split in two and sent again, as batches with their own ids, until a refused batch has one row.
   */
  events: z.object({ id: z.string().min(1).max(64), table: z.enum(['kernel', 'events']).optional() }),
  ack: z.union([
    /** Blocks up to `received` are in memory and in the index; parts up to block `stored` are durable. */
    z.object({ session, stream, received: count, stored: count, closed: z.boolean() }),
    z.object({ events: z.string().max(64) }),
  ]),
  /** Answer to open: the last durable block (0: none), and whether the session is already closed. */
  resume: z.object({ session, stream, stored: count, closed: z.boolean() }),
  refuse: z.object({
    session: session.optional(),
    stream,
    events: z.string().max(64).optional(),
    code: z.string().max(64),
    detail: z.string().max(1024),
  }),
} as const;

export type UplinkHeader<K extends FrameKind> = z.infer<(typeof headers)[K]>;
export type UplinkFrame = {
  [K in FrameKind]: { readonly kind: K; readonly header: UplinkHeader<K>; readonly payload: Uint8Array };
}[FrameKind];

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
const nothing = new Uint8Array(0);

export function encodeUplink<K extends FrameKind>(kind: K, header: UplinkHeader<K>, payload: Uint8Array = nothing): Uint8Array {
  const head = encodeUplinkHead(kind, header);
  const frame = new Uint8Array(head.length + payload.length);
  frame.set(head);
  frame.set(payload, head.length);
  return frame;
}

/** Encodes everything before the payload, for senders that write the payload without copying it. */
export function encodeUplinkHead<K extends FrameKind>(kind: K, header: UplinkHeader<K>): Uint8Array {
  const json = encoder.encode(JSON.stringify(header));
  const head = new Uint8Array(5 + json.length);
  head[0] = frameTypes[kind];
  new DataView(head.buffer).setUint32(1, json.length);
  head.set(json, 5);
  return head;
}

/** Throws UPLINK_MALFORMED on anything that is not exactly one frame of this version. */
export function decodeUplink(frame: Uint8Array): UplinkFrame {
  if (frame.length < 5 || frame.length > MAX_UPLINK_FRAME) throw malformed('length');
  const kind = kindOf.get(frame[0]!);
  if (kind === undefined) throw malformed(`type ${frame[0]}`);
  const length = new DataView(frame.buffer, frame.byteOffset, frame.length).getUint32(1);
  if (length > MAX_HEADER || 5 + length > frame.length) throw malformed('header length');
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(frame.subarray(5, 5 + length)));
  } catch {
    throw malformed('header is not JSON');
  }
  const parsed = headers[kind].safeParse(value);
  if (!parsed.success) throw malformed(`${kind} header`);
  const payload = frame.subarray(5 + length);
  if (payload.length > 0 && kind !== 'block' && kind !== 'events' && kind !== 'draft') throw malformed(`${kind} with a payload`);
  return { kind, header: parsed.data, payload } as UplinkFrame;
}

function malformed(detail: string): StenoError {
  return new StenoError('UPLINK_MALFORMED', detail);
}
