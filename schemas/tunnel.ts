/**
 * The tunnel: a WebSocket from an agent to a gateway, over TLS 1.3 with certificates on both sides, that carries many
 * streams. Each message is one frame:
 *
 *     u8 type ‖ u32 stream ‖ payload
 *
 *     0 control  stream 0     JSON of a `TunnelMessage`, either way
 *     1 open     gateway →    JSON of an `OpenStream`; the number is one above the last
 *     2 data     either way   at most MAX_DATA bytes, and never more than granted
 *     3 window   either way   u32: grants this many more bytes; both sides begin with FIRST_WINDOW
 *     4 end      either way   nothing more comes in this direction
 *     5 reset    either way   text with the reason; ends the stream
 *
 * Flow control is per stream, so a stalled stream does not delay others, and a side must hold no more than it granted.
 * Frames of an ended stream are ignored, since they may cross its reset; frames of a stream that never existed end the
 * tunnel. Both sides ping and treat silence as the end. Tested in runtime/tunnel/mux.test.ts.
 */
import { z } from 'zod';
import { StenoError } from './base/errors.js';
import { isName } from './base/identity.js';
import { MAX_REQUEST, signedNodeRequest, signedTrust } from './join.js';

export const TUNNEL_PATH = '/v1/tunnel';
export const TUNNEL_PROTOCOL = 'steno-tunnel';
/** On the same port: an HTTP upgrade to a connection that the gateway forwards to ingest, for a node's kernel events. */
export const INGEST_PIPE_PATH = '/v1/ingest';
export const INGEST_PIPE = 'steno-ingest';
/**
 * On the same port, for viewers: an HTTP upgrade to the bytes of one SSH connection, whose client is a browser. The address of
 * the browser is in `CLIENT_ADDRESS_HEADER`.
 */
export const SSH_RELAY_PATH = '/v1/ssh';
export const SSH_RELAY = 'steno-ssh';
export const TUNNEL_VERSION = 1;
export const FRAME_HEADER = 5;
export const MAX_DATA = 32 << 10;
export const MAX_CONTROL = 256 << 10;
/** Length of the largest frame in bytes. */
export const MAX_TUNNEL_FRAME = FRAME_HEADER + MAX_CONTROL;
export const FIRST_WINDOW = 64 << 10;
export const MAX_STREAMS = 1024;
/** Each side sends something at least this often, and disconnects after `TUNNEL_SILENCE_MS` of silence. */
export const TUNNEL_PING_MS = 2_000;
export const TUNNEL_SILENCE_MS = 6_000;

export const frameTypes = ['control', 'open', 'data', 'window', 'end', 'reset'] as const;
export type FrameType = (typeof frameTypes)[number];

export interface TunnelFrame {
  readonly type: FrameType;
  readonly stream: number;
  /** A view of the received bytes. */
  readonly payload: Uint8Array;
}

const GATEWAY_SUFFIX = '.gateway.steno';
/**
 * The server name (RFC 6066 section 3) sent by a client that needs a certain gateway, since several may share an address. It is used
 * for routing only; the certificate shows which gateway has answered.
 */
export function gatewayServerName(gateway: string): string {
  return `${gateway}${GATEWAY_SUFFIX}`;
}

/** Null if the name is not a gateway's. */
export function gatewayOfServerName(host: string): string | null {
  const gateway = host.endsWith(GATEWAY_SUFFIX) ? host.slice(0, -GATEWAY_SUFFIX.length) : '';
  return isName(gateway) ? gateway : null;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');

export const openStream = z.strictObject({
  /**
   * `kubernetes`: HTTP/1.1 to the API server of the cluster that the agent runs in. `pod`: an order to record a command in a container of
   * this machine (kernel/pod-orders.ts).
   */
  kind: z.enum(['ssh', 'kubernetes', 'pod']),
  /** The user's address, as far as the gateway knows; for the node's own log. */
  source: z.string().max(64),
});
export type OpenStream = z.infer<typeof openStream>;

const trust = { trust: signedTrust };
/** Messages of gateways. */
export const gatewayMessage = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('welcome'), version: z.literal(TUNNEL_VERSION), gateway: name, ...trust }),
  z.strictObject({ kind: z.literal('trust'), ...trust }),
  z.strictObject({ kind: z.literal('answer'), id: z.number().int().min(0), answer: z.unknown() }),
  z.strictObject({ kind: z.literal('refusal'), id: z.number().int().min(0), code: z.string().max(64), detail: z.string().max(1024) }),
  z.strictObject({ kind: z.literal('leaving') }),
]);
export type GatewayMessage = z.infer<typeof gatewayMessage>;
/** Messages of agents. */
export const agentMessage = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('signed'),
    id: z.number().int().min(0),
    signed: signedNodeRequest.extend({ request: z.string().max(MAX_REQUEST) }),
  }),
]);

/** Writes the head of a frame whose payload follows in `frame`. */
export function writeFrameHeader(frame: Uint8Array, type: FrameType, stream: number): void {
  frame[0] = frameTypes.indexOf(type);
  new DataView(frame.buffer, frame.byteOffset).setUint32(1, stream);
}

export function encodeFrame(type: FrameType, stream: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + payload.length);
  writeFrameHeader(frame, type, stream);
  frame.set(payload, FRAME_HEADER);
  return frame;
}

/** Throws TUNNEL_MALFORMED. */
export function decodeFrame(frame: Uint8Array): TunnelFrame {
  if (frame.length < FRAME_HEADER) throw new StenoError('TUNNEL_MALFORMED', 'a frame is too short');
  const type = frameTypes[frame[0]!];
  if (type === undefined) throw new StenoError('TUNNEL_MALFORMED', `frames of type ${frame[0]} are unknown`);
  const stream = new DataView(frame.buffer, frame.byteOffset).getUint32(1);
  const payload = frame.subarray(FRAME_HEADER);
  if ((type === 'control') !== (stream === 0)) throw new StenoError('TUNNEL_MALFORMED', 'stream 0 is for control frames only');
  const most = type === 'control' ? MAX_CONTROL : type === 'data' ? MAX_DATA : 1024;
  if (payload.length > most) throw new StenoError('TUNNEL_MALFORMED', `a ${type} frame of ${payload.length} bytes`);
  if (type === 'window' && payload.length !== 4) throw new StenoError('TUNNEL_MALFORMED', 'a window is four bytes');
  if (type === 'end' && payload.length !== 0) throw new StenoError('TUNNEL_MALFORMED', 'an end frame has a payload');
  return { type, stream, payload };
}

/** Reads JSON by its schema. Throws TUNNEL_MALFORMED. */
export function parseTunnelJson<T extends z.ZodType>(schema: T, payload: Uint8Array): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    throw new StenoError('TUNNEL_MALFORMED', 'a frame is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new StenoError(
      'TUNNEL_MALFORMED',
      `${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? 'invalid'}`.slice(0, 256),
    );
  return parsed.data;
}
