/** Starts the exporters of all destinations: those in a file, and those that the authority keeps. */
import { readConfig } from '#runtime/service/config.js';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import type { SiemDocument } from '#schemas/documents/siem.js';
import type { Log } from '#runtime/log.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { Alone } from '#stores/leases/keeper.js';
import { siemConfig } from './config.js';
import type { SiemDestination } from './config.js';
import { Exporter } from './exporter.js';
import type { ExportedStore } from './exporter.js';
import { HttpsWayOut } from './https.js';
import { KeptDestinations } from './kept.js';
import { credentialsInFiles } from './sending.js';
import type { ReadCredentials } from './sending.js';
import { SyslogWayOut } from './syslog.js';

export interface Export {
  report(): readonly SiemReport[];
  close(): Promise<void>;
}

export interface ExportParts {
  readonly store: ExportedStore;
  readonly authority: Pick<AuthorityClient, 'current' | 'onChange' | 'detection'>;
  readonly alone: Alone;
  readonly log: Log;
  readonly clock: () => number;
}

/** Throws CONFIG_INVALID. Without `file`, only the authority's destinations are served. */
export function startExport(file: string | undefined, parts: ExportParts): Export {
  const { store, alone, log, clock } = parts;
  const begin = (destination: SiemDestination | SiemDocument, credentials: ReadCredentials): Exporter => {
    const way = destination.format === 'ocsf' ? new HttpsWayOut(destination, credentials) : new SyslogWayOut(destination, credentials);
    return new Exporter({ store, alone, log, clock, destination, way });
  };
  const { destinations } = file === undefined ? { destinations: [] } : readConfig(file, siemConfig);
  const exporters = destinations.map((destination) => begin(destination, credentialsInFiles(destination)));
  const kept = new KeptDestinations({
    authority: parts.authority,
    start: (document, credentials) => begin(document, () => credentials),
    named: new Set(destinations.map(({ name }) => name)),
    log,
  });
  return {
    report: () => [...exporters.map((exporter) => exporter.report()), ...kept.report()],
    async close() {
      await Promise.all([kept.close(), ...exporters.map((exporter) => exporter.close())]);
    },
  };
}
