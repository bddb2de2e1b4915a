/**
 * Reads event logs back from the object store: the parts stored beside a recording, in order of their numbers. Event logs
 * are never repacked, so listed parts stay. Damage is an error (RECORDING_MALFORMED). Tested in
 * ingest/writing/event-log-writer.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { streamOf } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { Zstd } from '#runtime/zstd.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { BlockReader } from './block-reader.js';
import type { ReadBlock } from './block-reader.js';
import { FrameReader, listParts, openPart } from './stored-recording.js';

/** The blocks of a log in order, with its header; none if there is no log. */
export async function* readEventLog(
  { objects, zstd }: { readonly objects: ObjectStore; readonly zstd: Zstd },
  prefix: string,
): AsyncGenerator<{ readonly header: RecordingHeader; readonly block: ReadBlock }> {
  const cut = new FrameReader(zstd);
  const reader = new BlockReader(undefined, undefined, 'events');
  let header: RecordingHeader | null = null;
  for (const { key } of await listParts(objects, prefix, 'events')) {
    for (const { bytes } of openPart(await objects.get(key)).frames) {
      for (const { content } of cut.blocks(bytes)) {
        const block = reader.read(content);
        header ??= block.header;
        if (header === null || streamOf(header) !== 'events') throw new StenoError('RECORDING_MALFORMED', `no event log under ${prefix}`);
        yield { header, block };
      }
    }
  }
}

/** The input of `exportFile` for a log; null if there is none. */
export async function eventLogIndex(
  objects: ObjectStore,
  prefix: string,
): Promise<{ readonly objects: readonly string[]; readonly certificates: readonly string[] } | null> {
  const keys = (await listParts(objects, prefix, 'events')).map(({ key }) => key);
  const certificates = new Set<string>();
  for (const key of keys) certificates.add(openPart(await objects.get(key)).proof.certificate);
  return keys.length === 0 ? null : { objects: keys, certificates: [...certificates] };
}
