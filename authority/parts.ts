/**
 * The parts that routes act on, over one state store and its CAs. Opened parts are closed in reverse order by the holder of
 * `own`.
 */
import type { ServiceName } from '#schemas/base/identity.js';
import type { Log } from '#runtime/log.js';
import type { Alone } from '#stores/leases/keeper.js';
import { Requests } from './access/requests.js';
import type { SessionPlaces } from './access/session-places.js';
import type { OpenedCas } from './ca/open.js';
import { Rotations } from './ca/rotations.js';
import { SessionCertificates } from './certificates/sessions.js';
import { Directory } from './directory/directory.js';
import { Clusters } from './inventory/clusters/clusters.js';
import type { Presence } from './inventory/nodes/presence.js';
import { SsoConnectors } from './people/sso/connectors.js';
import { PowerGuard } from './power/guard.js';
import type { Records } from './records/records.js';
import { Links } from './web-sessions/web-sessions.js';
import { secretsIn } from './webhooks/secrets.js';
import { WebhookSender } from './webhooks/sender.js';

export interface PartsContext {
  readonly records: Records;
  readonly cas: OpenedCas;
  readonly sessionPlaces: SessionPlaces;
  readonly presence: Presence;
  readonly alone: Alone;
  /** Our own cluster's name. */
  readonly cluster: string;
  /** Base URL of the page, without a trailing slash. */
  readonly web: string;
  /** Folder of the files that webhooks name as secrets. */
  readonly secretsFolder: string;
  /** Services currently connected to the watch. */
  readonly connected: () => readonly ServiceName[];
  readonly log: Log;
  readonly clock: () => number;
}

export type Parts = Awaited<ReturnType<typeof openParts>>;

export async function openParts(context: PartsContext, own: (release: () => Promise<void> | void) => void) {
  const { records, cas, sessionPlaces, presence, alone, clock, log, web } = context;
  const { ca, places, seal } = cas;
  const directory = await Directory.open(records, ca, context.cluster, clock);
  own(() => directory.close());
  const sessions = new SessionCertificates(ca, directory, records, clock);
  own(() => sessions.close());
  const clusters = new Clusters({ ca, records, directory, clock, log });
  own(() => clusters.close());
  const guard = new PowerGuard({ records, directory });
  const links = new Links(records, directory, clock);
  const rotations = new Rotations({ records, places, changed: () => directory.changed(), alone, connected: context.connected, clock, log });
  own(() => rotations.close());
  const secrets = secretsIn(context.secretsFolder);
  const webhooks = new WebhookSender({ records, secrets, web, log, clock });
  own(() => webhooks.close());
  const requests = new Requests({ ca, records, directory, clock, onWebhook: () => webhooks.wake() });
  const connectors = new SsoConnectors({ records, sealer: seal.sealer, guard, clock, web });
  return {
    ...{ ca, seal, sealer: seal.sealer, records, directory, sessions, sessionPlaces, presence, clusters, guard, links, rotations },
    ...{ secrets, webhooks, requests, connectors, clock, web, onWebhook: () => webhooks.wake() },
  };
}
