/**
 * Answers with lines of a recording, in the smallest form that the client accepts: as the stored zstd frame (RFC 8878, content coding
 * of RFC 9659), otherwise as gzip, otherwise uncompressed. Terminal output shrinks to a tenth, and a replay seeks over networks of all
 * kinds. Tested in viewer/api/main.test.ts.
 */
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Runs in libuv's thread pool. */
const compress = promisify(gzip);
/** Below this size, compression is not worth the overhead. */
const MIN_BYTES = 1024;

/** `frame`: the zstd frame that contains exactly `lines`, or null. */
export async function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  { lines, frame = null }: { readonly lines: Uint8Array; readonly frame?: Uint8Array | null },
): Promise<FastifyReply> {
  const accepted = acceptedCodings(request);
  void reply.type('text/plain; charset=utf-8').header('vary', 'accept-encoding');
  if (frame !== null && accepted.has('zstd')) return reply.header('content-encoding', 'zstd').send(asBuffer(frame));
  if (lines.length < MIN_BYTES || !accepted.has('gzip')) return reply.send(asBuffer(lines));
  const bytes = await compress(lines, { level: constants.Z_BEST_SPEED });
  return reply.header('content-encoding', 'gzip').send(bytes);
}

/** The content codings of the Accept-Encoding field (RFC 9110, 12.5.3), without those of weight 0. `*` is ignored. */
export function acceptedCodings({ headers }: Pick<FastifyRequest, 'headers'>): ReadonlySet<string> {
  const accepted = new Set<string>();
  const field = String(headers['accept-encoding'] ?? '').slice(0, 1_024);
  for (const part of field.split(',')) {
    const [coding = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    if (!parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) accepted.add(coding);
  }
  return accepted;
}

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
