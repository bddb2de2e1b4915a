/** The endpoints of viewer/api: its own, and those of the authority that it passes on. */
import { viewerErrors } from '../endpoint/endpoint.js';
import type { AnyEndpoint, ViewerEndpoint } from '../endpoint/endpoint.js';
import { authorityEndpoints } from './authority.js';
import type { AuthorityEndpoint } from './authority.js';
import { workbenchEndpoints } from './cases/workbench.js';
import { clusterFrontEndpoints } from './front/clusters.js';
import { signInEndpoints } from './front/sign-in.js';
import { terminalFrontEndpoints } from './front/terminal.js';
import { listAccessUse, listAudit, listViews } from './recordings/audit.js';
import { listCommands } from './recordings/commands.js';
import { compareSessions } from './recordings/compare.js';
import { listRecordedFiles, takeRecordedFile } from './recordings/files.js';
import { findEndpoints } from './recordings/find.js';
import { findingEndpoints } from './recordings/findings.js';
import { huntRules } from './recordings/hunts.js';
import { listAlike, showPatterns } from './recordings/patterns.js';
import { replayEndpoints } from './recordings/replay.js';
import { showResponse } from './recordings/response.js';
import { searchScreens } from './recordings/search.js';
import { sessionEndpoints } from './recordings/sessions.js';
import { sqlEndpoints } from './recordings/sql.js';
import { statusEndpoints } from './recordings/status.js';

const declared = [
  ...clusterFrontEndpoints,
  ...signInEndpoints,
  ...terminalFrontEndpoints,
  ...sessionEndpoints,
  ...replayEndpoints,
  listCommands,
  compareSessions,
  listRecordedFiles,
  takeRecordedFile,
  searchScreens,
  huntRules,
  ...findEndpoints,
  ...findingEndpoints,
  showResponse,
  showPatterns,
  listAlike,
  ...workbenchEndpoints,
  listAudit,
  listAccessUse,
  listViews,
  ...sqlEndpoints,
  ...statusEndpoints,
] as const;

const viewerEndpoints: readonly ViewerEndpoint[] = declared;

/** Including the authority's endpoints that viewers relay, with their paths here. */
export const servedByViewers: readonly AnyEndpoint[] = [
  ...viewerEndpoints.map((one) => ({ ...one, errors: [...one.errors, ...viewerErrors] })),
  ...authorityEndpoints.flatMap((one) =>
    one.relayed === undefined
      ? []
      : [
          {
            ...one,
            path: relayedPath(one.path),
            admits: [one.relayed.session ? 'user' : 'stranger'] as const,
            errors: [...one.errors, ...viewerErrors, ...(one.relayed.limited ? (['TOO_MANY'] as const) : [])],
          },
        ],
  ),
];

type Served = (typeof declared)[number] | Extract<AuthorityEndpoint, { readonly relayed: unknown }>;
type PathHere<Path extends string> = Path extends `/v1/${infer Rest}` ? `/api/${Rest}` : Path;
type KeyOf<One> = One extends AnyEndpoint ? `${One['method']} ${PathHere<One['path']>}` : never;

/** `METHOD /path` of the viewer's endpoints, as types only, so that the page can call them without loading the declarations. */
export type ServedKey = KeyOf<Served>;
export type ServedAt<Key extends ServedKey> = { [One in Served as KeyOf<One>]: One }[Key];

export function relayedPath(path: string): `/${string}` {
  return `/api/${path.replace(/^\/v1\//, '')}`;
}
