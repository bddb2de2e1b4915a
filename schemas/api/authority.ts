/** The endpoints of the authority. */
import type { Endpoint } from '../endpoint/endpoint.js';
import { accessRequest, requestView } from '../documents/access-request.js';
import { connectorSchema } from '../documents/connector.js';
import { siemSchema } from '../documents/siem.js';
import { webhookSchema } from '../documents/webhook.js';
import { roleSchema } from '../policy/role.js';
import { accessEndpoints } from './access/endpoints.js';
import { casesEndpoints } from './cases/endpoints.js';
import { detectionEndpoints } from './detection/endpoints.js';
import { inventoryEndpoints } from './inventory/endpoints.js';
import { peopleEndpoints } from './people/endpoints.js';
import { loginResult } from './people/user-certificates.js';
import { userInfo } from './people/users.js';
import { webIdentity } from './people/web-sessions.js';
import { enrolment } from './services/certificates.js';
import { servicesEndpoints } from './services/endpoints.js';

const declared = [
  ...accessEndpoints,
  ...casesEndpoints,
  ...detectionEndpoints,
  ...inventoryEndpoints,
  ...peopleEndpoints,
  ...servicesEndpoints,
] as const;

export type AuthorityEndpoint = (typeof declared)[number];
export const authorityEndpoints: readonly Endpoint[] = declared;

/** Schemas that several endpoints share, by name, for the OpenAPI document. */
export const authoritySchemas = {
  Role: roleSchema,
  Connector: connectorSchema,
  Webhook: webhookSchema,
  SiemDestination: siemSchema,
  AccessRequest: accessRequest,
  RequestView: requestView,
  LoginResult: loginResult,
  WebIdentity: webIdentity,
  UserInfo: userInfo,
  Enrolment: enrolment,
} as const;
