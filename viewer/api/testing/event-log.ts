/** The event log for a generated recording, signed by the same gateway and stored with it, as a node would have sent it. */
import { TAG_BYTES } from '#schemas/recording/chain.js';
import { encodeProof, encodeSeekTable } from '#schemas/recording/container.js';
import { eventPartKey, recordingPrefix } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import { fingerprint } from '#runtime/ssh/keys.js';
import { Recorder } from '#recordings/testing/recorder.js';
import type { Recorded, Stores } from './recorded.js';

export interface LogOptions {
  /** The command that each row reports as executed. */
  readonly commands: readonly string[];
  /** If omitted, the log is not closed yet. */
  readonly end?: 'complete' | 'interrupted';
  /** Session id in the header, if it should be another session's. */
  readonly session?: string;
}

/** Stores the log as one part, replacing an existing one; returns the key of its object. */
export async function recordLog({ objects, zstd, recorder }: Stores, recording: Recorded, options: LogOptions): Promise<string> {
  const { id, startedAt, row } = recording;
  const certificate = fingerprint(recorder.certificate);
  const log = new Recorder(
    { gateway: row.gateway, key: recorder.key, certificate: recorder.certificate, fingerprint: certificate },
    { stream: 'events', session: options.session ?? id, counter: row.counter, user: row.user, node: row.node, login: row.login, startedAt },
  );
  for (const [i, command] of options.commands.entries())
    log.line(1_000, {
      code: 'e',
      data: [KERNEL_BLOCKS + 1, i, i * 1_000, 'exec', '/bin/true', 1, '', '', null, command, '', 'success', null, '{"pid":1}'],
    });
  if (options.end !== undefined) log.close(options.end);
  else log.checkpoint();
  const blocks = log.made.flatMap((made) => (made.kind === 'block' ? [made] : []));
  const signed = log.made.findLast((made) => made.kind !== 'block')!;
  const frame = zstd.compress(Buffer.concat(blocks.map(({ content }) => content)), 3);
  const proof = encodeProof({
    kind: 'part',
    part: 1,
    first_block: 1,
    tags: Buffer.concat(blocks.map(({ head }) => Buffer.from(head, 'hex').subarray(0, TAG_BYTES))),
    checkpoint: signed.checkpoint,
    certificate: certificateId(certificate),
  });
  const raw = blocks.reduce((sum, { content }) => sum + content.length, 0);
  const table = encodeSeekTable([
    { compressed: frame.length, decompressed: raw },
    { compressed: proof.length, decompressed: 0 },
  ]);
  const key = eventPartKey(recordingPrefix(id, startedAt), 1);
  await objects.delete(key);
  await objects.put(key, Buffer.concat([frame, proof, table]));
  return key;
}
