/** Endpoints about users, bots and how they log in. */
import { accountEndpoints } from './account.js';
import { botEndpoints } from './bots.js';
import { confirmationEndpoints } from './confirmations.js';
import { connectorEndpoints } from './connectors.js';
import { loginEndpoints } from './logins.js';
import { terminalEndpoints } from './terminals.js';
import { userCertificateEndpoints } from './user-certificates.js';
import { userEndpoints } from './users.js';
import { webSessionEndpoints } from './web-sessions.js';

export const peopleEndpoints = [
  ...accountEndpoints,
  ...botEndpoints,
  ...confirmationEndpoints,
  ...connectorEndpoints,
  ...loginEndpoints,
  ...terminalEndpoints,
  ...userCertificateEndpoints,
  ...userEndpoints,
  ...webSessionEndpoints,
] as const;
