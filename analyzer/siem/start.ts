/** Exporters of all destinations of a file, put together. */
import { readConfig } from '#runtime/service/config.js';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import type { Log } from '#runtime/log.js';
import type { Alone } from '#stores/leases/keeper.js';
import { siemConfig } from './config.js';
import { Exporter } from './exporter.js';
import type { ExportedStore } from './exporter.js';
import { HttpsWayOut } from './https.js';
import { SyslogWayOut } from './syslog.js';

export interface Export {
  report(): readonly SiemReport[];
  close(): Promise<void>;
}

export interface ExportParts {
  readonly store: ExportedStore;
  readonly alone: Alone;
  readonly log: Log;
  readonly clock: () => number;
}

/** Throws CONFIG_INVALID. Left out: nothing is sent anywhere. */
export function startExport(file: string | undefined, parts: ExportParts): Export {
  const { destinations } = file === undefined ? { destinations: [] } : readConfig(file, siemConfig);
  const exporters = destinations.map((destination) => {
    const way = destination.format === 'ocsf' ? new HttpsWayOut(destination) : new SyslogWayOut(destination);
    return new Exporter({ ...parts, destination, way });
  });
  return {
    report: () => exporters.map((exporter) => exporter.report()),
    async close() {
      await Promise.all(exporters.map((exporter) => exporter.close()));
    },
  };
}
