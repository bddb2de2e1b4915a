/** Endpoints about who may do what: roles, requests, reviews, locks. */
import { accessReviewEndpoints } from './access-reviews.js';
import { lockEndpoints } from './locks.js';
import { requestEndpoints } from './requests.js';
import { roleEndpoints } from './roles.js';
import { sessionInvitationEndpoints } from './session-invitations.js';
import { sessionNoticeEndpoints } from './session-notices.js';
import { sessionPlaceEndpoints } from './session-places.js';
import { webhookEndpoints } from './webhooks.js';

export const accessEndpoints = [
  ...accessReviewEndpoints,
  ...lockEndpoints,
  ...requestEndpoints,
  ...roleEndpoints,
  ...sessionInvitationEndpoints,
  ...sessionNoticeEndpoints,
  ...sessionPlaceEndpoints,
  ...webhookEndpoints,
] as const;
