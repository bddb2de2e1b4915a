/**
 * An ingest as a process, or as part of the process that holds the embedded stores.
 *
 * Order: stores, identity and authority, a check whether the event store must be rebuilt (before the first row is written,
 * since afterwards it is never empty), ingest, then the rebuild. Closing runs in reverse order.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { QueueReport, IndexProgress } from '#schemas/api/recordings/status.js';
import type { Log } from '#runtime/log.js';
import { readSecret } from '#runtime/service/config.js';
import { openMember } from '#runtime/service/member.js';
import type { Joining } from '#runtime/service/member.js';
import type { Running } from '#runtime/service/process.js';
import { openZstd } from '#runtime/zstd.js';
import { underLease } from '#stores/leases/keeper.js';
import type { Alone } from '#stores/leases/keeper.js';
import { openStores } from '#stores/configured/open.js';
import type { Stores } from '#stores/configured/open.js';
import type { IngestServiceConfig } from './config.js';
import { startIngest } from './main.js';
import { markPath } from './rebuild/rebuild-mark.js';
import { Rebuild } from './rebuild/rebuild.js';
import { openCompressor } from './sealing/compressor.js';

export interface RunningIngestProcess extends Running {
  /** For a viewer in the same process, which must not open the embedded stores a second time. */
  readonly stores: Stores;
  queues(): readonly QueueReport[];
  rebuilding(): IndexProgress | null;
}

/** Renewed while a session is sealed. */
const SEAL_LEASE_MS = 60_000;

export async function startIngestProcess(
  config: IngestServiceConfig & Joining,
  { log }: { readonly log: Log },
): Promise<RunningIngestProcess> {
  const clock = Date.now;
  const opened: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const release of opened.splice(0).reverse()) await release();
  };
  try {
    mkdirSync(config.data, { recursive: true, mode: 0o700 });
    const stores = await openStores(config, eventsPassword(config), (line) => log.info(line));
    opened.push(() => stores.close());
    const { objects, events } = stores;
    const embedded = config.events === undefined;
    // A server may have other writers: its operator decides when `steno reindex` rebuilds it.
    const rebuild = embedded
      ? await Rebuild.look({ objects, events, zstd: await openZstd(), log: log.child({ part: 'rebuild' }), clock }, markPath(config.data))
      : undefined;
    const member = await openMember('ingest', config, { dir: join(config.data, 'ingest-keys') }, { log, clock });
    opened.push(() => member.close());
    const { identity, authority } = member;
    // The embedded event store can be open in only one process, so this process inherits the leases of the previous one: a
    // process killed while sealing delays nobody. With a ClickHouse server there may be other ingests.
    const holder = embedded ? 'embedded' : randomBytes(8).toString('hex');
    const alone: Alone = (name, work) => underLease(authority.leases, name, { holder, ttlMs: SEAL_LEASE_MS }, work);
    const compressor = openCompressor();
    opened.push(() => compressor.close());
    const ingest = await startIngest(
      { listen: config.listen, repack: config.repack },
      {
        tls: identity.tlsServerOptions(),
        guard: (server, kinds) => identity.guard(server, kinds),
        objects,
        events,
        snapshot: () => authority.current(),
        compress: compressor.compress,
        alone,
        log: log.child({ part: 'ingest' }),
        clock,
      },
    );
    opened.push(() => ingest.close());
    rebuild?.start();
    opened.push(() => rebuild?.close());
    return {
      addresses: ingest.addresses,
      over: authority.removed,
      stores,
      queues: () => ingest.queues(),
      rebuilding: () => rebuild?.progress() ?? null,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function eventsPassword({ events }: IngestServiceConfig): string | undefined {
  return events?.password_file === undefined ? process.env['STENO_EVENTS_PASSWORD'] : readSecret(events.password_file);
}
