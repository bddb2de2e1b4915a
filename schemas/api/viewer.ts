/** The endpoints of viewer/api: its own, and those of the authority that it passes on. */
import { viewerErrors } from '../endpoint/endpoint.js';
import type { AnyEndpoint, ViewerEndpoint } from '../endpoint/endpoint.js';
import { authorityEndpoints } from './authority.js';
import { clusterFrontEndpoints } from './front/clusters.js';
import { signInEndpoints } from './front/sign-in.js';
import { listAccessUse, listAudit } from './recordings/audit.js';
import { searchScreens } from './recordings/search.js';
import { sessionEndpoints } from './recordings/sessions.js';
import { statusEndpoints } from './recordings/status.js';

const declared = [
  ...clusterFrontEndpoints,
  ...signInEndpoints,
  ...sessionEndpoints,
  searchScreens,
  listAudit,
  listAccessUse,
  ...statusEndpoints,
] as const;

export const viewerEndpoints: readonly ViewerEndpoint[] = declared;

/** With those of the authority that viewers pass on, at their paths here. */
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

export function relayedPath(path: string): `/${string}` {
  return `/api/${path.replace(/^\/v1\//, '')}`;
}
