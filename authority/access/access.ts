/** Access decisions and who made them: the routes of roles, requests, reviews, locks and session slots, assembled. */
import type { Leases } from '#stores/leases/contract.js';
import type { Route } from '../http/server.js';
import type { Links } from '../web-sessions/web-sessions.js';
import { leaseRoutes } from './leases.js';
import { lockEffectRoutes } from './lock-effects.js';
import { lockRoutes } from './locks.js';
import type { LockRouteParts } from './locks.js';
import { requestRoutes } from './request-routes.js';
import type { Requests } from './requests.js';
import { reviewRoutes } from './reviews.js';
import { roleRoutes } from './role-routes.js';
import { sessionInvitationRoutes } from './session-invitations.js';
import type { SessionInvitationParts } from './session-invitations.js';
import { sessionNoticeRoutes } from './session-notices.js';
import { sessionPlaceRoutes } from './session-places.js';
import type { SessionPlaces } from './session-places.js';

export interface AccessParts extends LockRouteParts, SessionInvitationParts {
  readonly links: Links;
  readonly requests: Requests;
  readonly sessionPlaces: SessionPlaces;
  readonly leases: Leases;
}

export function accessRoutes(parts: AccessParts): readonly Route[] {
  return [
    ...roleRoutes(parts),
    ...requestRoutes(parts),
    ...reviewRoutes(parts),
    ...lockRoutes(parts),
    ...lockEffectRoutes(parts),
    ...sessionInvitationRoutes(parts),
    ...sessionNoticeRoutes(parts),
    ...sessionPlaceRoutes(parts.sessionPlaces),
    ...leaseRoutes(parts.leases),
  ];
}
