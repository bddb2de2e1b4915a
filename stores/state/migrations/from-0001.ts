/** The first ten steps, by number. */
import { tables } from './0001_tables.js';
import { caKeys } from './0002_ca_keys.js';
import { users } from './0003_users.js';
import { roleDocuments } from './0004_role_documents.js';
import { requests } from './0005_requests.js';
import { nodes } from './0006_nodes.js';
import { clusters } from './0007_clusters.js';
import { connectors } from './0008_connectors.js';
import { requestNonces } from './0009_request_nonces.js';
import { sessionPlaces } from './0010_session_places.js';

export const firstMigrations = {
  '0001_tables': tables,
  '0002_ca_keys': caKeys,
  '0003_users': users,
  '0004_role_documents': roleDocuments,
  '0005_requests': requests,
  '0006_nodes': nodes,
  '0007_clusters': clusters,
  '0008_connectors': connectors,
  '0009_request_nonces': requestNonces,
  '0010_session_places': sessionPlaces,
} as const;
