/**
 * The process that holds the stores: ingest and viewer/api. A chDB directory belongs to one process at a time, so on
 * one machine they share one; past it, each runs in its own against a ClickHouse server.
 *
 * Order: stores, identities, authority, ingest, viewer. Closing goes the other way round.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PublicAddresses } from '#schemas/api.js';
import { connectAuthority } from '#runtime/authority-client.js';
import type { Log } from '#runtime/log.js';
import { RequestVerifier } from '#runtime/request-auth.js';
import { runService } from '#runtime/service.js';
import type { Running } from '#runtime/service.js';
import { openServiceIdentity } from '#runtime/service-identity.js';
import { openEventStore } from '#stores/events/clickhouse.js';
import { openCompressor } from '../../ingest/compressor.js';
import { startIngest } from '../../ingest/ingest.js';
import { startViewer } from '../../viewer/api/server.js';
import { openObjects } from './objects.js';

interface StoreConfig {
  readonly version: string;
  readonly dataDir: string;
  /** The authority's Unix socket, to enrol, and its base URL. */
  readonly socket: string;
  readonly authority: string;
  /** `s3://BUCKET/PREFIX`; null: a folder of the data directory. */
  readonly objects: string | null;
  /** `host:port`. */
  readonly ingestListen: string;
  readonly webListen: string;
  readonly webRoot: string;
  /** How people reach all of this. */
  readonly addresses: PublicAddresses;
  readonly webProxies: readonly string[];
}

runService<StoreConfig>('store', async (config, { log }): Promise<Running> => {
  const opened: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const release of opened.splice(0).reverse()) await release();
  };
  try {
    return { addresses: await start(config, log, (release) => opened.push(release)), close };
  } catch (error) {
    await close();
    throw error;
  }
});

async function start(config: StoreConfig, log: Log, owns: (release: () => Promise<void> | void) => void): Promise<Record<string, string>> {
  const clock = Date.now;
  const folder = (name: string): string => {
    const path = join(config.dataDir, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const events = await openEventStore({ kind: 'chdb', path: folder('events') });
  owns(() => events.close());
  const objects = await openObjects(config.objects, join(config.dataDir, 'objects'));
  owns(() => objects.close());

  const identify = async (kind: 'ingest' | 'viewer') => {
    const identity = await openServiceIdentity({ kind, name: 'local', socket: config.socket, dir: folder(`${kind}-keys`) }, { log, clock });
    owns(() => identity.close());
    return identity;
  };
  const ingestIdentity = await identify('ingest');
  const viewerIdentity = await identify('viewer');
  const authority = connectAuthority({ url: config.authority, identity: viewerIdentity }, { log });
  owns(() => authority.close());
  await authority.ready();
  // The watch is the viewer's; ingest renews over the socket.
  ingestIdentity.follow(authority.current());
  authority.onChange((snapshot) => ingestIdentity.follow(snapshot));

  const compressor = openCompressor();
  owns(() => compressor.close());
  const ingest = await startIngest(
    { listen: config.ingestListen },
    {
      tls: ingestIdentity.tlsServerOptions(),
      guard: (server, kinds) => ingestIdentity.guard(server, kinds),
      objects,
      events,
      snapshot: () => authority.current(),
      compress: compressor.compress,
      log: log.child({ part: 'ingest' }),
      clock,
    },
  );
  owns(() => ingest.close());
  const viewer = await startViewer(
    { listen: config.webListen, webRoot: config.webRoot, version: config.version, addresses: config.addresses, proxies: config.webProxies },
    {
      objects,
      events,
      authority,
      nodes: () => authority.current().nodes,
      requests: new RequestVerifier(() => authority.current(), { clock }),
      live: {
        url: `wss://${config.ingestListen}`,
        // Asked at each connection: certificates are renewed meanwhile.
        get tls() {
          return viewerIdentity.tlsClientOptions(['ingest']);
        },
      },
      recordingCas: () => [...authority.current().recording_ca, ...authority.current().recording_ca_retired],
      log: log.child({ part: 'viewer' }),
      clock,
    },
  );
  owns(() => viewer.close());
  return { ...ingest.addresses, ...viewer.addresses };
}
