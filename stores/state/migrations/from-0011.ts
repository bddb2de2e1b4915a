/** Steps 11 to 20, by number. */
import { streamsInFull } from './0011_streams_in_full.js';
import { power } from './0012_power.js';
import { gatewayIdentity } from './0013_gateway_identity.js';
import { sharedWork } from './0014_shared_work.js';
import { services } from './0015_services.js';
import { liveSessions } from './0016_live_sessions.js';
import { sessionNotices } from './0017_session_notices.js';
import { kubeClusters } from './0018_kube_clusters.js';
import { findings } from './0019_findings.js';
import { detection } from './0020_detection.js';

export const secondMigrations = {
  '0011_streams_in_full': streamsInFull,
  '0012_power': power,
  '0013_gateway_identity': gatewayIdentity,
  '0014_shared_work': sharedWork,
  '0015_services': services,
  '0016_live_sessions': liveSessions,
  '0017_session_notices': sessionNotices,
  '0018_kube_clusters': kubeClusters,
  '0019_findings': findings,
  '0020_detection': detection,
} as const;
