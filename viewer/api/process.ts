/** A viewer as a process, or as part of the process that holds the embedded stores. Order: stores, identity and authority, viewer. */
import { join } from 'node:path';
import type { QueueReport, IndexProgress } from '#schemas/api/recordings/status.js';
import { RequestVerifier } from '#runtime/http/request-auth.js';
import type { Log } from '#runtime/log.js';
import { readSecret } from '#runtime/service/config.js';
import { openMember } from '#runtime/service/member.js';
import type { Joining } from '#runtime/service/member.js';
import type { Running } from '#runtime/service/process.js';
import { openStores } from '#stores/configured/open.js';
import type { Stores } from '#stores/configured/open.js';
import type { ViewerServiceConfig } from './config.js';
import type { Analysis } from '#runtime/service/analysis-metrics.js';
import type { Hunter } from './hunts/routes.js';
import { startViewer } from './main.js';

export interface ViewerProcessParts {
  readonly log: Log;
  readonly version: string;
  /** Folder of the built page. */
  readonly webRoot: string;
  /** Rules belong to another stage, so the caller that starts both passes the hunter in. */
  readonly hunter?: Hunter;
  /** Set when an ingest runs in the same process. */
  readonly beside?: {
    readonly stores: Stores;
    readonly queues: () => readonly QueueReport[];
    readonly rebuilding: () => IndexProgress | null;
    /** Returns null while there is no analyzer. */
    readonly analysis?: () => Analysis | null;
  };
}

export async function startViewerProcess(config: ViewerServiceConfig & Joining, parts: ViewerProcessParts): Promise<Running> {
  const { log, beside } = parts;
  const clock = Date.now;
  const opened: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const release of opened.splice(0).reverse()) await release();
  };
  try {
    const stores = beside?.stores ?? (await openStores(config, eventsPassword(config), (line) => log.info(line)));
    if (beside === undefined) opened.push(() => stores.close());
    const member = await openMember('viewer', config, { dir: join(config.data, 'viewer-keys') }, { log, clock });
    opened.push(() => member.close());
    const { identity, authority } = member;
    const viewer = await startViewer(
      {
        listen: config.listen,
        webRoot: parts.webRoot,
        version: parts.version,
        addresses: { ssh: config.ssh, web: config.address, authority: config.authority_address ?? config.authorities[0]! },
        proxies: config.proxies,
      },
      {
        objects: stores.objects,
        ...(parts.hunter === undefined ? {} : { hunter: parts.hunter }),
        events: stores.events,
        authority,
        ...(beside === undefined ? {} : { queues: beside.queues, rebuilding: beside.rebuilding }),
        ...(beside?.analysis === undefined ? {} : { analysis: beside.analysis }),
        ownSince: () => authority.current().own_since,
        requests: new RequestVerifier(() => authority.current(), { clock }),
        live: {
          urls: config.ingest,
          onRemoved: (callback) => identity.removed.onChange((kinds) => kinds.has('ingest') && callback()),
          find: async (session) => (await authority.liveSession(session))?.ingest ?? null,
          // Read for each connection: certificates are renewed meanwhile.
          get tls() {
            return identity.tlsClientOptions(['ingest']);
          },
        },
        gateways: {
          list: () => authority.gateways(),
          get tls() {
            return identity.tlsClientOptions(['gateway']);
          },
        },
        recordingCas: () => [...authority.current().recording_ca, ...authority.current().recording_ca_retired],
        scheduled: true,
        log: log.child({ part: 'viewer' }),
        clock,
      },
    );
    opened.push(() => viewer.close());
    return { addresses: viewer.addresses, over: authority.removed, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function eventsPassword({ events }: ViewerServiceConfig): string | undefined {
  return events?.password_file === undefined ? process.env['STENO_EVENTS_PASSWORD'] : readSecret(events.password_file);
}
