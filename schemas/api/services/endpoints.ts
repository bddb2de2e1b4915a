/** Endpoints about CAs, and for the services of Steno. */
import { caEndpoints } from './ca.js';
import { certificateEndpoints } from './certificates.js';
import { disclosureEndpoints } from './disclosures.js';
import { leaseEndpoints } from './leases.js';
import { serviceEndpoints } from './services.js';

export const servicesEndpoints = [
  ...caEndpoints,
  ...certificateEndpoints,
  ...disclosureEndpoints,
  ...leaseEndpoints,
  ...serviceEndpoints,
] as const;
